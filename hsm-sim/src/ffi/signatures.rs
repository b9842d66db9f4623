//! Signatures and MACs (PKCS#11 2.40 §5.11, §5.12). Signatures with message recovery do not exist for SM2.

use cryptoki_sys::{
    CK_BYTE, CK_MECHANISM, CK_OBJECT_HANDLE, CK_SESSION_HANDLE, CK_ULONG, CKF_SIGN, CKF_VERIFY, CKR_DATA_LEN_RANGE,
    CKR_FUNCTION_NOT_SUPPORTED, CKR_OPERATION_ACTIVE, CKR_OPERATION_NOT_INITIALIZED, CKR_SIGNATURE_LEN_RANGE,
};

use super::{
    ciphers::{settle, settle_part},
    entry,
    faults::named,
    memory::{Delivery, Input, Output},
    module,
    parameters::mechanism,
    session,
};
use crate::{
    api::ciphers,
    attribute::Flags,
    mechanism::mac::MacOperation,
    rv::{Result, Rv, ensure},
    session::Work,
};

fn under_way(work: &mut Work, usage: Flags) -> &mut Option<MacOperation> {
    if usage == Flags::SIGN { &mut work.sign } else { &mut work.verify }
}

unsafe fn start(
    handle: CK_SESSION_HANDLE,
    usage: Flags,
    how: *const CK_MECHANISM,
    key: CK_OBJECT_HANDLE,
) -> Result<()> {
    let session = session(handle)?;
    let mut work = session.work();
    let operation = under_way(&mut work, usage);
    ensure(operation.is_none(), CKR_OPERATION_ACTIVE)?;
    let flag = if usage == Flags::SIGN { CKF_SIGN } else { CKF_VERIFY };
    // SAFETY: passed on.
    let mechanism = unsafe { mechanism(how, module()?.profile(), flag)? };
    *operation = Some(ciphers::start_mac(&session, usage, &mechanism, named(key))?);
    Ok(())
}

unsafe fn update(handle: CK_SESSION_HANDLE, usage: Flags, (data, size): (*const CK_BYTE, CK_ULONG)) -> Result<()> {
    let session = session(handle)?;
    let mut work = session.work();
    let operation = under_way(&mut work, usage);
    let running = operation.as_mut().ok_or(Rv(CKR_OPERATION_NOT_INITIALIZED))?;
    running.in_parts = true;
    // SAFETY: passed on.
    let outcome = Input::new(data, size).and_then(|input| running.update(unsafe { input.bytes() }));
    settle_part(operation, outcome.map(|()| Delivery::Written))
}

/// Signs what came before and, in one part, `data`; unless the caller asks for the length or has too little room.
unsafe fn finish_signing(
    handle: CK_SESSION_HANDLE,
    data: Option<(*const CK_BYTE, CK_ULONG)>,
    (out, length): (*mut CK_BYTE, *mut CK_ULONG),
) -> Result<()> {
    let session = session(handle)?;
    let mut work = session.work();
    let running = work.sign.as_ref().ok_or(Rv(CKR_OPERATION_NOT_INITIALIZED))?;
    let attempt = || {
        ensure(data.is_none() || !running.in_parts, CKR_OPERATION_ACTIVE)?;
        let input = data.map_or(Ok(Input::NONE), |(data, size)| Input::new(data, size))?;
        let out = Output::new(out, length)?;
        let length = running.length();
        // SAFETY: passed on.
        unsafe {
            if out.wants_less(length) {
                return out.fill(length, |_| Ok(()));
            }
            let mut running = running.clone();
            running.update(input.bytes())?;
            out.deliver(&running.sign()?)
        }
    };
    let outcome = attempt();
    settle(&mut work.sign, outcome)
}

