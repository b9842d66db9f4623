//! SM2 signature values: `r ‖ s` and DER.
//!
//! Not the act of signing or verifying. Guards: `r` and `s` are in `1..n`, and a DER form that is
//! not exactly the one [`Signature::to_der`] writes is refused.

use std::fmt;

use ::sm2::dsa;

/// Longest DER form: two INTEGERs of 33 bytes.
pub const SIGNATURE_DER_BYTES_MAX: usize = 72;

/// An SM2 signature.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(dsa::Signature);

impl Signature {
    /// From `r ‖ s`, 32 bytes each, big-endian: what most HSMs answer.
    pub fn from_raw(bytes: &[u8; 64]) -> Result<Self, InvalidSignature> {
        dsa::Signature::from_slice(bytes).map(Self).map_err(|_| InvalidSignature::OutOfRange)
    }

    /// From DER `SEQUENCE { r INTEGER, s INTEGER }` (GM/T 0009).
    pub fn from_der(bytes: &[u8]) -> Result<Self, InvalidSignature> {
        let signature = dsa::Signature::from_der(bytes).map_err(|_| InvalidSignature::NotDer)?;
        if signature.to_der().as_bytes() != bytes {
            return Err(InvalidSignature::NotDer);
        }
        Ok(Self(signature))
    }

    /// `r ‖ s`, 32 bytes each, big-endian.
    #[must_use]
    pub fn to_raw(&self) -> [u8; 64] {
        self.0.to_bytes().into()
    }

    /// DER `SEQUENCE { r INTEGER, s INTEGER }`.
    #[must_use]
    pub fn to_der(&self) -> Vec<u8> {
        self.0.to_der().to_vec()
    }

    pub(super) const fn from_inner(signature: dsa::Signature) -> Self {
        Self(signature)
    }

    pub(super) const fn inner(&self) -> &dsa::Signature {
        &self.0
    }
}

/// The first bytes of `r`: enough to tell two signatures apart in a test failure.
impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.to_raw();
        write!(f, "Signature({a:02x}{b:02x}{c:02x}{d:02x}…)")
    }
}

/// Why bytes are not a signature at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSignature {
    /// Not the one DER form.
    #[error("the signature is not DER SEQUENCE {{ r INTEGER, s INTEGER }} with both in range")]
    NotDer,
    /// `r` or `s` is 0 or not below the group order.
    #[error("r or s of the signature is out of range")]
    OutOfRange,
}

/// The signature does not belong to this message and key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the SM2 signature does not verify")]
pub struct SignatureInvalid;
