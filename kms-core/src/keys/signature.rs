//! Signature values of both suites: `r ‖ s` and DER.
//!
//! Not the act of signing or verifying. Guards: neither half is zero, and a DER form that is not exactly the one
//! [`Signature::to_der`] writes is refused. Which curve a signature belongs to only a key says: that both halves lie
//! below the order of the curve is checked where it is verified.

use std::fmt;

use der::asn1::UintRef;
use der::{Decode as _, Encode as _, Sequence};

/// Longest DER form: two INTEGERs of 33 bytes.
pub const SIGNATURE_DER_BYTES_MAX: usize = 72;

/// Bytes of one half.
const HALF_BYTES: usize = 32;

/// A signature over a 256-bit curve.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature([u8; 2 * HALF_BYTES]);

#[derive(Sequence)]
struct Pair<'a> {
    r: UintRef<'a>,
    s: UintRef<'a>,
}

impl Signature {
    /// From `r ‖ s`, 32 bytes each, big-endian: what most HSMs answer.
    pub fn from_raw(bytes: &[u8; 64]) -> Result<Self, InvalidSignature> {
        let (r, s) = bytes.split_at(HALF_BYTES);
        let zero = |half: &[u8]| half.iter().all(|byte| *byte == 0);
        if zero(r) || zero(s) { Err(InvalidSignature::OutOfRange) } else { Ok(Self(*bytes)) }
    }

    /// From DER `SEQUENCE { r INTEGER, s INTEGER }` (GM/T 0009, RFC 3279).
    pub fn from_der(bytes: &[u8]) -> Result<Self, InvalidSignature> {
        let pair = Pair::from_der(bytes).map_err(|_| InvalidSignature::NotDer)?;
        let mut raw = [0; 2 * HALF_BYTES];
        let (r, s) = raw.split_at_mut(HALF_BYTES);
        for (half, number) in [(r, pair.r), (s, pair.s)] {
            let digits = number.as_bytes();
            let start = HALF_BYTES.checked_sub(digits.len()).ok_or(InvalidSignature::OutOfRange)?;
            half[start..].copy_from_slice(digits);
        }
        let signature = Self::from_raw(&raw)?;
        if signature.to_der() == bytes { Ok(signature) } else { Err(InvalidSignature::NotDer) }
    }

    /// `r ‖ s`, 32 bytes each, big-endian.
    #[must_use]
    pub const fn to_raw(&self) -> [u8; 64] {
        self.0
    }

    /// DER `SEQUENCE { r INTEGER, s INTEGER }`.
    #[must_use]
    pub fn to_der(&self) -> Vec<u8> {
        let (r, s) = self.0.split_at(HALF_BYTES);
        let pair = UintRef::new(r).and_then(|r| Ok(Pair { r, s: UintRef::new(s)? }));
        // Two numbers of 32 bytes always have a DER form; an empty one would be refused by every reader.
        pair.and_then(|pair| pair.to_der()).unwrap_or_default()
    }
}

/// The first bytes of `r`: enough to tell two signatures apart in a test failure.
impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "Signature({a:02x}{b:02x}{c:02x}{d:02x}…)")
    }
}

/// Why bytes are not a signature at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSignature {
    /// Not the one DER form.
    #[error("the signature is not DER SEQUENCE {{ r INTEGER, s INTEGER }}")]
    NotDer,
    /// `r` or `s` is 0 or longer than 32 bytes.
    #[error("r or s of the signature is out of range")]
    OutOfRange,
}

/// The signature does not belong to this message and key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify")]
pub struct SignatureInvalid;
