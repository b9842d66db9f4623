//! SM2 private keys held in software: officers, bureaus, tests.
//!
//! Not key files (see the module beside). Guards: the scalar lives in one wiped box, is in
//! `1..=n-2`, and stack copies made by curve arithmetic are overwritten before a method returns.

use ::sm2::{
    Sm2,
    dsa::{self, signature::Signer as _},
    elliptic_curve::Generate as _,
    pke::{Cipher, DecryptingKey},
};
use ::sm3::Sm3;
use der::{Decode as _, Encode as _};
use zeroize::Zeroizing;

use super::{PLAINTEXT_BYTES_MAX, PublicKey, SIGNER_ID, rand_core::TryCryptoRng};
use crate::keys::Signature;
use crate::secret::{Secret, scrub_stack};

/// Bytes of a private scalar.
pub const SCALAR_BYTES: usize = 32;

/// Bytes that SM2Cipher adds to a plaintext, at most: two coordinates, a digest and six headers.
const CIPHER_OVERHEAD_BYTES_MAX: usize = 128;

/// An SM2 private key. No `Debug`, no `Clone`; wiped on drop.
pub struct SecretKey {
    scalar: Secret<SCALAR_BYTES>,
    public: PublicKey,
}

impl SecretKey {
    /// A fresh key from `rng`.
    pub fn generate<R: TryCryptoRng>(rng: &mut R) -> Result<Self, GenerateError> {
        let key = ::sm2::SecretKey::try_generate_from_rng(rng).map_err(|_| GenerateError::Entropy)?;
        let generated = Self::from_inner(key);
        scrub_stack();
        // n - 1 comes up once in 2^256 times; then the random source is broken.
        generated.map_err(|InvalidScalar| GenerateError::Entropy)
    }

    /// From the 32-byte big-endian scalar.
    pub fn from_scalar(scalar: Secret<SCALAR_BYTES>) -> Result<Self, InvalidScalar> {
        let key = ::sm2::SecretKey::from_slice(scalar.expose()).map_err(|_| InvalidScalar)?;
        let public = PublicKey::from_inner(key.public_key());
        drop(key);
        let key = Self { scalar, public };
        // `1 + d` must have an inverse: `d = n - 1` is no SM2 private key (GM/T 0003.1). A trial shows it.
        key.sign(b"").map_err(|SigningFailed| InvalidScalar)?;
        Ok(key)
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs `message` under the default signer id. The nonce is derived from key and message
    /// (RFC 6979 over SM3), so that signing needs no randomness and leaks none.
    pub fn sign(&self, message: &[u8]) -> Result<Signature, SigningFailed> {
        let signed = dsa::SigningKey::from_slice(SIGNER_ID, self.scalar.expose()).and_then(|key| key.try_sign(message));
        scrub_stack();
        let signed = signed.map_err(|_| SigningFailed)?;
        Signature::from_raw(&signed.to_bytes().into()).map_err(|_| SigningFailed)
    }

    /// Opens a DER SM2Cipher of GM/T 0009 as [`PublicKey::encrypt`] makes it.
    pub fn decrypt(&self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, DecryptError> {
        let limit = PLAINTEXT_BYTES_MAX + CIPHER_OVERHEAD_BYTES_MAX;
        if sealed.len() > limit {
            return Err(DecryptError::TooLong { limit, found: sealed.len() });
        }
        let cipher = Cipher::<Sm2, Sm3>::from_der(sealed).map_err(|_| DecryptError::NotSm2Cipher)?;
        if cipher.to_der().map_err(|_| DecryptError::NotSm2Cipher)? != sealed {
            return Err(DecryptError::NotSm2Cipher);
        }
        let opened = DecryptingKey::from_slice(self.scalar.expose()).and_then(|key| key.decrypt_cipher(&cipher));
        scrub_stack();
        opened.map(Zeroizing::new).map_err(|_| DecryptError::WrongKeyOrDamaged)
    }

    /// The scalar, big-endian, for import into a token.
    #[must_use]
    pub fn expose_scalar(&self) -> &[u8; SCALAR_BYTES] {
        self.scalar.expose()
    }

    pub(super) fn from_inner(key: ::sm2::SecretKey) -> Result<Self, InvalidScalar> {
        let mut bytes: [u8; SCALAR_BYTES] = key.to_bytes().into();
        let scalar = Secret::take(&mut bytes);
        drop(key);
        Self::from_scalar(scalar)
    }
}

/// The scalar is 0, `n - 1` or not below the group order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the scalar is not an SM2 private key")]
pub struct InvalidScalar;

/// The arithmetic met a value that the standard excludes (`r = 0`, `s = 0`): once in 2^256 messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this message cannot be signed with this key")]
pub struct SigningFailed;

/// Why no key was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GenerateError {
    /// The random source failed.
    #[error("the random source failed")]
    Entropy,
}

/// Why nothing was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecryptError {
    /// Not DER, or a point off the curve.
    #[error("not the DER form of an SM2Cipher (GM/T 0009)")]
    NotSm2Cipher,
    /// Longer than anything [`PublicKey::encrypt`] makes.
    #[error("{found} sealed bytes, at most {limit} are accepted")]
    TooLong {
        /// Bytes accepted.
        limit: usize,
        /// Bytes given.
        found: usize,
    },
    /// The digest inside does not match.
    #[error("sealed to another key, or damaged")]
    WrongKeyOrDamaged,
}
