//! Mechanisms with their parameters in C form.
//!
//! Guard: every structure lives until the call with it is over.

use std::ptr;

use cryptoki_sys::{
    CK_AES_CTR_PARAMS, CK_GCM_PARAMS, CK_KEY_DERIVATION_STRING_DATA, CK_MECHANISM, CK_MECHANISM_TYPE, CK_OBJECT_HANDLE,
    CK_RSA_PKCS_OAEP_PARAMS, CK_ULONG, CKG_MGF1_SHA1, CKM_SHA_1, CKZ_DATA_SPECIFIED,
};
use kms_core::ports::HsmResult;

/// Bits of a GCM tag.
const GCM_TAG_BITS: CK_ULONG = 128;

/// A mechanism number with its parameter.
#[derive(Clone, Copy)]
pub(crate) struct Mechanism<'p> {
    pub(crate) number: CK_MECHANISM_TYPE,
    pub(crate) parameter: Parameter<'p>,
}

/// Parameter of a mechanism.
#[derive(Clone, Copy)]
pub(crate) enum Parameter<'p> {
    /// None.
    Nothing,
    /// CK_KEY_DERIVATION_STRING_DATA over the bytes.
    Data(&'p [u8]),
    /// Nonce and additional data.
    Gcm { nonce: &'p [u8], context: &'p [u8] },
    /// CK_AES_CTR_PARAMS: 128 counter bits.
    Ctr(&'p [u8; 16]),
    /// The bytes themselves: an IV.
    Bytes(&'p [u8]),
    /// CK_RSA_PKCS_OAEP_PARAMS with SHA-1.
    Oaep,
    /// Handles of further keys; other arrays of numbers, too.
    Keys(&'p [CK_OBJECT_HANDLE]),
}

/// Runs `body` with the mechanism in C form; every structure lives until it returns.
pub(super) fn with<T>(mechanism: Mechanism<'_>, body: impl FnOnce(*mut CK_MECHANISM) -> HsmResult<T>) -> HsmResult<T> {
    let in_c = |parameter: *mut std::ffi::c_void, bytes: usize| CK_MECHANISM {
        mechanism: mechanism.number,
        pParameter: parameter,
        ulParameterLen: bytes as CK_ULONG,
    };
    match mechanism.parameter {
        Parameter::Nothing => body(&mut in_c(ptr::null_mut(), 0)),
        Parameter::Data(data) => {
            let mut data =
                CK_KEY_DERIVATION_STRING_DATA { pData: data.as_ptr().cast_mut(), ulLen: data.len() as CK_ULONG };
            body(&mut in_c((&raw mut data).cast(), size_of_val(&data)))
        }
        Parameter::Bytes(bytes) => body(&mut in_c(bytes.as_ptr().cast_mut().cast(), bytes.len())),
        Parameter::Ctr(block) => {
            let mut parameters = CK_AES_CTR_PARAMS { ulCounterBits: 128, cb: *block };
            body(&mut in_c((&raw mut parameters).cast(), size_of_val(&parameters)))
        }
        Parameter::Oaep => {
            let mut parameters = CK_RSA_PKCS_OAEP_PARAMS {
                hashAlg: CKM_SHA_1,
                mgf: CKG_MGF1_SHA1,
                source: CKZ_DATA_SPECIFIED,
                pSourceData: ptr::null_mut(),
                ulSourceDataLen: 0,
            };
            body(&mut in_c((&raw mut parameters).cast(), size_of_val(&parameters)))
        }
        Parameter::Keys(keys) => body(&mut in_c(keys.as_ptr().cast_mut().cast(), size_of_val(keys))),
        Parameter::Gcm { nonce, context } => {
            let mut parameters = CK_GCM_PARAMS {
                pIv: nonce.as_ptr().cast_mut(),
                ulIvLen: nonce.len() as CK_ULONG,
                ulIvBits: 8 * nonce.len() as CK_ULONG,
                pAAD: context.as_ptr().cast_mut(),
                ulAADLen: context.len() as CK_ULONG,
                ulTagBits: GCM_TAG_BITS,
            };
            body(&mut in_c((&raw mut parameters).cast(), size_of_val(&parameters)))
        }
    }
}
