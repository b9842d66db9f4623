//! Encryption, decryption and digests (PKCS#11 2.40 §5.8 to §5.10), and the dual functions (§5.12), which the token does
//! not have.

use cryptoki_sys::{
    CK_BYTE, CK_MECHANISM, CK_OBJECT_HANDLE, CK_SESSION_HANDLE, CK_ULONG, CKF_DECRYPT, CKF_DIGEST, CKF_ENCRYPT,
    CKR_BUFFER_TOO_SMALL, CKR_FUNCTION_NOT_SUPPORTED, CKR_OPERATION_ACTIVE, CKR_OPERATION_NOT_INITIALIZED,
};

use super::{
    entry,
    faults::named,
    memory::{Delivery, Output, input},
    module,
    parameters::mechanism,
    session,
};
use crate::{
    api::ciphers,
    mechanism::cipher::{CipherOperation, Direction},
    rv::{Result, Rv, ensure},
    session::Work,
};

fn under_way(work: &mut Work, direction: Direction) -> &mut Option<CipherOperation> {
    match direction {
        Direction::Encrypt => &mut work.encrypt,
        Direction::Decrypt => &mut work.decrypt,
    }
}

unsafe fn start(
    handle: CK_SESSION_HANDLE,
    direction: Direction,
    how: *const CK_MECHANISM,
    key: CK_OBJECT_HANDLE,
) -> Result<()> {
    let session = session(handle)?;
    let mut work = session.work();
    let operation = under_way(&mut work, direction);
    ensure(operation.is_none(), CKR_OPERATION_ACTIVE)?;
    let flag = if direction == Direction::Encrypt { CKF_ENCRYPT } else { CKF_DECRYPT };
    // SAFETY: passed on.
    let mechanism = unsafe { mechanism(how, module()?.profile(), flag)? };
    *operation = Some(ciphers::start_cipher(&session, direction, &mechanism, named(key))?);
    Ok(())
}

/// The operation goes on after a question for the length and after CKR_BUFFER_TOO_SMALL, and ends in every other case
/// (PKCS#11 2.40 §5.8).
fn settle<T>(operation: &mut Option<T>, outcome: Result<Delivery>) -> Result<()> {
    match outcome {
        Ok(Delivery::LengthOnly) => Ok(()),
        Err(Rv(CKR_BUFFER_TOO_SMALL)) => Err(Rv(CKR_BUFFER_TOO_SMALL)),
        Ok(Delivery::Written) => {
            *operation = None;
            Ok(())
        }
        Err(error) => {
            *operation = None;
            Err(error)
        }
    }
}

unsafe fn whole(handle: CK_SESSION_HANDLE, direction: Direction, data: &[u8], out: &Output) -> Result<()> {
    let session = session(handle)?;
    let mut work = session.work();
    let operation = under_way(&mut work, direction);
    let running = operation.as_ref().ok_or(Rv(CKR_OPERATION_NOT_INITIALIZED))?;
    ensure(!running.in_parts, CKR_OPERATION_ACTIVE)?;
    // SAFETY: passed on.
    let outcome = unsafe {
        match running.whole_length(data.len()).filter(|length| out.wants_less(*length)) {
            Some(length) => out.fill(length, |_| Ok(())),
            None => running.whole(data).and_then(|bytes| out.deliver(&bytes)),
        }
    };
    settle(operation, outcome)
}

unsafe fn part(handle: CK_SESSION_HANDLE, direction: Direction, data: &[u8], out: &Output) -> Result<()> {
    let session = session(handle)?;
    let mut work = session.work();
    let operation = under_way(&mut work, direction);
    let running = operation.as_mut().ok_or(Rv(CKR_OPERATION_NOT_INITIALIZED))?;
    let length = running.update_length(data.len());
    // SAFETY: passed on.
    unsafe {
        if out.wants_less(length) && (length > 0 || out.is_question()) {
            return out.fill(length, |_| Ok(())).map(|_| ());
        }
        running.in_parts = true;
        let outcome = running.update(data).and_then(|bytes| out.deliver(&bytes));
        if outcome.is_err() {
            *operation = None;
        }
        outcome.map(|_| ())
    }
}

unsafe fn last(handle: CK_SESSION_HANDLE, direction: Direction, out: &Output) -> Result<()> {
    let session = session(handle)?;
    let mut work = session.work();
    let operation = under_way(&mut work, direction);
    let running = operation.clone().ok_or(Rv(CKR_OPERATION_NOT_INITIALIZED))?;
    // SAFETY: passed on.
    let outcome = unsafe { running.last().and_then(|bytes| out.deliver(&bytes)) };
    settle(operation, outcome)
}

entry! {
    /// C_EncryptInit (§5.8).
    C_EncryptInit: fn encrypt_init(handle: CK_SESSION_HANDLE, how: *mut CK_MECHANISM, key: CK_OBJECT_HANDLE) {
        start(handle, Direction::Encrypt, how, key)
    }
}

entry! {
    /// C_Encrypt (§5.8).
    C_Encrypt: fn encrypt(handle: CK_SESSION_HANDLE, data: *mut CK_BYTE, size: CK_ULONG, out: *mut CK_BYTE, length: *mut CK_ULONG) {
        whole(handle, Direction::Encrypt, input(data, size)?, &Output::new(out, length)?)
    }
}

