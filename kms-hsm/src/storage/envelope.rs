//! Protection at rest for makes that number no GCM: a data key for each piece, kept by the storage key.
//!
//! The data key is 16 random bytes of the token; the token encrypts it under STORAGE KEY, one block in ECB mode (one
//! random block: there is nothing for ECB to repeat). The data is encrypted in the worker with GCM over the suite's
//! block cipher, the context as additional data. The nonce is zero: the data key serves once. Guards: any damage, to
//! the wrapped data key too, shows as a wrong tag; the data key is wiped after the call and never leaves the worker.
//! The cipher in software is table-driven and not constant-time: whoever measures the worker's cache learns of data
//! keys, of card keys nothing.
//!
//! Stored format: changing this needs a migration.

use aes::Aes128;
use aes_gcm::AesGcm;
use aes_gcm::aead::consts::U12;
use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use kms_core::ports::HsmResult;
use sm4::Sm4;
use zeroize::Zeroizing;

use super::{damaged, length};

use crate::raw::Parameter;
use crate::session::Token;
use crate::vendor::{Operation, Suite};

/// Bytes of a data key, and of its wrapped form.
const KEY_BYTES: usize = 16;
/// Bytes of the nonce, all zero.
const NONCE_BYTES: usize = 12;
/// Bytes of a GCM tag.
const TAG_BYTES: usize = 16;

/// `E_storage(data key) ‖ ciphertext ‖ tag`.
pub(super) fn protect(token: &mut Token, storage: u64, plaintext: &[u8], context: &[u8]) -> HsmResult<Vec<u8>> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    token.random(&mut *key)?;
    let mechanism = token.mechanism(Operation::Ecb, Parameter::Nothing)?;
    let (session, functions) = (token.session()?, token.functions());
    let kept = functions.encrypt(session, mechanism, storage, &*key, KEY_BYTES)?;
    length("C_Encrypt", kept.len(), KEY_BYTES)?;
    let payload = Payload { msg: plaintext, aad: context };
    let sealed = match token.map().suite() {
        Suite::Intl => AesGcm::<Aes128, U12>::new((&*key).into()).encrypt(&[0; NONCE_BYTES].into(), payload),
        Suite::Sm => AesGcm::<Sm4, U12>::new((&*key).into()).encrypt(&[0; NONCE_BYTES].into(), payload),
    };
    // Only lengths beyond 64 GiB fail, which no frame carries.
    let sealed = sealed.map_err(|_| crate::fault::refused("protect", "TOO_MANY_BYTES", "more than GCM can take"))?;
    Ok([kept, sealed].concat())
}

/// Opens what [`protect`] made.
pub(super) fn unprotect(token: &mut Token, storage: u64, protected: &[u8], context: &[u8]) -> HsmResult<Vec<u8>> {
    let (kept, sealed) = super::split(protected, KEY_BYTES, TAG_BYTES)?;
    let mechanism = token.mechanism(Operation::Ecb, Parameter::Nothing)?;
    let (session, functions) = (token.session()?, token.functions());
    let key = Zeroizing::new(functions.decrypt(session, mechanism, storage, kept, KEY_BYTES)?);
    length("C_Decrypt", key.len(), KEY_BYTES)?;
    let Some(key) = key.first_chunk::<KEY_BYTES>() else { return Err(damaged()) };
    let payload = Payload { msg: sealed, aad: context };
    let opened = match token.map().suite() {
        Suite::Intl => AesGcm::<Aes128, U12>::new(key.into()).decrypt(&[0; NONCE_BYTES].into(), payload),
        Suite::Sm => AesGcm::<Sm4, U12>::new(key.into()).decrypt(&[0; NONCE_BYTES].into(), payload),
    };
    opened.map_err(|_| damaged())
}
