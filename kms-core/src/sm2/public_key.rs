//! SM2 public keys: encodings, verification, sealing.
//!
//! Not certificates. Guards: every value is a point of sm2p256v1 other than infinity, and has one
//! DER form: 91 bytes of SubjectPublicKeyInfo with an uncompressed point.

use std::fmt;

use ::sm2::{
    dsa::{self, VerifyingKey, signature::hazmat::PrehashVerifier as _},
    elliptic_curve::sec1::ToSec1Point as _,
    pke::{EncryptingKey, Mode},
};
use der::{DecodeValue, EncodeValue, ErrorKind, FixedTag, Header, Length, Reader, Writer, pem::LineEnding};

use super::{SIGNER_ID, rand_core::TryCryptoRng};
use crate::digest::Digest;
use crate::keys::{Signature, SignatureInvalid};

/// Bytes of the SubjectPublicKeyInfo of an SM2 key.
pub const SPKI_BYTES: usize = 91;

/// Most bytes that [`PublicKey::encrypt`] takes: keys and shares, not files.
pub const PLAINTEXT_BYTES_MAX: usize = 4096;

/// PEM label of a public key.
const PEM_LABEL: &str = "PUBLIC KEY";

/// Bytes of an uncompressed point.
const POINT_BYTES: usize = 65;

/// Everything of the SubjectPublicKeyInfo before the point: SEQUENCE { SEQUENCE { OID id-ecPublicKey
/// 1.2.840.10045.2.1, OID sm2p256v1 1.2.156.10197.1.301 }, BIT STRING with 0 unused bits … }.
pub(crate) const SPKI_PREFIX: [u8; SPKI_BYTES - POINT_BYTES] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x81, 0x1c, 0xcf,
    0x55, 0x01, 0x82, 0x2d, 0x03, 0x42, 0x00,
];

/// Bytes of the outer SEQUENCE header within [`SPKI_PREFIX`].
const SPKI_HEADER_BYTES: usize = 2;

/// `a ‖ b ‖ Gx ‖ Gy` of sm2p256v1 (GM/T 0003.5), which Z hashes.
const CURVE_PARAMETERS: [u8; 128] = [
    0xff, 0xff, 0xff, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfc, 0x28, 0xe9, 0xfa, 0x9e, 0x9d, 0x9f,
    0x5e, 0x34, 0x4d, 0x5a, 0x9e, 0x4b, 0xcf, 0x65, 0x09, 0xa7, 0xf3, 0x97, 0x89, 0xf5, 0x15, 0xab, 0x8f, 0x92, 0xdd,
    0xbc, 0xbd, 0x41, 0x4d, 0x94, 0x0e, 0x93, 0x32, 0xc4, 0xae, 0x2c, 0x1f, 0x19, 0x81, 0x19, 0x5f, 0x99, 0x04, 0x46,
    0x6a, 0x39, 0xc9, 0x94, 0x8f, 0xe3, 0x0b, 0xbf, 0xf2, 0x66, 0x0b, 0xe1, 0x71, 0x5a, 0x45, 0x89, 0x33, 0x4c, 0x74,
    0xc7, 0xbc, 0x37, 0x36, 0xa2, 0xf4, 0xf6, 0x77, 0x9c, 0x59, 0xbd, 0xce, 0xe3, 0x6b, 0x69, 0x21, 0x53, 0xd0, 0xa9,
    0x87, 0x7c, 0xc6, 0x2a, 0x47, 0x40, 0x02, 0xdf, 0x32, 0xe5, 0x21, 0x39, 0xf0, 0xa0,
];

/// An SM2 public key. In DER its SubjectPublicKeyInfo.
// Stored format: changing the DER form needs a migration.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(::sm2::PublicKey);

impl PublicKey {
    /// From `04 ‖ x ‖ y`, 65 bytes; compressed and hybrid points are refused.
    pub fn from_sec1(bytes: &[u8]) -> Result<Self, InvalidPublicKey> {
        if bytes.len() != POINT_BYTES {
            return Err(InvalidPublicKey::Length { expected: POINT_BYTES, found: bytes.len() });
        }
        if bytes.first() != Some(&0x04) {
            return Err(InvalidPublicKey::NotUncompressed);
        }
        ::sm2::PublicKey::from_sec1_bytes(bytes).map(Self).map_err(|_| InvalidPublicKey::NotOnCurve)
    }

    /// `04 ‖ x ‖ y`.
    #[must_use]
    pub fn to_sec1(&self) -> [u8; POINT_BYTES] {
        let mut bytes = [0; POINT_BYTES];
        bytes.copy_from_slice(self.0.to_sec1_point(false).as_bytes());
        bytes
    }

    /// From exactly the 91 bytes that [`Self::to_spki_der`] writes.
    pub fn from_spki_der(bytes: &[u8]) -> Result<Self, InvalidPublicKey> {
        if bytes.len() != SPKI_BYTES {
            return Err(InvalidPublicKey::Length { expected: SPKI_BYTES, found: bytes.len() });
        }
        match bytes.strip_prefix(&SPKI_PREFIX) {
            Some(point) => Self::from_sec1(point),
            None => Err(InvalidPublicKey::NotSm2),
        }
    }

    /// SubjectPublicKeyInfo: id-ecPublicKey, sm2p256v1, uncompressed point.
    #[must_use]
    pub fn to_spki_der(&self) -> [u8; SPKI_BYTES] {
        let mut bytes = [0; SPKI_BYTES];
        let (prefix, point) = bytes.split_at_mut(SPKI_PREFIX.len());
        prefix.copy_from_slice(&SPKI_PREFIX);
        point.copy_from_slice(&self.to_sec1());
        bytes
    }

