//! Keyed card index, protection at rest, random bytes, and the log head kept in the token.
//!
//! Guards: lengths of every answer, a fresh nonce per protection from the token itself, and a log
//! head that is read back before "durable" is said.

mod envelope;

use cryptoki_sys::{
    CK_OBJECT_HANDLE, CKA_APPLICATION, CKA_CLASS, CKA_LABEL, CKA_MODIFIABLE, CKA_OBJECT_ID, CKA_PRIVATE, CKA_TOKEN,
    CKA_VALUE, CKO_DATA,
};
use kms_core::id::ObjectId;
use kms_core::ports::{FaultClass, HsmError, HsmResult, LOG_HEAD_BYTES_MAX};
use zeroize::Zeroizing;

use crate::fault::{about, fault, refused};
use crate::raw::{Encoded, Parameter};
use crate::session::Token;
use crate::template::{INDEX, STORAGE, Template};
use crate::twice::{steady_value, twice, unsteady};
use crate::vendor::Operation;

/// Most random bytes in one call.
const RANDOM_BYTES_MAX: u32 = 64 * 1024;
/// Bytes of an HMAC with SM3 or SHA-256.
pub(crate) const INDEX_BYTES: usize = 32;
/// Bytes of a GCM nonce: the length for which GCM needs no extra hashing.
const NONCE_BYTES: usize = 12;
/// Bytes of a GCM tag.
const TAG_BYTES: usize = 16;

const HEAD_LABEL: &[u8] = b"kms-log-head";
const HEAD_APPLICATION: &[u8] = b"kms";

/// Random bytes from the token.
pub(crate) fn random(token: &mut Token, count: u32) -> HsmResult<Vec<u8>> {
    if count > RANDOM_BYTES_MAX {
        let detail = format!("{count} bytes; at most {RANDOM_BYTES_MAX} are given in a call");
        return Err(refused("random", "TOO_MANY_BYTES", detail));
    }
    let mut drawn = vec![0; count as usize];
    token.random(&mut drawn)?;
    Ok(drawn)
}

/// HMAC of each value.
pub(crate) fn card_index(token: &mut Token, index: ObjectId, values: &[Vec<u8>]) -> HsmResult<Vec<Vec<u8>>> {
    let key = token.find_one(&INDEX, index)?;
    let mechanism = token.mechanism(Operation::Hmac, Parameter::Nothing)?;
    let (session, functions) = (token.session()?, token.functions());
    let mut answers = Vec::with_capacity(values.len());
    for value in values {
        // A wrong value would hide that the card is known already.
        answers.push(twice("C_Sign", || {
            let mut out = [0; INDEX_BYTES];
            let length = functions.sign(session, mechanism, key, value, &mut out)?;
            if length != INDEX_BYTES {
                return Err(refused("C_Sign", "ANSWER_LENGTH", format!("an HMAC of {length} bytes")));
            }
            Ok(out.to_vec())
        })?);
    }
    Ok(answers)
}

/// Nonce ‖ ciphertext ‖ tag, or an envelope where the make has no GCM.
// Stored format: changing this needs a migration.
pub(crate) fn protect(token: &mut Token, storage: ObjectId, plaintext: &[u8], context: &[u8]) -> HsmResult<Vec<u8>> {
    let protected = protect_once(token, storage, plaintext, context)?;
    // What cannot be opened again is lost: only the token can tell.
    match unprotect_once(token, storage, &protected, context).map(Zeroizing::new) {
        Ok(opened) if *opened == plaintext => Ok(protected),
        Err(error) if !is_wrong_tag(&error) => Err(error),
        _ => Err(unsteady("C_Encrypt")),
    }
}

