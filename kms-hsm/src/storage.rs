//! Keyed card index, protection at rest, random bytes, and the log head kept in the token.
//!
//! Guards: lengths of every answer, a fresh nonce per protection from the token itself, and a log
//! head that is read back before "durable" is said.

use cryptoki_sys::{
    CKA_APPLICATION, CKA_CLASS, CKA_LABEL, CKA_MODIFIABLE, CKA_PRIVATE, CKA_TOKEN, CKA_VALUE, CKO_DATA,
};
use kms_core::id::ObjectId;
use kms_core::ports::{FaultClass, HsmResult, LOG_HEAD_BYTES_MAX};

use crate::fault::{about, fault, from_cryptoki, refused};
use crate::raw::{Encoded, Parameter};
use crate::session::Token;
use crate::template::{INDEX, STORAGE, Template};
use crate::vendor::Operation;

/// Most random bytes in one call.
const RANDOM_BYTES_MAX: u32 = 64 * 1024;
/// Bytes of an HMAC-SM3 value.
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
    token.open()?.generate_random_vec(count).map_err(from_cryptoki)
}

/// HMAC-SM3 of each value.
pub(crate) fn card_index(token: &mut Token, index: ObjectId, values: &[Vec<u8>]) -> HsmResult<Vec<Vec<u8>>> {
    let key = token.find_one(&INDEX, index)?;
    let mechanism = token.mechanism(Operation::Hmac, Parameter::Nothing)?;
    let (session, functions) = (token.session()?, token.functions());
    let mut answers = Vec::with_capacity(values.len());
    for value in values {
        let mut out = [0; INDEX_BYTES];
        let length = functions.sign(session, mechanism, key, value, &mut out)?;
        if length != INDEX_BYTES {
            return Err(refused("C_Sign", "ANSWER_LENGTH", format!("an HMAC of {length} bytes")));
        }
        answers.push(out.to_vec());
    }
    Ok(answers)
}

/// Nonce ‖ ciphertext ‖ tag.
// Stored format: changing this needs a migration.
pub(crate) fn protect(token: &mut Token, storage: ObjectId, plaintext: &[u8], context: &[u8]) -> HsmResult<Vec<u8>> {
    let key = token.find_one(&STORAGE, storage)?;
    let mut nonce = [0; NONCE_BYTES];
    token.open()?.generate_random_slice(&mut nonce).map_err(from_cryptoki)?;
    let mechanism = token.mechanism(Operation::Gcm, Parameter::Gcm { nonce: &nonce, context })?;
    let (session, functions) = (token.session()?, token.functions());
    let length = plaintext.len() + TAG_BYTES;
    let sealed = functions.encrypt(session, mechanism, key, plaintext, length)?;
    if sealed.len() != length {
        return Err(refused("C_Encrypt", "ANSWER_LENGTH", format!("{} bytes instead of {length}", sealed.len())));
    }
    Ok([&nonce[..], &sealed].concat())
}

/// Opens what [`protect`] made.
pub(crate) fn unprotect(token: &mut Token, storage: ObjectId, protected: &[u8], context: &[u8]) -> HsmResult<Vec<u8>> {
    let split = protected.split_at_checked(NONCE_BYTES).filter(|(_, sealed)| sealed.len() >= TAG_BYTES);
    let Some((nonce, sealed)) = split else {
        let detail = format!("{} bytes; nonce and tag alone have {}", protected.len(), NONCE_BYTES + TAG_BYTES);
        return Err(refused("unprotect", "TOO_SHORT", detail));
    };
    let key = token.find_one(&STORAGE, storage)?;
    let mechanism = token.mechanism(Operation::Gcm, Parameter::Gcm { nonce, context })?;
    let (session, functions) = (token.session()?, token.functions());
    functions.decrypt(session, mechanism, key, sealed, sealed.len()).map_err(|mut error| {
        // Some makes say GENERAL_ERROR to a wrong tag; a repeat cannot help either way.
        if error.function == "C_Decrypt" && error.class == FaultClass::Indeterminate {
            error.class = FaultClass::Refused;
        }
        about(error, || "damaged, or protected under another context or key".to_owned())
    })
}

/// The record kept in the token, if any.
pub(crate) fn log_head(token: &mut Token) -> HsmResult<Option<Vec<u8>>> {
    let Some(object) = find_head(token)? else {
        return Ok(None);
    };
    let session = token.session()?;
    let value = token.functions().value(session, object, CKA_VALUE)?;
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
            functions.set_attributes(session, object, &mut Encoded::of(&change))?;
        }
        None => {
            // Private: without login anybody at the library could change a public data object.
            let fresh = head_template()
                .flag(CKA_TOKEN, true)
                .flag(CKA_PRIVATE, true)
                .flag(CKA_MODIFIABLE, true)
                .bytes(CKA_VALUE, head);
            functions.create_object(session, &mut Encoded::of(&fresh))?;
        }
    }
    if log_head(token)?.as_deref() == Some(head) {
        return Ok(());
    }
    Err(fault(FaultClass::Indeterminate, "set_log_head", "LOG_HEAD", "the token shows another record than was set"))
}

pub(crate) fn find_head(token: &mut Token) -> HsmResult<Option<cryptoki_sys::CK_OBJECT_HANDLE>> {
    match token.find_all(&head_template())?.as_slice() {
        [] => Ok(None),
        [only] => Ok(Some(*only)),
        several => {
            Err(refused("C_FindObjects", "OBJECT_COUNT", format!("{} log heads; officers must decide", several.len())))
        }
    }
}

fn head_template() -> Template {
    Template::default()
        .number(CKA_CLASS, CKO_DATA)
        .bytes(CKA_APPLICATION, HEAD_APPLICATION)
        .bytes(CKA_LABEL, HEAD_LABEL)
}
