//! Keys (PKCS#11 2.40 §5.13).

use cryptoki_sys::{
    CK_ATTRIBUTE, CK_BYTE, CK_MECHANISM, CK_OBJECT_HANDLE, CK_SESSION_HANDLE, CK_ULONG, CKF_DERIVE, CKF_GENERATE,
    CKF_GENERATE_KEY_PAIR, CKF_UNWRAP, CKF_WRAP, CKR_ARGUMENTS_BAD, CKR_DATA_LEN_RANGE, CKR_WRAPPED_KEY_INVALID,
};

use super::{
    attributes::template,
    entry,
    faults::{named, told},
    memory::{Output, input, write},
    module,
    parameters::mechanism,
    session,
};
use crate::{
    api::keys::{self, Wrapping},
    rv::{Rv, ensure},
};

entry! {
    /// C_GenerateKey (§5.13).
    C_GenerateKey: fn generate_key(
        handle: CK_SESSION_HANDLE,
        how: *mut CK_MECHANISM,
        list: *mut CK_ATTRIBUTE,
        count: CK_ULONG,
        key: *mut CK_OBJECT_HANDLE,
    ) {
        let session = session(handle)?;
        ensure(!key.is_null(), CKR_ARGUMENTS_BAD)?;
        let mechanism = mechanism(how, module()?.profile(), CKF_GENERATE)?;
        write(key, told(keys::generate(&session, &mechanism, template(list, count)?)?))
    }
}

entry! {
    /// C_GenerateKeyPair (§5.13).
    C_GenerateKeyPair: fn generate_key_pair(
        handle: CK_SESSION_HANDLE,
        how: *mut CK_MECHANISM,
        public_list: *mut CK_ATTRIBUTE,
        public_count: CK_ULONG,
        private_list: *mut CK_ATTRIBUTE,
        private_count: CK_ULONG,
        public: *mut CK_OBJECT_HANDLE,
        private: *mut CK_OBJECT_HANDLE,
    ) {
        let session = session(handle)?;
        ensure(!public.is_null() && !private.is_null(), CKR_ARGUMENTS_BAD)?;
        let mechanism = mechanism(how, module()?.profile(), CKF_GENERATE_KEY_PAIR)?;
        let (public_half, private_half) = (template(public_list, public_count)?, template(private_list, private_count)?);
        let made = keys::generate_pair(&session, &mechanism, public_half, private_half)?;
        write(public, made.0)?;
        write(private, made.1)
    }
}

entry! {
    /// C_WrapKey (§5.13).
    C_WrapKey: fn wrap_key(
        handle: CK_SESSION_HANDLE,
        how: *mut CK_MECHANISM,
        wrapper: CK_OBJECT_HANDLE,
        key: CK_OBJECT_HANDLE,
        out: *mut CK_BYTE,
        length: *mut CK_ULONG,
    ) {
        let session = session(handle)?;
        let out = Output::new(out, length)?;
        let mechanism = mechanism(how, module()?.profile(), CKF_WRAP)?;
        let wrapping = Wrapping::check(&session, &mechanism, wrapper, named(key))?;
        out.fill(wrapping.length(), |blob| wrapping.write(&mechanism, blob)).map(|_| ())
    }
}

entry! {
    /// C_UnwrapKey (§5.13).
    C_UnwrapKey: fn unwrap_key(
        handle: CK_SESSION_HANDLE,
        how: *mut CK_MECHANISM,
        unwrapper: CK_OBJECT_HANDLE,
        blob: *mut CK_BYTE,
        size: CK_ULONG,
        list: *mut CK_ATTRIBUTE,
        count: CK_ULONG,
        key: *mut CK_OBJECT_HANDLE,
    ) {
        let session = session(handle)?;
        ensure(!key.is_null(), CKR_ARGUMENTS_BAD)?;
        let mechanism = mechanism(how, module()?.profile(), CKF_UNWRAP)?;
        let blob = input(blob, size).map_err(|Rv(rv)| if rv == CKR_DATA_LEN_RANGE { Rv(CKR_WRAPPED_KEY_INVALID) } else { Rv(rv) })?;
        write(key, told(keys::unwrap(&session, &mechanism, named(unwrapper), blob, template(list, count)?)?))
    }
}

entry! {
    /// C_DeriveKey (§5.13).
    C_DeriveKey: fn derive_key(
        handle: CK_SESSION_HANDLE,
        how: *mut CK_MECHANISM,
        base: CK_OBJECT_HANDLE,
        list: *mut CK_ATTRIBUTE,
        count: CK_ULONG,
        key: *mut CK_OBJECT_HANDLE,
    ) {
        let session = session(handle)?;
        ensure(!key.is_null(), CKR_ARGUMENTS_BAD)?;
        let mechanism = mechanism(how, module()?.profile(), CKF_DERIVE)?;
        write(key, told(keys::derive(&session, &mechanism, named(base), template(list, count)?)?))
    }
}
