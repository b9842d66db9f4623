//! Encryption, decryption and digests (PKCS#11 2.40 §5.8 to §5.10), and the dual functions (§5.12), which the token does
//! not have.

use cryptoki_sys::{
    CK_BYTE, CK_MECHANISM, CK_OBJECT_HANDLE, CK_SESSION_HANDLE, CK_ULONG, CKF_DECRYPT, CKF_DIGEST, CKF_ENCRYPT,
    CKR_BUFFER_TOO_SMALL, CKR_DATA_LEN_RANGE, CKR_ENCRYPTED_DATA_LEN_RANGE, CKR_FUNCTION_NOT_SUPPORTED,
    CKR_OPERATION_ACTIVE, CKR_OPERATION_NOT_INITIALIZED,
};

use super::{
    entry,
    faults::named,
    memory::{Delivery, Input, Output},
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

/// The operation goes on after a question for the length and after CKR_BUFFER_TOO_SMALL, and ends in every other case,
/// also when an argument was bad (PKCS#11 2.40 §5.8).
pub(super) fn settle<T>(operation: &mut Option<T>, outcome: Result<Delivery>) -> Result<()> {
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

/// As [`settle`], for a part of many: success does not end the operation.
pub(super) fn settle_part<T>(operation: &mut Option<T>, outcome: Result<Delivery>) -> Result<()> {
    match outcome {
        Ok(_) => Ok(()),
        Err(error) => settle(operation, Err(error)),
    }
}

/// The caller's input; one that is too long is ciphertext of a wrong length where ciphertext is expected.
fn taken(direction: Direction, data: *const CK_BYTE, size: CK_ULONG) -> Result<Input> {
    Input::new(data, size).map_err(|error| match (direction, error) {
        (Direction::Decrypt, Rv(CKR_DATA_LEN_RANGE)) => Rv(CKR_ENCRYPTED_DATA_LEN_RANGE),
        _ => error,
    })
}

unsafe fn whole(
    handle: CK_SESSION_HANDLE,
    direction: Direction,
    (data, size): (*const CK_BYTE, CK_ULONG),
    (out, length): (*mut CK_BYTE, *mut CK_ULONG),
) -> Result<()> {
    let session = session(handle)?;
    let mut work = session.work();
    let operation = under_way(&mut work, direction);
    let running = operation.as_ref().ok_or(Rv(CKR_OPERATION_NOT_INITIALIZED))?;
    let attempt = || {
        ensure(!running.in_parts, CKR_OPERATION_ACTIVE)?;
        let (input, out) = (taken(direction, data, size)?, Output::new(out, length)?);
        // SAFETY: passed on.
        unsafe {
            match running.whole_length(input.len()).filter(|length| out.wants_less(*length)) {
                Some(length) => out.fill(length, |_| Ok(())),
                None => running.whole(input.bytes()).and_then(|bytes| out.deliver(&bytes)),
            }
        }
    };
    let outcome = attempt();
    settle(operation, outcome)
}

unsafe fn part(
    handle: CK_SESSION_HANDLE,
    direction: Direction,
    (data, size): (*const CK_BYTE, CK_ULONG),
    (out, length): (*mut CK_BYTE, *mut CK_ULONG),
) -> Result<()> {
    let session = session(handle)?;
    let mut work = session.work();
    let operation = under_way(&mut work, direction);
    let running = operation.as_mut().ok_or(Rv(CKR_OPERATION_NOT_INITIALIZED))?;
    let mut attempt = || {
        let (input, out) = (taken(direction, data, size)?, Output::new(out, length)?);
        let length = running.update_length(input.len());
        // SAFETY: passed on.
        unsafe {
            if out.wants_less(length) && (length > 0 || out.is_question()) {
                return out.fill(length, |_| Ok(()));
            }
            running.in_parts = true;
            running.update(input.bytes()).and_then(|bytes| out.deliver(&bytes))
        }
    };
    let outcome = attempt();
    settle_part(operation, outcome)
}

unsafe fn last(
    handle: CK_SESSION_HANDLE,
    direction: Direction,
    (out, length): (*mut CK_BYTE, *mut CK_ULONG),
) -> Result<()> {
    let session = session(handle)?;
    let mut work = session.work();
    let operation = under_way(&mut work, direction);
    let running = operation.clone().ok_or(Rv(CKR_OPERATION_NOT_INITIALIZED))?;
    // SAFETY: passed on.
    let outcome =
        unsafe { Output::new(out, length).and_then(|out| running.last().and_then(|bytes| out.deliver(&bytes))) };
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
        whole(handle, Direction::Encrypt, (data, size), (out, length))
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
        part(handle, Direction::Encrypt, (data, size), (out, length))
    }
}

entry! {
    /// C_EncryptFinal (§5.8).
    C_EncryptFinal: fn encrypt_final(handle: CK_SESSION_HANDLE, out: *mut CK_BYTE, length: *mut CK_ULONG) {
        last(handle, Direction::Encrypt, (out, length))
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
        whole(handle, Direction::Decrypt, (data, size), (out, length))
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
        part(handle, Direction::Decrypt, (data, size), (out, length))
    }
}

entry! {
    /// C_DecryptFinal (§5.9).
    C_DecryptFinal: fn decrypt_final(handle: CK_SESSION_HANDLE, out: *mut CK_BYTE, length: *mut CK_ULONG) {
        last(handle, Direction::Decrypt, (out, length))
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
        let attempt = || {
            ensure(!running.in_parts, CKR_OPERATION_ACTIVE)?;
            let (input, out) = (Input::new(data, size)?, Output::new(out, length)?);
            if out.wants_less(running.length()) {
                return out.fill(running.length(), |_| Ok(()));
            }
            out.deliver(&running.digest_of(input.bytes()))
        };
        let outcome = attempt();
        settle(&mut work.digest, outcome)
    }
}

entry! {
    /// C_DigestUpdate (§5.10).
    C_DigestUpdate: fn digest_update(handle: CK_SESSION_HANDLE, data: *mut CK_BYTE, size: CK_ULONG) {
        let session = session(handle)?;
        let mut work = session.work();
        let running = work.digest.as_mut().ok_or(Rv(CKR_OPERATION_NOT_INITIALIZED))?;
        let outcome = Input::new(data, size).map(|input| {
            running.update(input.bytes());
            Delivery::Written
        });
        settle_part(&mut work.digest, outcome)
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
        let outcome = Output::new(out, length).and_then(|out| out.deliver(&running.digest_of(&[])));
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
