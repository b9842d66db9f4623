//! CK_MECHANISM: number and parameter, checked against what the mechanism takes.

use cryptoki_sys::{
    CK_FLAGS, CK_GCM_PARAMS, CK_KEY_DERIVATION_STRING_DATA, CK_MAC_GENERAL_PARAMS, CK_MECHANISM, CK_OBJECT_HANDLE,
    CK_ULONG, CKR_MECHANISM_INVALID, CKR_MECHANISM_PARAM_INVALID,
};

use super::memory::{BAD_PARAMETER, input, read};
use crate::{
    api::keys::COMPONENTS_MAX,
    mechanism::{BLOCK_BYTES, Mechanism, Parameter, sm2::SIGNER_ID_BYTES_MAX},
    profile::{Mech, Profile, SignerId},
    rv::{Result, Rv, ensure},
};

const GCM_IV_BYTES: CK_ULONG = 12;
const GCM_TAG_BITS: CK_ULONG = 128;
const AAD_BYTES_MAX: CK_ULONG = 64 * 1024;
const STRING_DATA_BYTES_MAX: CK_ULONG = 512;

/// Reads a mechanism that is meant for one of the purposes `flags`.
pub(super) unsafe fn mechanism(pointer: *const CK_MECHANISM, profile: &Profile, flags: CK_FLAGS) -> Result<Mechanism> {
    // SAFETY: passed on.
    let raw = unsafe { read(pointer)? };
    let (mech, form) = profile.mech(raw.mechanism, flags).ok_or(Rv(CKR_MECHANISM_INVALID))?;
    // SAFETY: passed on; each reader checks the size it needs.
    let parameter = unsafe {
        match mech {
            Mech::Sm4Cbc | Mech::Sm4CbcPad | Mech::Sm1Cbc | Mech::Sm1CbcPad => {
                Parameter::Iv(bytes(&raw)?.try_into().map_err(|_| BAD_PARAMETER)?)
            }
            Mech::Sm4Gcm if raw.ulParameterLen == 0 => Parameter::None,
            Mech::Sm4Gcm => gcm(&raw)?,
            Mech::Sm4EcbEncryptData | Mech::Sm1EcbEncryptData => string_data(&raw)?,
            Mech::Sm4MacGeneral | Mech::Sm1MacGeneral => tag_bytes(&raw)?,
            Mech::XorKeys => handles(&raw)?,
            Mech::Sm2Sm3 if raw.ulParameterLen > 0 && form.signer_id == SignerId::AnyOrDefault => {
                ensure(raw.ulParameterLen <= SIGNER_ID_BYTES_MAX as CK_ULONG, CKR_MECHANISM_PARAM_INVALID)?;
                Parameter::SignerId(bytes(&raw)?.to_vec())
            }
            _ => {
                ensure(raw.ulParameterLen == 0, CKR_MECHANISM_PARAM_INVALID)?;
                Parameter::None
            }
        }
    };
    Ok(Mechanism { mech, number: raw.mechanism, form, parameter })
}

unsafe fn bytes<'a>(raw: &CK_MECHANISM) -> Result<&'a [u8]> {
    // SAFETY: passed on.
    unsafe { input(raw.pParameter.cast(), raw.ulParameterLen) }.map_err(|_| BAD_PARAMETER)
}

/// The parameter as a struct of exactly its size.
unsafe fn structure<T: Copy>(raw: &CK_MECHANISM) -> Result<T> {
    ensure(raw.ulParameterLen == size_of::<T>() as CK_ULONG, CKR_MECHANISM_PARAM_INVALID)?;
    // SAFETY: the size is right; the caller vouches for the memory.
    unsafe { read(raw.pParameter.cast::<T>()) }.map_err(|_| BAD_PARAMETER)
}

unsafe fn gcm(raw: &CK_MECHANISM) -> Result<Parameter> {
    // SAFETY: passed on; the struct's pointers are the caller's.
    unsafe {
        let params: CK_GCM_PARAMS = structure(raw)?;
        ensure(params.ulTagBits == GCM_TAG_BITS && params.ulAADLen <= AAD_BYTES_MAX, CKR_MECHANISM_PARAM_INVALID)?;
        let aad = input(params.pAAD, params.ulAADLen).map_err(|_| BAD_PARAMETER)?.to_vec();
        let iv = match params.ulIvLen {
            0 => None,
            GCM_IV_BYTES => {
                let iv = input(params.pIv, params.ulIvLen).map_err(|_| BAD_PARAMETER)?;
                Some(iv.try_into().map_err(|_| BAD_PARAMETER)?)
            }
            _ => return Err(BAD_PARAMETER),
        };
        Ok(Parameter::Gcm { iv, aad })
    }
}

unsafe fn string_data(raw: &CK_MECHANISM) -> Result<Parameter> {
    // SAFETY: passed on; the struct's pointer is the caller's.
    unsafe {
        let params: CK_KEY_DERIVATION_STRING_DATA = structure(raw)?;
        let whole = params.ulLen > 0 && params.ulLen.is_multiple_of(BLOCK_BYTES as CK_ULONG);
        ensure(whole && params.ulLen <= STRING_DATA_BYTES_MAX, CKR_MECHANISM_PARAM_INVALID)?;
        let data = input(params.pData, params.ulLen).map_err(|_| BAD_PARAMETER)?;
        Ok(Parameter::StringData(data.to_vec()))
    }
}

unsafe fn tag_bytes(raw: &CK_MECHANISM) -> Result<Parameter> {
    // SAFETY: passed on.
    let length: CK_MAC_GENERAL_PARAMS = unsafe { structure(raw)? };
    ensure((1..=BLOCK_BYTES as CK_ULONG).contains(&length), CKR_MECHANISM_PARAM_INVALID)?;
    Ok(Parameter::TagBytes(length as usize))
}

unsafe fn handles(raw: &CK_MECHANISM) -> Result<Parameter> {
    let most = ((COMPONENTS_MAX - 1) * size_of::<CK_OBJECT_HANDLE>()) as CK_ULONG;
    ensure((1..=most).contains(&raw.ulParameterLen), CKR_MECHANISM_PARAM_INVALID)?;
    // SAFETY: passed on.
    let (handles, trailing) = unsafe { bytes(raw)? }.as_chunks::<8>();
    ensure(trailing.is_empty(), CKR_MECHANISM_PARAM_INVALID)?;
    Ok(Parameter::Handles(handles.iter().map(|handle| CK_ULONG::from_ne_bytes(*handle)).collect()))
}
