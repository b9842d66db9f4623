//! Sealing: SM4-GCM under 16-byte token keys, and the key that a PIN stands for.
//!
//! Guards: attributes and key bytes of one file are bound together, so that an EXTRACTABLE bit cannot be turned on disk.

use aes_gcm::{
    AesGcm,
    aead::{AeadInOut, consts::U12},
};
use cryptoki_sys::CKR_DEVICE_ERROR;
use hmac::{Hmac, KeyInit, Mac};
use sm3::Sm3;
use sm4::Sm4;
use zeroize::Zeroizing;

use crate::{
    rv::{Result, Rv, ensure},
    secret::{Secret, fill_random},
};

pub(crate) type Sm4Gcm = AesGcm<Sm4, U12>;

pub(crate) const NONCE_BYTES: usize = 12;
pub(crate) const TAG_BYTES: usize = 16;
/// Length of the keys that seal.
pub(crate) const SEAL_KEY_BYTES: usize = 16;
pub(crate) const SALT_BYTES: usize = 16;
/// PBKDF2 rounds: about 50 ms of one core in a release build. A simulator's PIN is not worth more of every test's time.
const PBKDF2_ROUNDS: u32 = 50_000;

/// nonce ‖ ciphertext ‖ tag.
pub(crate) fn seal(key: &Secret, context: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
    let cipher = Sm4Gcm::new_from_slice(key.expose()).map_err(|_| Rv(CKR_DEVICE_ERROR))?;
    let mut out = vec![0; NONCE_BYTES + plain.len()];
    let (nonce, body) = out.split_at_mut(NONCE_BYTES);
    fill_random(nonce)?;
    body.copy_from_slice(plain);
    let nonce: &[u8; NONCE_BYTES] = (&*nonce).try_into().map_err(|_| Rv(CKR_DEVICE_ERROR))?;
    let tag = cipher.encrypt_inout_detached(nonce.into(), context, body.into()).map_err(|_| Rv(CKR_DEVICE_ERROR))?;
    out.extend_from_slice(&tag);
    Ok(out)
}

/// Opens what [`seal`] made; `None` if a single bit of key, context or sealed bytes differs.
pub(crate) fn open(key: &Secret, context: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let cipher = Sm4Gcm::new_from_slice(key.expose()).ok()?;
    let (nonce, rest) = sealed.split_first_chunk::<NONCE_BYTES>()?;
    let (body, tag) = rest.split_last_chunk::<TAG_BYTES>()?;
    let mut plain = Zeroizing::new(body.to_vec());
    cipher.decrypt_inout_detached(nonce.into(), context, plain.as_mut_slice().into(), tag.into()).ok()?;
    Some(plain)
}

/// The sealing key of a PIN.
pub(crate) fn pin_key(pin: &[u8], salt: &[u8; SALT_BYTES]) -> Result<Secret> {
    let mut key = Secret::zeroed(SEAL_KEY_BYTES)?;
    pbkdf2::pbkdf2::<Hmac<Sm3>>(pin, salt, PBKDF2_ROUNDS, key.expose_mut()).map_err(|_| Rv(CKR_DEVICE_ERROR))?;
    Ok(key)
}

/// A keyed name for a public value, so that equality can be seen without showing the value.
pub(crate) fn tag(key: &Secret, message: &[u8]) -> Result<[u8; 16]> {
    let mut mac = Hmac::<Sm3>::new_from_slice(key.expose()).map_err(|_| Rv(CKR_DEVICE_ERROR))?;
    mac.update(message);
    let full = mac.finalize().into_bytes();
    let mut short = [0; 16];
    ensure(full.len() >= short.len(), CKR_DEVICE_ERROR)?;
    short.copy_from_slice(&full[..16]);
    Ok(short)
}