    /// From one `PUBLIC KEY` block.
    pub fn from_pem(text: &str) -> Result<Self, InvalidPublicKey> {
        let (label, der) = der::pem::decode_vec(text.as_bytes()).map_err(|_| InvalidPublicKey::NotPem)?;
        if label != PEM_LABEL {
            return Err(InvalidPublicKey::NotPem);
        }
        Self::from_spki_der(&der)
    }

    /// One `PUBLIC KEY` block, lines of 64, LF.
    #[must_use]
    pub fn to_pem(&self) -> String {
        // 91 bytes always fit; an empty string would be refused by every reader.
        der::pem::encode_string(PEM_LABEL, LineEnding::LF, &self.to_spki_der()).unwrap_or_default()
    }

    /// The key id: SM3 of the SubjectPublicKeyInfo.
    #[must_use]
    pub fn id(&self) -> Digest {
        Digest::of(&self.to_spki_der())
    }

    /// `e = SM3(Z ‖ message)` for the default signer id: what an HSM without SM3 of its own signs.
    #[must_use]
    pub fn digest_for_signing(&self, message: &[u8]) -> [u8; 32] {
        *Digest::of_parts(&[self.identity().as_bytes(), message]).as_bytes()
    }

    /// Verifies a signature over `message` under the default signer id.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), SignatureInvalid> {
        self.verify_digest(&self.digest_for_signing(message), signature)
    }

    /// Verifies a signature over the ready value `e` of [`Self::digest_for_signing`].
    pub fn verify_digest(&self, e: &[u8; 32], signature: &Signature) -> Result<(), SignatureInvalid> {
        let signature = dsa::Signature::from_slice(&signature.to_raw()).map_err(|_| SignatureInvalid)?;
        VerifyingKey::new(SIGNER_ID, self.0)
            .and_then(|key| key.verify_prehash(e, &signature))
            .map_err(|_| SignatureInvalid)
    }

    /// Seals `plaintext`: DER SM2Cipher of GM/T 0009. Anyone can do this; what is sealed is not
    /// thereby authentic.
    pub fn encrypt<R: TryCryptoRng>(&self, plaintext: &[u8], rng: &mut R) -> Result<Vec<u8>, EncryptError> {
        if plaintext.is_empty() {
            return Err(EncryptError::Empty);
        }
        if plaintext.len() > PLAINTEXT_BYTES_MAX {
            return Err(EncryptError::TooLong { limit: PLAINTEXT_BYTES_MAX, found: plaintext.len() });
        }
        let sealed = EncryptingKey::new_with_mode(self.0, Mode::C1C3C2).encrypt_der(rng, plaintext);
        crate::secret::scrub_stack();
        sealed.map_err(|_| EncryptError::Entropy)
    }

    /// `Z = SM3(ENTL ‖ ID ‖ a ‖ b ‖ G ‖ P)`, ENTL the bits of the id in two bytes.
    fn identity(&self) -> Digest {
        const ENTL: [u8; 2] = ((SIGNER_ID.len() * 8) as u16).to_be_bytes();
        let [_, point @ ..] = self.to_sec1();
        Digest::of_parts(&[&ENTL, SIGNER_ID.as_bytes(), &CURVE_PARAMETERS, &point])
    }

    pub(super) const fn from_inner(key: ::sm2::PublicKey) -> Self {
        Self(key)
    }
}

/// The key id, shortened.
impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({:?})", self.id())
    }
}

impl<'a> DecodeValue<'a> for PublicKey {
    type Error = der::Error;

    fn decode_value<R: Reader<'a>>(reader: &mut R, header: Header) -> der::Result<Self> {
        let mut bytes = [0; SPKI_BYTES];
        let (outer, value) = bytes.split_at_mut(SPKI_HEADER_BYTES);
        if usize::try_from(header.length())? != value.len() {
            return Err(reader.error(ErrorKind::Length { tag: Self::TAG }));
        }
        outer.copy_from_slice(&SPKI_PREFIX[..SPKI_HEADER_BYTES]);
        reader.read_into(value)?;
        Self::from_spki_der(&bytes).map_err(|_| reader.error(ErrorKind::Value { tag: Self::TAG }))
    }
}

impl EncodeValue for PublicKey {
    fn value_len(&self) -> der::Result<Length> {
        Length::try_from(SPKI_BYTES - SPKI_HEADER_BYTES)
    }

    fn encode_value(&self, writer: &mut impl Writer) -> der::Result<()> {
        writer.write(&self.to_spki_der()[SPKI_HEADER_BYTES..])
    }
}

impl der::Sequence<'_> for PublicKey {}

/// Why bytes are not an SM2 public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPublicKey {
    /// Too short or too long.
    #[error("an SM2 public key has {expected} bytes in this form, not {found}")]
    Length {
        /// For this form.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
    /// Not a point of sm2p256v1, or a coordinate not below p.
    #[error("the point is not on the curve sm2p256v1")]
    NotOnCurve,
    /// Not one `PUBLIC KEY` block.
    #[error("not a PEM block with the label {PEM_LABEL}")]
    NotPem,
    /// Another algorithm or curve, or parameters written otherwise.
    #[error("not the SubjectPublicKeyInfo of an SM2 key")]
    NotSm2,
    /// A compressed or hybrid point.
    #[error("the point is not uncompressed")]
    NotUncompressed,
}

/// Why nothing was sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncryptError {
    /// SM2 encryption of nothing is not defined.
    #[error("nothing to seal")]
    Empty,
    /// The random source failed.
    #[error("the random source failed")]
    Entropy,
    /// SM2 encrypts keys, not files.
    #[error("{found} bytes to seal, at most {limit} are allowed")]
    TooLong {
        /// [`PLAINTEXT_BYTES_MAX`].
        limit: usize,
        /// Bytes given.
        found: usize,
    },
}