unsafe fn finish_verifying(
    handle: CK_SESSION_HANDLE,
    data: Option<(*const CK_BYTE, CK_ULONG)>,
    (signature, length): (*const CK_BYTE, CK_ULONG),
) -> Result<()> {
    let session = session(handle)?;
    let mut work = session.work();
    // Whatever comes of it, a verification is over.
    let mut running = work.verify.take().ok_or(Rv(CKR_OPERATION_NOT_INITIALIZED))?;
    ensure(data.is_none() || !running.in_parts, CKR_OPERATION_ACTIVE)?;
    let input = data.map_or(Ok(Input::NONE), |(data, size)| Input::new(data, size))?;
    let too_long = |error| if error == Rv(CKR_DATA_LEN_RANGE) { Rv(CKR_SIGNATURE_LEN_RANGE) } else { error };
    let signature = Input::new(signature, length).map_err(too_long)?;
    // SAFETY: passed on.
    unsafe {
        running.update(input.bytes())?;
        running.verify(signature.bytes())
    }
}

entry! {
    /// C_SignInit (§5.11).
    C_SignInit: fn sign_init(handle: CK_SESSION_HANDLE, how: *mut CK_MECHANISM, key: CK_OBJECT_HANDLE) {
        start(handle, Flags::SIGN, how, key)
    }
}

entry! {
    /// C_Sign (§5.11).
    C_Sign: fn sign(handle: CK_SESSION_HANDLE, data: *mut CK_BYTE, size: CK_ULONG, out: *mut CK_BYTE, length: *mut CK_ULONG) {
        finish_signing(handle, Some((data, size)), (out, length))
    }
}

entry! {
    /// C_SignUpdate (§5.11).
    C_SignUpdate: fn sign_update(handle: CK_SESSION_HANDLE, data: *mut CK_BYTE, size: CK_ULONG) {
        update(handle, Flags::SIGN, (data, size))
    }
}

entry! {
    /// C_SignFinal (§5.11).
    C_SignFinal: fn sign_final(handle: CK_SESSION_HANDLE, out: *mut CK_BYTE, length: *mut CK_ULONG) {
        finish_signing(handle, None, (out, length))
    }
}

entry! {
    /// C_VerifyInit (§5.12).
    C_VerifyInit: fn verify_init(handle: CK_SESSION_HANDLE, how: *mut CK_MECHANISM, key: CK_OBJECT_HANDLE) {
        start(handle, Flags::VERIFY, how, key)
    }
}

entry! {
    /// C_Verify (§5.12).
    C_Verify: fn verify(
        handle: CK_SESSION_HANDLE,
        data: *mut CK_BYTE,
        size: CK_ULONG,
        signature: *mut CK_BYTE,
        length: CK_ULONG,
    ) {
        finish_verifying(handle, Some((data, size)), (signature, length))
    }
}

entry! {
    /// C_VerifyUpdate (§5.12).
    C_VerifyUpdate: fn verify_update(handle: CK_SESSION_HANDLE, data: *mut CK_BYTE, size: CK_ULONG) {
        update(handle, Flags::VERIFY, (data, size))
    }
}

entry! {
    /// C_VerifyFinal (§5.12).
    C_VerifyFinal: fn verify_final(handle: CK_SESSION_HANDLE, signature: *mut CK_BYTE, length: CK_ULONG) {
        finish_verifying(handle, None, (signature, length))
    }
}

/// Signatures with message recovery: SM2 has none.
macro_rules! recovery {
    ($($init:ident: $init_entry:ident, $whole:ident: $whole_entry:ident;)*) => {$(
        entry! {
            /// Refuses (§5.11, §5.12).
            $init: fn $init_entry(handle: CK_SESSION_HANDLE, _how: *mut CK_MECHANISM, _key: CK_OBJECT_HANDLE) {
                session(handle)?;
                Err(Rv(CKR_FUNCTION_NOT_SUPPORTED))
            }
        }

        entry! {
            /// Refuses (§5.11, §5.12).
            $whole: fn $whole_entry(
                handle: CK_SESSION_HANDLE,
                _data: *mut CK_BYTE,
                _size: CK_ULONG,
                _out: *mut CK_BYTE,
                _length: *mut CK_ULONG,
            ) {
                session(handle)?;
                Err(Rv(CKR_FUNCTION_NOT_SUPPORTED))
            }
        }
    )*};
}

recovery! {
    C_SignRecoverInit: sign_recover_init, C_SignRecover: sign_recover;
    C_VerifyRecoverInit: verify_recover_init, C_VerifyRecover: verify_recover;
}