fn protect_once(token: &mut Token, storage: ObjectId, plaintext: &[u8], context: &[u8]) -> HsmResult<Vec<u8>> {
    let key = token.find_one(&STORAGE, storage)?;
    if token.map().storage() == Operation::Ecb {
        return envelope::protect(token, key, plaintext, context);
    }
    let mut nonce = [0; NONCE_BYTES];
    token.random(&mut nonce)?;
    let mechanism = token.mechanism(Operation::Gcm, Parameter::Gcm { nonce: &nonce, context })?;
    let (session, functions) = (token.session()?, token.functions());
    let expected = plaintext.len() + TAG_BYTES;
    let sealed = functions.encrypt(session, mechanism, key, plaintext, expected)?;
    length("C_Encrypt", sealed.len(), expected)?;
    Ok([&nonce[..], &sealed].concat())
}

/// Opens what [`protect`] made.
pub(crate) fn unprotect(token: &mut Token, storage: ObjectId, protected: &[u8], context: &[u8]) -> HsmResult<Vec<u8>> {
    // The tag was checked inside; what arrived here of the plaintext was not.
    let mut open = || twice("C_Decrypt", || unprotect_once(token, storage, protected, context).map(Zeroizing::new));
    let vague = |error: &HsmError| error.function == "C_Decrypt" && error.code == "CKR_GENERAL_ERROR";
    let opened = match open() {
        // Some makes say this to a wrong tag, and to that they say it every time.
        Err(error) if vague(&error) => open().map_err(|mut error| {
            if vague(&error) {
                error.class = FaultClass::Refused;
            }
            error
        }),
        opened => opened,
    };
    let opened = opened
        .map_err(|error| if error.class == FaultClass::Refused { about(error, || DAMAGED.to_owned()) } else { error });
    opened.map(|mut plaintext| std::mem::take(&mut *plaintext))
}

fn unprotect_once(token: &mut Token, storage: ObjectId, protected: &[u8], context: &[u8]) -> HsmResult<Vec<u8>> {
    if token.map().storage() == Operation::Ecb {
        let key = token.find_one(&STORAGE, storage)?;
        return envelope::unprotect(token, key, protected, context);
    }
    let (nonce, sealed) = split(protected, NONCE_BYTES, TAG_BYTES)?;
    let key = token.find_one(&STORAGE, storage)?;
    let mechanism = token.mechanism(Operation::Gcm, Parameter::Gcm { nonce, context })?;
    let (session, functions) = (token.session()?, token.functions());
    functions.decrypt(session, mechanism, key, sealed, sealed.len())
}

/// What makes say to a wrong tag, and what the worker does.
fn is_wrong_tag(error: &HsmError) -> bool {
    let codes = ["CKR_ENCRYPTED_DATA_INVALID", "CKR_ENCRYPTED_DATA_LEN_RANGE", "CKR_AEAD_DECRYPT_FAILED", "DAMAGED"];
    codes.contains(&error.code.as_str())
}

/// What a wrong tag means.
const DAMAGED: &str = "damaged, or protected under another context or key";

fn damaged() -> HsmError {
    refused("unprotect", "DAMAGED", DAMAGED)
}

/// What stands before the ciphertext, and ciphertext with tag.
fn split(protected: &[u8], before: usize, tag: usize) -> HsmResult<(&[u8], &[u8])> {
    let parts = protected.split_at_checked(before).filter(|(_, sealed)| sealed.len() >= tag);
    parts.ok_or_else(|| {
        let detail = format!("{} bytes; what surrounds the data alone has {}", protected.len(), before + tag);
        refused("unprotect", "TOO_SHORT", detail)
    })
}

fn length(function: &str, found: usize, expected: usize) -> HsmResult<()> {
    if found == expected {
        return Ok(());
    }
    Err(refused(function, "ANSWER_LENGTH", format!("{found} bytes instead of {expected}")))
}

/// The record kept in the token, if any.
pub(crate) fn log_head(token: &mut Token) -> HsmResult<Option<Vec<u8>>> {
    let Some(object) = find_head(token)? else {
        return Ok(None);
    };
    let session = token.session()?;
    let value = steady_value(&token.functions(), session, object, CKA_VALUE)?;
    value.map(Some).ok_or_else(|| refused("C_GetAttributeValue", "LOG_HEAD", "the token does not show CKA_VALUE"))
}

