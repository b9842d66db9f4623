//! Sessions, login, random numbers, and what is left of parallel functions (PKCS#11 2.40 §5.6, §5.14, §5.15).

use cryptoki_sys::{
    CK_BYTE, CK_FLAGS, CK_NOTIFY, CK_OBJECT_HANDLE, CK_SESSION_HANDLE, CK_SESSION_INFO, CK_SLOT_ID, CK_ULONG,
    CK_USER_TYPE, CK_UTF8CHAR, CK_VOID_PTR, CKF_RW_SESSION, CKF_SERIAL_SESSION, CKR_ARGUMENTS_BAD,
    CKR_FUNCTION_NOT_PARALLEL, CKR_FUNCTION_NOT_SUPPORTED, CKR_OPERATION_NOT_INITIALIZED, CKR_PIN_LEN_RANGE,
    CKR_SESSION_PARALLEL_NOT_SUPPORTED, CKR_USER_TYPE_INVALID, CKU_CONTEXT_SPECIFIC, CKU_SO, CKU_USER,
};

use super::{
    entry,
    faults::plan,
    memory::{input, pin, write},
    module, session,
};
use crate::{
    rv::{Rv, ensure},
    secret::{fill_random, stir_random},
    storage::meta::PinOwner,
};

/// Random bytes of one call.
const RANDOM_BYTES_MAX: CK_ULONG = 64 * 1024 * 1024;

entry! {
    /// C_OpenSession (§5.6).
    C_OpenSession: fn open_session(
        slot: CK_SLOT_ID,
        flags: CK_FLAGS,
        _application: CK_VOID_PTR,
        _notify: CK_NOTIFY,
        handle: *mut CK_SESSION_HANDLE,
    ) {
        let module = module()?;
        ensure(!handle.is_null(), CKR_ARGUMENTS_BAD)?;
        ensure(flags & CKF_SERIAL_SESSION != 0, CKR_SESSION_PARALLEL_NOT_SUPPORTED)?;
        write(handle, module.open_session(slot, flags & CKF_RW_SESSION != 0)?)
    }
}

entry! {
    /// C_CloseSession (§5.6).
    C_CloseSession: fn close_session(handle: CK_SESSION_HANDLE) {
        module()?.close_session(handle)
    }
}

entry! {
    /// C_CloseAllSessions (§5.6).
    C_CloseAllSessions: fn close_all_sessions(slot: CK_SLOT_ID) {
        module()?.close_all_sessions(slot)
    }
}

entry! {
    /// C_GetSessionInfo (§5.6).
    C_GetSessionInfo: fn session_info(handle: CK_SESSION_HANDLE, info: *mut CK_SESSION_INFO) {
        write(info, session(handle)?.info())
    }
}

entry! {
    /// C_GetOperationState (§5.6).
    C_GetOperationState: fn operation_state(handle: CK_SESSION_HANDLE, _state: *mut CK_BYTE, _length: *mut CK_ULONG) {
        session(handle)?;
        Err(Rv(CKR_FUNCTION_NOT_SUPPORTED))
    }
}

entry! {
    /// C_SetOperationState (§5.6).
    C_SetOperationState: fn set_operation_state(
        handle: CK_SESSION_HANDLE,
        _state: *mut CK_BYTE,
        _length: CK_ULONG,
        _encryption_key: CK_OBJECT_HANDLE,
        _authentication_key: CK_OBJECT_HANDLE,
    ) {
        session(handle)?;
        Err(Rv(CKR_FUNCTION_NOT_SUPPORTED))
    }
}

entry! {
    /// C_Login (§5.6).
    C_Login: fn login(handle: CK_SESSION_HANDLE, user: CK_USER_TYPE, given: *mut CK_UTF8CHAR, length: CK_ULONG) {
        let module = module()?;
        module.session(handle)?;
        let owner = match user {
            CKU_SO => PinOwner::So,
            CKU_USER => PinOwner::User,
            // No key has ALWAYS_AUTHENTICATE, so no operation waits for a PIN.
            CKU_CONTEXT_SPECIFIC => return Err(Rv(CKR_OPERATION_NOT_INITIALIZED)),
            _ => return Err(Rv(CKR_USER_TYPE_INVALID)),
        };
        // A PIN of impossible length is a wrong PIN: it counts.
        let pin = match pin(given, length) {
            Err(Rv(CKR_PIN_LEN_RANGE)) => &[][..],
            other => other?,
        };
        module.log_in(handle, owner, pin)
    }
}

entry! {
    /// C_Logout (§5.6).
    C_Logout: fn logout(handle: CK_SESSION_HANDLE) {
        session(handle)?.token().log_out()
    }
}

entry! {
    /// C_SeedRandom (§5.14).
    C_SeedRandom: fn seed_random(handle: CK_SESSION_HANDLE, seed: *mut CK_BYTE, length: CK_ULONG) {
        session(handle)?;
        ensure(length <= RANDOM_BYTES_MAX, CKR_ARGUMENTS_BAD)?;
        stir_random(input(seed, length)?)
    }
}

entry! {
    /// C_GenerateRandom (§5.14).
    C_GenerateRandom: fn generate_random(handle: CK_SESSION_HANDLE, data: *mut CK_BYTE, length: CK_ULONG) {
        session(handle)?;
        ensure(!data.is_null() && length <= RANDOM_BYTES_MAX, CKR_ARGUMENTS_BAD)?;
        if length == 0 {
            return Ok(());
        }
        let out = std::slice::from_raw_parts_mut(data, length as usize);
        fill_random(out)?;
        if let Some(plan) = plan() {
            // The caller is told no length: only a repeated answer changes anything.
            plan.answer(out);
        }
        Ok(())
    }
}

entry! {
    /// C_GetFunctionStatus (§5.15).
    C_GetFunctionStatus: fn function_status(handle: CK_SESSION_HANDLE) {
        session(handle)?;
        Err(Rv(CKR_FUNCTION_NOT_PARALLEL))
    }
}

entry! {
    /// C_CancelFunction (§5.15).
    C_CancelFunction: fn cancel_function(handle: CK_SESSION_HANDLE) {
        session(handle)?;
        Err(Rv(CKR_FUNCTION_NOT_PARALLEL))
    }
}
