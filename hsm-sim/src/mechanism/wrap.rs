//! C_WrapKey and C_UnwrapKey: RFC 3394 over SM4, SM4-GCM with an IV of the token's making, and SM2.
//!
//! These blobs are authenticated, so halves cannot be exchanged and padding cannot be probed: whatever is wrong with a blob,
//! the answer is CKR_WRAPPED_KEY_INVALID. ECB, CBC and CBC with padding wrap only in the numberings of vendors that have
//! nothing better: there the weakness is part of what is simulated.

use std::sync::Arc;

use aes_gcm::aead::AeadInOut;
use aes_kw::{AesKw, InnerInit};
use cryptoki_sys::{
    CKR_GENERAL_ERROR, CKR_KEY_SIZE_RANGE, CKR_MECHANISM_PARAM_INVALID, CKR_USER_NOT_LOGGED_IN, CKR_WRAPPED_KEY_INVALID,
};
use sm4::Sm4;

use super::{
    BLOCK_BYTES, Mechanism, Parameter,
    cipher::{CipherOperation, Direction},
    sm2,
};
use crate::{
    object::Object,
    profile::Mech,
    rv::{Result, Rv, ensure},
    secret::{Secret, fill_random},
    storage::seal::{NONCE_BYTES, Sm4Gcm, TAG_BYTES},
};

/// The integrity block of RFC 3394.
const KEY_WRAP_BYTES: usize = 8;
/// Longest blob that is looked at.
const BLOB_BYTES_MAX: usize = 8192;

/// Exact length of the blob of `target`.
pub(crate) fn length(mechanism: &Mechanism, target: &Object) -> Result<usize> {
    let plain = target.secret()?.len();
    match mechanism.mech {
        Mech::Sm4KeyWrap => {
            ensure(plain.is_multiple_of(KEY_WRAP_BYTES) && plain >= 2 * KEY_WRAP_BYTES, CKR_KEY_SIZE_RANGE)?;
            Ok(plain + KEY_WRAP_BYTES)
        }
        Mech::Sm4Gcm => Ok(NONCE_BYTES + plain + TAG_BYTES),
        Mech::Sm2Encrypt => sm2::ciphertext_length(plain, mechanism.form.ciphertext).ok_or(Rv(CKR_KEY_SIZE_RANGE)),
        Mech::Sm4CbcPad | Mech::Sm1CbcPad => Ok((plain / BLOCK_BYTES + 1) * BLOCK_BYTES),
        _ => {
            ensure(plain.is_multiple_of(BLOCK_BYTES), CKR_KEY_SIZE_RANGE)?;
            Ok(plain)
        }
    }
}

/// Writes the blob into `out`, which has exactly [`length`] bytes.
pub(crate) fn wrap(mechanism: &Mechanism, wrapper: &Arc<Object>, target: &Object, out: &mut [u8]) -> Result<()> {
    let plain = target.secret()?.expose();
    match mechanism.mech {
        Mech::Sm4KeyWrap => {
            let cipher = AesKw::inner_init(wrapper.sm4()?);
            cipher.wrap_key(plain, out).map_err(|_| Rv(CKR_KEY_SIZE_RANGE))?;
        }
        Mech::Sm4Gcm => {
            let aad = token_iv_aad(mechanism)?;
            let (iv, rest) = out.split_first_chunk_mut::<NONCE_BYTES>().ok_or(Rv(CKR_GENERAL_ERROR))?;
            let (body, tag) = rest.split_at_mut(plain.len());
            fill_random(iv)?;
            body.copy_from_slice(plain);
            let made = Sm4Gcm::from(wrapper.sm4()?.clone())
                .encrypt_inout_detached((&*iv).into(), aad, body.into())
                .map_err(|_| Rv(CKR_GENERAL_ERROR))?;
            tag.copy_from_slice(&made);
        }
        Mech::Sm2Encrypt => {
            let blob = sm2::encrypt(wrapper, plain, mechanism.form.ciphertext)?;
            ensure(blob.len() == out.len(), CKR_GENERAL_ERROR)?;
            out.copy_from_slice(&blob);
        }
        _ => {
            let operation = CipherOperation::start(Direction::Encrypt, mechanism, Arc::clone(wrapper))?;
            let blob = operation.whole(plain)?;
            ensure(blob.len() == out.len(), CKR_GENERAL_ERROR)?;
            out.copy_from_slice(&blob);
        }
    }
    Ok(())
}

/// Opens a blob.
pub(crate) fn unwrap(mechanism: &Mechanism, unwrapper: &Arc<Object>, blob: &[u8]) -> Result<Secret> {
    let invalid = Rv(CKR_WRAPPED_KEY_INVALID);
    ensure(blob.len() <= BLOB_BYTES_MAX, CKR_WRAPPED_KEY_INVALID)?;
    match mechanism.mech {
        Mech::Sm4KeyWrap => {
            let whole = blob.len().is_multiple_of(KEY_WRAP_BYTES) && blob.len() >= 3 * KEY_WRAP_BYTES;
            ensure(whole, CKR_WRAPPED_KEY_INVALID)?;
            let mut plain = Secret::zeroed(blob.len() - KEY_WRAP_BYTES)?;
            let cipher = AesKw::<&Sm4>::inner_init(unwrapper.sm4()?);
            cipher.unwrap_key(blob, plain.expose_mut()).map_err(|_| invalid)?;
            Ok(plain)
        }
        Mech::Sm4Gcm => {
            let aad = token_iv_aad(mechanism)?;
            let (iv, rest) = blob.split_first_chunk::<NONCE_BYTES>().ok_or(invalid)?;
            let (body, tag) = rest.split_last_chunk::<TAG_BYTES>().ok_or(invalid)?;
            let mut plain = Secret::copy_of(body);
            Sm4Gcm::from(unwrapper.sm4()?.clone())
                .decrypt_inout_detached(iv.into(), aad, plain.expose_mut().into(), tag.into())
                .map_err(|_| invalid)?;
            Ok(plain)
        }
        Mech::Sm2Encrypt => {
            let plain = sm2::decrypt(unwrapper, blob, mechanism.form.ciphertext).map_err(|error| match error {
                Rv(CKR_USER_NOT_LOGGED_IN) => error,
                _ => invalid,
            })?;
            Ok(Secret::copy_of(&plain))
        }
        _ => {
            let operation = CipherOperation::start(Direction::Decrypt, mechanism, Arc::clone(unwrapper))?;
            let plain = operation.whole(blob).map_err(|error| match error {
                Rv(CKR_USER_NOT_LOGGED_IN) => error,
                _ => invalid,
            })?;
            Ok(Secret::copy_of(&plain))
        }
    }
}

/// A caller who chose the IV could wrap a known key under the IV of an unknown one and read the key stream.
fn token_iv_aad(mechanism: &Mechanism) -> Result<&[u8]> {
    match &mechanism.parameter {
        Parameter::None => Ok(&[]),
        Parameter::Gcm { iv: None, aad } => Ok(aad),
        _ => Err(Rv(CKR_MECHANISM_PARAM_INVALID)),
    }
}