/// Replaces the record and reads it back.
pub(crate) fn set_log_head(token: &mut Token, head: &[u8]) -> HsmResult<()> {
    if head.len() > LOG_HEAD_BYTES_MAX {
        let detail = format!("{} bytes; at most {LOG_HEAD_BYTES_MAX} are kept", head.len());
        return Err(refused("set_log_head", "TOO_MANY_BYTES", detail));
    }
    let (existing, session, functions) = (find_head(token)?, token.session()?, token.functions());
    match existing {
        Some(object) => {
            let change = Template::default().bytes(CKA_VALUE, head);
            match functions.set_attributes(session, object, &mut Encoded::of(&change)) {
                // SoftHSM: the value of a data object is that of its creation.
                Err(error) if error.code == "CKR_ATTRIBUTE_READ_ONLY" => replace_head(token, object, head)?,
                set => set?,
            }
        }
        None => create_head(token, 0, head)?,
    }
    if log_head(token)?.as_deref() == Some(head) {
        return Ok(());
    }
    Err(fault(FaultClass::Indeterminate, "set_log_head", "LOG_HEAD", "the token shows another record than was set"))
}

/// Every record, also one that another process is replacing at this moment.
pub(crate) fn heads(token: &mut Token) -> HsmResult<Vec<CK_OBJECT_HANDLE>> {
    token.find_all(&head_template())
}

/// The record; of several, which a replacement cut off in the middle leaves, the latest.
fn find_head(token: &mut Token) -> HsmResult<Option<CK_OBJECT_HANDLE>> {
    let found = token.find_all(&head_template())?;
    if let [] | [_] = found.as_slice() {
        return Ok(found.first().copied());
    }
    let aged = found.iter().map(|object| Ok((generation(token, *object)?, *object)));
    let mut aged = aged.collect::<HsmResult<Vec<_>>>()?;
    aged.sort_unstable();
    match aged.as_slice() {
        [.., (older, _), (newest, object)] if older < newest => Ok(Some(*object)),
        _ => Err(refused("C_FindObjects", "OBJECT_COUNT", format!("{} log heads; officers must decide", found.len()))),
    }
}

/// A new record first, then the old ones go: at every moment the latest is in the token.
fn replace_head(token: &mut Token, latest: CK_OBJECT_HANDLE, head: &[u8]) -> HsmResult<()> {
    let next = generation(token, latest)? + 1;
    create_head(token, next, head)?;
    for object in token.find_all(&head_template())? {
        if generation(token, object)? < next {
            let session = token.session()?;
            token.functions().destroy(session, object)?;
        }
    }
    Ok(())
}

fn create_head(token: &mut Token, generation: u64, head: &[u8]) -> HsmResult<()> {
    // Private: without login anybody at the library could change a public data object.
    let mut fresh =
        head_template().flag(CKA_TOKEN, true).flag(CKA_PRIVATE, true).flag(CKA_MODIFIABLE, true).bytes(CKA_VALUE, head);
    if generation > 0 {
        fresh = fresh.bytes(CKA_OBJECT_ID, &generation.to_be_bytes());
    }
    let session = token.session()?;
    token.functions().create_object(session, &mut Encoded::of(&fresh)).map(drop)
}

/// How often a record was replaced by a new object before: 0 where the make changes it in place.
fn generation(token: &mut Token, object: CK_OBJECT_HANDLE) -> HsmResult<u64> {
    let session = token.session()?;
    let value = token.functions().value(session, object, CKA_OBJECT_ID)?.unwrap_or_default();
    match <[u8; 8]>::try_from(value.as_slice()) {
        Ok(bytes) => Ok(u64::from_be_bytes(bytes)),
        Err(_) if value.is_empty() => Ok(0),
        Err(_) => Err(refused("CKA_OBJECT_ID", "LOG_HEAD", format!("a log head with an id of {} bytes", value.len()))),
    }
}

fn head_template() -> Template {
    Template::default()
        .number(CKA_CLASS, CKO_DATA)
        .bytes(CKA_APPLICATION, HEAD_APPLICATION)
        .bytes(CKA_LABEL, HEAD_LABEL)
}
