//! RSA public keys that keys are sealed to (RSA-OAEP): parsing only, no arithmetic.
//!
//! Guards: 2048 to 4096 bits in whole bytes, an odd modulus, the exponent 65537, and one DER form
//! (RFC 8017 A.1.1 in the SubjectPublicKeyInfo of RFC 3279 §2.3.1).

use der::asn1::{BitStringRef, UintRef};
use der::{Decode as _, Encode as _, Header, Reader as _, Sequence, SliceReader, Tag};

use super::InvalidPublicKey;

/// Shortest modulus, in bytes.
pub const RSA_BYTES_MIN: usize = 256;

/// Longest modulus, in bytes.
pub const RSA_BYTES_MAX: usize = 512;

/// The only exponent accepted: 65537.
pub const RSA_EXPONENT: [u8; 3] = [0x01, 0x00, 0x01];

/// AlgorithmIdentifier { rsaEncryption 1.2.840.113549.1.1.1, NULL }.
const ALGORITHM: [u8; 15] = [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

/// An RSA public key with the exponent 65537.
#[derive(Clone, PartialEq, Eq)]
pub struct RsaKey {
    modulus: Box<[u8]>,
}

#[derive(Sequence)]
struct RsaPublicKey<'a> {
    modulus: UintRef<'a>,
    exponent: UintRef<'a>,
}

impl RsaKey {
    /// From the big-endian modulus, without leading zeros.
    pub fn from_modulus(modulus: &[u8]) -> Result<Self, InvalidPublicKey> {
        let sized = (RSA_BYTES_MIN..=RSA_BYTES_MAX).contains(&modulus.len());
        let full = modulus.first().is_some_and(|byte| *byte >= 0x80);
        let odd = modulus.last().is_some_and(|byte| byte % 2 == 1);
        if sized && full && odd { Ok(Self { modulus: modulus.into() }) } else { Err(InvalidPublicKey::Rsa) }
    }

    /// The modulus, big-endian.
    #[must_use]
    pub fn modulus(&self) -> &[u8] {
        &self.modulus
    }

    pub(super) fn from_spki_der(bytes: &[u8]) -> Result<Self, InvalidPublicKey> {
        let not_rsa = |_| InvalidPublicKey::Algorithm;
        let mut reader = SliceReader::new(bytes).map_err(not_rsa)?;
        let header = Header::decode(&mut reader).map_err(not_rsa)?;
        header.tag().assert_eq(Tag::Sequence).map_err(not_rsa)?;
        if reader.tlv_bytes().map_err(not_rsa)? != ALGORITHM {
            return Err(InvalidPublicKey::Algorithm);
        }
        let bits = BitStringRef::decode(&mut reader).map_err(not_rsa)?;
        reader.finish().map_err(not_rsa)?;
        let inner = bits.as_bytes().ok_or(InvalidPublicKey::Algorithm)?;
        let parsed = RsaPublicKey::from_der(inner).map_err(not_rsa)?;
        if parsed.exponent.as_bytes() != RSA_EXPONENT {
            return Err(InvalidPublicKey::Rsa);
        }
        let key = Self::from_modulus(parsed.modulus.as_bytes())?;
        if key.to_spki_der() == bytes { Ok(key) } else { Err(InvalidPublicKey::Algorithm) }
    }

    pub(super) fn to_spki_der(&self) -> Vec<u8> {
        // A modulus within the limits always has a DER form; an empty one would be refused by every reader.
        self.encode().unwrap_or_default()
    }

    fn encode(&self) -> der::Result<Vec<u8>> {
        let key = RsaPublicKey { modulus: UintRef::new(&self.modulus)?, exponent: UintRef::new(&RSA_EXPONENT)? };
        let bits = BitStringRef::from_bytes(&key.to_der()?)?.to_der()?;
        let mut bytes = Header::new(Tag::Sequence, der::Length::try_from(ALGORITHM.len() + bits.len())?).to_der()?;
        bytes.extend_from_slice(&ALGORITHM);
        bytes.extend_from_slice(&bits);
        Ok(bytes)
    }
}
