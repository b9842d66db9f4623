//! P-256 public keys: encodings and ECDSA verification.
//!
//! Guards: every value is a point of the curve other than infinity, in one DER form; of the two signatures that
//! ECDSA accepts for one message only that with the low `s` counts, so that nobody makes a second document of a
//! signed one.

use ::p256::{
    ecdsa::{self, signature::hazmat::PrehashVerifier as _},
    elliptic_curve::sec1::ToSec1Point as _,
};
use sha2::{Digest as _, Sha256};

use super::{InvalidPublicKey, POINT_BYTES, Signature, SignatureInvalid};

/// Everything of the SubjectPublicKeyInfo before the point: SEQUENCE { SEQUENCE { OID id-ecPublicKey
/// 1.2.840.10045.2.1, OID prime256v1 1.2.840.10045.3.1.7 }, BIT STRING with 0 unused bits … }.
pub(super) const SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// A P-256 public key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct P256Key(::p256::PublicKey);

impl P256Key {
    /// From `04 ‖ x ‖ y`, 65 bytes; compressed and hybrid points are refused.
    pub fn from_sec1(bytes: &[u8]) -> Result<Self, InvalidPublicKey> {
        if bytes.len() != POINT_BYTES {
            return Err(InvalidPublicKey::Length { expected: POINT_BYTES, found: bytes.len() });
        }
        if bytes.first() != Some(&0x04) {
            return Err(InvalidPublicKey::NotUncompressed);
        }
        ::p256::PublicKey::from_sec1_bytes(bytes).map(Self).map_err(|_| InvalidPublicKey::NotOnCurve)
    }

    /// `04 ‖ x ‖ y`.
    #[must_use]
    pub fn to_sec1(&self) -> [u8; POINT_BYTES] {
        let mut bytes = [0; POINT_BYTES];
        bytes.copy_from_slice(self.0.to_sec1_point(false).as_bytes());
        bytes
    }

    pub(super) fn to_spki_der(self) -> Vec<u8> {
        [&SPKI_PREFIX[..], &self.to_sec1()].concat()
    }

    /// SHA-256 of the message.
    pub(super) fn digest(message: &[u8]) -> [u8; 32] {
        Sha256::digest(message).into()
    }

    pub(super) fn verify_digest(&self, digest: &[u8; 32], signature: &Signature) -> Result<(), SignatureInvalid> {
        let parsed = ecdsa::Signature::from_slice(&signature.to_raw()).map_err(|_| SignatureInvalid)?;
        if parsed.normalize_s() != parsed {
            return Err(SignatureInvalid);
        }
        ecdsa::VerifyingKey::from(self.0).verify_prehash(digest, &parsed).map_err(|_| SignatureInvalid)
    }

    /// The signature of the same message with the low `s`: tokens answer either.
    pub(super) fn normalized(signature: &Signature) -> Result<Signature, SignatureInvalid> {
        let parsed = ecdsa::Signature::from_slice(&signature.to_raw()).map_err(|_| SignatureInvalid)?;
        Signature::from_raw(&parsed.normalize_s().to_bytes().into()).map_err(|_| SignatureInvalid)
    }
}
