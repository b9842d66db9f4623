//! SM2 private keys held in software: officers, bureaus, tests.
//!
//! Not key files (see the module beside). Guards: the scalar lives in one wiped box, is in
//! `1..=n-2`, and stack copies made by curve arithmetic are overwritten before a method returns.

use ::sm2::{
    FieldBytes, ProjectivePoint, Scalar, Sm2, U256, dsa,
    elliptic_curve::{Curve as _, Generate as _, Group as _, ops::Reduce as _, point::AffineCoordinates as _},
    pke::{Cipher, DecryptingKey},
};
use ::sm3::Sm3;
use der::{Decode as _, Encode as _};
use zeroize::{Zeroize as _, Zeroizing};

use super::{PLAINTEXT_BYTES_MAX, PublicKey, Signature, rand_core::TryCryptoRng};
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
        let signs = can_sign(scalar.expose());
        drop(key);
        scrub_stack();
        if signs { Ok(Self { scalar, public }) } else { Err(InvalidScalar) }
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs `message` under the default signer id. The nonce is derived from key and message
    /// (RFC 6979 over SM3), so that signing needs no randomness and leaks none.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Signature {
        let signature = sign_digest(self.scalar.expose(), &self.public.digest_for_signing(message));
        scrub_stack();
        signature
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

/// GM/T 0003.2 section 6.1, steps A3 to A7, with the nonce of RFC 6979.
fn sign_digest(scalar: &[u8; SCALAR_BYTES], e: &[u8; 32]) -> Signature {
    let d = Zeroizing::new(Scalar::reduce(&FieldBytes::from(*scalar)));
    let e = Scalar::reduce(&FieldBytes::from(*e));
    // 1 + d is not zero: see `can_sign`.
    let inverse = Zeroizing::new((*d + Scalar::ONE).invert().unwrap_or(Scalar::ZERO));
    let mut nonces = rfc6979::KGenerator::<Sm3, U256>::new(scalar, &e.to_bytes(), &[], &Sm2::ORDER);
    let mut nonce = FieldBytes::default();
    loop {
        nonces.fill_next_k(&mut nonce);
        let k = Zeroizing::new(Scalar::reduce(&nonce));
        nonce.zeroize();
        let r = e + Scalar::reduce(&ProjectivePoint::mul_by_generator(&*k).to_affine().x());
        let s = *inverse * (*k - r * *d);
        let t_is_zero = bool::from((r + *k).is_zero());
        // r = 0, r + k = n or s = 0: the standard says take another nonce.
        if let (Ok(signature), false) = (dsa::Signature::from_scalars(r, s), t_is_zero) {
            return Signature::from_inner(signature);
        }
    }
}

/// `1 + d` must have an inverse: `d = n - 1` is no SM2 private key (GM/T 0003.1).
fn can_sign(scalar: &[u8; SCALAR_BYTES]) -> bool {
    let d = Zeroizing::new(Scalar::reduce(&FieldBytes::from(*scalar)));
    !bool::from((*d + Scalar::ONE).is_zero())
}

/// The scalar is 0, `n - 1` or not below the group order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the scalar is not an SM2 private key")]
pub struct InvalidScalar;

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
