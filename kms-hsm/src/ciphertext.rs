//! Sealed keys between the token's form and ours.
//!
//! RSA-OAEP has one form. Of SM2 ciphertexts ours is SM2Cipher of GM/T 0009: SEQUENCE { x INTEGER, y INTEGER, hash OCTET STRING, cipher OCTET
//! STRING }. Some makes use `04 ‖ x ‖ y ‖ C3 ‖ C2`. No cryptography here. Guards: lengths are exact,
//! numbers fit 32 bytes.

use der::asn1::{OctetString, UintRef};
use der::{Decode as _, Encode as _, Sequence};
use kms_core::ports::{HsmError, HsmResult};

use crate::fault::refused;
use crate::vendor::{CiphertextEncoding, Suite, VendorMap};

/// Largest sealed 16-byte key: RSA with 4096 bits; SM2 in either form is shorter.
pub(crate) const CIPHERTEXT_BYTES_MAX: usize = RSA_BYTES_MAX;

/// Bytes of RSA moduli: 2048 to 4096 bits.
const RSA_BYTES_MIN: usize = 256;
const RSA_BYTES_MAX: usize = 512;

const COORDINATE_BYTES: usize = 32;
const HASH_BYTES: usize = 32;
const POINT_TAG: u8 = 4;

#[derive(Sequence)]
struct Sm2Cipher<'a> {
    x: UintRef<'a>,
    y: UintRef<'a>,
    hash: OctetString,
    cipher: OctetString,
}

/// From the token's form to ours.
pub(crate) fn from_token(map: &VendorMap, bytes: &[u8]) -> HsmResult<Vec<u8>> {
    match map.suite() {
        Suite::Intl => oaep_block("C_WrapKey", bytes).map(<[u8]>::to_vec),
        Suite::Sm => sm2_from_token(map.ciphertext(), bytes),
    }
}

/// From our form to the token's.
pub(crate) fn to_token(map: &VendorMap, sealed: &[u8]) -> HsmResult<Vec<u8>> {
    match map.suite() {
        Suite::Intl => oaep_block("sealed key", sealed).map(<[u8]>::to_vec),
        Suite::Sm => sm2_to_token(map.ciphertext(), sealed),
    }
}

/// The block of RSA-OAEP is as long as the modulus.
fn oaep_block<'b>(function: &str, bytes: &'b [u8]) -> HsmResult<&'b [u8]> {
    if (RSA_BYTES_MIN..=RSA_BYTES_MAX).contains(&bytes.len()) {
        return Ok(bytes);
    }
    let detail = format!("{} bytes; RSA-OAEP gives {RSA_BYTES_MIN} to {RSA_BYTES_MAX}", bytes.len());
    Err(refused(function, "CIPHERTEXT", detail))
}

fn sm2_from_token(encoding: CiphertextEncoding, bytes: &[u8]) -> HsmResult<Vec<u8>> {
    match encoding {
        CiphertextEncoding::Der => {
            Sm2Cipher::from_der(bytes).map_err(|error| unreadable(&error))?;
            Ok(bytes.to_vec())
        }
        CiphertextEncoding::C1C3C2 => {
            let rest = bytes.strip_prefix(&[POINT_TAG]).unwrap_or(bytes);
            let parts = rest.split_at_checked(COORDINATE_BYTES).and_then(|(x, rest)| {
                let (y, rest) = rest.split_at_checked(COORDINATE_BYTES)?;
                let (hash, cipher) = rest.split_at_checked(HASH_BYTES)?;
                (!cipher.is_empty()).then_some((x, y, hash, cipher))
            });
            let Some((x, y, hash, cipher)) = parts else {
                let detail = format!("an SM2 ciphertext of {} bytes", bytes.len());
                return Err(refused("C_WrapKey", "ANSWER_LENGTH", detail));
            };
            let encode = || {
                Sm2Cipher {
                    x: UintRef::new(x)?,
                    y: UintRef::new(y)?,
                    hash: OctetString::new(hash)?,
                    cipher: OctetString::new(cipher)?,
                }
                .to_der()
            };
            encode().map_err(|error: der::Error| unreadable(&error))
        }
    }
}

fn sm2_to_token(encoding: CiphertextEncoding, der: &[u8]) -> HsmResult<Vec<u8>> {
    let cipher = Sm2Cipher::from_der(der).map_err(|error| unreadable(&error))?;
    if encoding == CiphertextEncoding::Der {
        return Ok(der.to_vec());
    }
    let mut raw = vec![POINT_TAG];
    for number in [cipher.x.as_bytes(), cipher.y.as_bytes()] {
        let Some(zeros) = COORDINATE_BYTES.checked_sub(number.len()) else {
            return Err(refused("sealed key", "CIPHERTEXT", "a coordinate of more than 32 bytes"));
        };
        raw.extend(std::iter::repeat_n(0, zeros));
        raw.extend_from_slice(number);
    }
    raw.extend_from_slice(cipher.hash.as_bytes());
    raw.extend_from_slice(cipher.cipher.as_bytes());
    Ok(raw)
}

fn unreadable(error: &der::Error) -> HsmError {
    refused("sealed key", "CIPHERTEXT", format!("not an SM2Cipher of GM/T 0009: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_one_ciphertext() {
        let mut raw = vec![4];
        raw.extend([0x00, 0x91].iter().chain(&[7; 30]));
        raw.extend([0x90; 32].iter().chain(&[1; 32]).chain(&[2; 16]));
        let der = sm2_from_token(CiphertextEncoding::C1C3C2, &raw).unwrap();
        assert_eq!(sm2_to_token(CiphertextEncoding::C1C3C2, &der).unwrap(), raw);
        assert_eq!(sm2_to_token(CiphertextEncoding::Der, &der).unwrap(), der);
        assert!(sm2_from_token(CiphertextEncoding::C1C3C2, &raw[..97]).is_err());
        assert!(sm2_to_token(CiphertextEncoding::Der, &raw).is_err());
    }
}