entry! {
    /// C_EncryptUpdate (§5.8).
    C_EncryptUpdate: fn encrypt_update(
        handle: CK_SESSION_HANDLE,
        data: *mut CK_BYTE,
        size: CK_ULONG,
        out: *mut CK_BYTE,
        length: *mut CK_ULONG,
    ) {
        part(handle, Direction::Encrypt, input(data, size)?, &Output::new(out, length)?)
    }
}

entry! {
    /// C_EncryptFinal (§5.8).
    C_EncryptFinal: fn encrypt_final(handle: CK_SESSION_HANDLE, out: *mut CK_BYTE, length: *mut CK_ULONG) {
        last(handle, Direction::Encrypt, &Output::new(out, length)?)
    }
}

entry! {
    /// C_DecryptInit (§5.9).
    C_DecryptInit: fn decrypt_init(handle: CK_SESSION_HANDLE, how: *mut CK_MECHANISM, key: CK_OBJECT_HANDLE) {
        start(handle, Direction::Decrypt, how, key)
    }
}

entry! {
    /// C_Decrypt (§5.9).
    C_Decrypt: fn decrypt(handle: CK_SESSION_HANDLE, data: *mut CK_BYTE, size: CK_ULONG, out: *mut CK_BYTE, length: *mut CK_ULONG) {
        whole(handle, Direction::Decrypt, input(data, size)?, &Output::new(out, length)?)
    }
}

entry! {
    /// C_DecryptUpdate (§5.9).
    C_DecryptUpdate: fn decrypt_update(
        handle: CK_SESSION_HANDLE,
        data: *mut CK_BYTE,
        size: CK_ULONG,
        out: *mut CK_BYTE,
        length: *mut CK_ULONG,
    ) {
        part(handle, Direction::Decrypt, input(data, size)?, &Output::new(out, length)?)
    }
}

entry! {
    /// C_DecryptFinal (§5.9).
    C_DecryptFinal: fn decrypt_final(handle: CK_SESSION_HANDLE, out: *mut CK_BYTE, length: *mut CK_ULONG) {
        last(handle, Direction::Decrypt, &Output::new(out, length)?)
    }
}

entry! {
    /// C_DigestInit (§5.10).
    C_DigestInit: fn digest_init(handle: CK_SESSION_HANDLE, how: *mut CK_MECHANISM) {
        let session = session(handle)?;
        let mut work = session.work();
        ensure(work.digest.is_none(), CKR_OPERATION_ACTIVE)?;
        work.digest = Some(ciphers::start_digest(&mechanism(how, module()?.profile(), CKF_DIGEST)?)?);
        Ok(())
    }
}

entry! {
    /// C_Digest (§5.10).
    C_Digest: fn digest(handle: CK_SESSION_HANDLE, data: *mut CK_BYTE, size: CK_ULONG, out: *mut CK_BYTE, length: *mut CK_ULONG) {
        let session = session(handle)?;
        let mut work = session.work();
        let running = work.digest.as_ref().ok_or(Rv(CKR_OPERATION_NOT_INITIALIZED))?;
        ensure(!running.in_parts, CKR_OPERATION_ACTIVE)?;
        let (data, out) = (input(data, size)?, Output::new(out, length)?);
        let outcome = out.deliver(&running.digest_of(data));
        settle(&mut work.digest, outcome)
    }
}

entry! {
    /// C_DigestUpdate (§5.10).
    C_DigestUpdate: fn digest_update(handle: CK_SESSION_HANDLE, data: *mut CK_BYTE, size: CK_ULONG) {
        let session = session(handle)?;
        let mut work = session.work();
        work.digest.as_mut().ok_or(Rv(CKR_OPERATION_NOT_INITIALIZED))?.update(input(data, size)?);
        Ok(())
    }
}

entry! {
    /// C_DigestKey (§5.10).
    C_DigestKey: fn digest_key(handle: CK_SESSION_HANDLE, key: CK_OBJECT_HANDLE) {
        let session = session(handle)?;
        let mut work = session.work();
        let running = work.digest.as_mut().ok_or(Rv(CKR_OPERATION_NOT_INITIALIZED))?;
        ciphers::digest_key(&session, running, key)
    }
}

entry! {
    /// C_DigestFinal (§5.10).
    C_DigestFinal: fn digest_final(handle: CK_SESSION_HANDLE, out: *mut CK_BYTE, length: *mut CK_ULONG) {
        let session = session(handle)?;
        let mut work = session.work();
        let running = work.digest.as_ref().ok_or(Rv(CKR_OPERATION_NOT_INITIALIZED))?;
        let outcome = Output::new(out, length)?.deliver(&running.digest_of(&[]));
        settle(&mut work.digest, outcome)
    }
}

/// Two operations in one pass: the token has none.
macro_rules! dual {
    ($($function:ident: $name:ident;)*) => {$(
        entry! {
            /// Refuses (§5.12).
            $function: fn $name(
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

dual! {
    C_DigestEncryptUpdate: digest_encrypt_update;
    C_DecryptDigestUpdate: decrypt_digest_update;
    C_SignEncryptUpdate: sign_encrypt_update;
    C_DecryptVerifyUpdate: decrypt_verify_update;
}
