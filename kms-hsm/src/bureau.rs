//! A bureau's token: import key, transport keys, and rewrapping under the personalization key.
//!
//! Guards: a transport key arrives under its id with its check value right or not at all; a card key
//! is a session object between two wraps, unwrapped authenticated, compared, destroyed on every path.

use cryptoki_sys::{CK_OBJECT_HANDLE, CKA_EC_PARAMS, CKA_ID, CKA_LABEL, CKA_VALUE};
use kms_core::id::ObjectId;
use kms_core::ports::{HsmResult, SealedMaster, WRAPPED_KEY_BYTES};
use kms_core::secret::{Kcv, Secret};
use kms_core::sm2::{PublicKey, SecretKey};

use crate::fault::{about, from_cryptoki, refused};
use crate::instance::{SM2_CURVE, key_pair, named, public_object};
use crate::masters::{compare, unwrap};
use crate::raw::{Encoded, Parameter};
use crate::session::{Passing, Token, missing};
use crate::template::{BUREAU_IMPORT, BUREAU_TRANSPORT, CARD, INERT_PUBLIC, PERSONALIZATION};
use crate::vendor::Operation;
use crate::wire::CHUNK_KEYS_MAX;

/// Makes or adopts (by label) the pair that transport keys are sealed to.
pub(crate) fn create_import_key(token: &mut Token, label: &str) -> HsmResult<PublicKey> {
    let id = match find_import_key(token, label)? {
        Some((_, id)) => id,
        None => fresh_id(token)?,
    };
    key_pair(token, &BUREAU_IMPORT, &INERT_PUBLIC, id, label)
}

/// Installs a known scalar; test instances only.
pub(crate) fn install_import_key(token: &mut Token, label: &str, scalar: Secret<32>) -> HsmResult<PublicKey> {
    let key =
        SecretKey::from_scalar(scalar).map_err(|error| refused("install_import_key", "SCALAR", error.to_string()))?;
    let public = *key.public();
    if let Some((_, id)) = find_import_key(token, label)? {
        let present = key_pair(token, &BUREAU_IMPORT, &INERT_PUBLIC, id, label)?;
        return if present == public {
            Ok(public)
        } else {
            Err(refused("install_import_key", "LABEL_TAKEN", format!("another key has the label {label:?}")))
        };
    }
    let id = fresh_id(token)?;
    let (session, functions) = (token.session()?, token.functions());
    // Public half first: a crash in between leaves something harmless, found by nobody.
    let half = public_object(token, &INERT_PUBLIC, id, label, &public);
    functions.create_object(session, &mut Encoded::of(&half))?;
    let private = named(BUREAU_IMPORT.template(token.map()), id, label)
        .bytes(CKA_EC_PARAMS, &SM2_CURVE)
        .bytes(CKA_VALUE, key.expose_scalar());
    functions.create_object(session, &mut Encoded::of(&private))?;
    key_pair(token, &BUREAU_IMPORT, &INERT_PUBLIC, id, label)
}

/// Opens a sealed transport key under `id`, or adopts it.
pub(crate) fn open_transport_key(
    token: &mut Token,
    import_label: &str,
    id: ObjectId,
    sealed: &SealedMaster,
) -> HsmResult<()> {
    let import = find_import_key(token, import_label)?;
    let (import, _) = import.ok_or_else(|| missing(&BUREAU_IMPORT, &format!("label {import_label:?}")))?;
    let expected = BUREAU_TRANSPORT.template(token.map()).bytes(CKA_ID, id.as_bytes());
    let mut made = None;
    let key = token.adopt_or_make(&BUREAU_TRANSPORT, id, &expected, |token| {
        let template = expected.clone().bytes(CKA_LABEL, b"kms transport key");
        let key = unwrap(token, import, &sealed.ciphertext, &template)?;
        made = Some(key);
        Ok(key)
    })?;
    compare(token, key, sealed.kcv, "open_transport_key", || format!("transport key {id}")).map(drop).map_err(|error| {
        let removed = made.map(|key| token.session().and_then(|session| token.functions().destroy(session, key)));
        match removed {
            Some(Err(left)) => about(error, || format!("and the key could not be removed again: {left}")),
            _ => error,
        }
    })
}

/// Unwraps, compares and wraps again each item.
pub(crate) fn rewrap(
    token: &mut Token,
    transport: ObjectId,
    personalization_label: &str,
    items: &[(Vec<u8>, Option<Kcv>)],
) -> HsmResult<Vec<Vec<u8>>> {
    if items.len() > CHUNK_KEYS_MAX {
        let detail = format!("{} keys; at most {CHUNK_KEYS_MAX} are rewrapped in a call", items.len());
        return Err(refused("rewrap", "CHUNK_TOO_LARGE", detail));
    }
    let transport = token.find_one(&BUREAU_TRANSPORT, transport)?;
    let target = token.find_label(PERSONALIZATION.class(), personalization_label)?;
    let target = target.ok_or_else(|| missing(&PERSONALIZATION, &format!("label {personalization_label:?}")))?;
    let expected = PERSONALIZATION.template(token.map()).bytes(CKA_LABEL, personalization_label.as_bytes());
    token.check(target, &PERSONALIZATION, &expected)?;
    let mut template = Encoded::of(&CARD.template(token.map()));
    let mut wrapped = Vec::with_capacity(items.len());
    for (index, (blob, kcv)) in items.iter().enumerate() {
        let item = rewrap_one(token, (transport, target), blob, *kcv, &mut template);
        wrapped.push(item.map_err(|mut error| {
            let detail = error.detail.take().map(|detail| format!(": {detail}")).unwrap_or_default();
            error.detail = Some(format!("item {index}{detail}"));
            error
        })?);
    }
    Ok(wrapped)
}

fn rewrap_one(
    token: &mut Token,
    (transport, target): (CK_OBJECT_HANDLE, CK_OBJECT_HANDLE),
    blob: &[u8],
    kcv: Option<Kcv>,
    template: &mut Encoded,
) -> HsmResult<Vec<u8>> {
    let mechanism = token.mechanism(Operation::KeyWrap, Parameter::Nothing)?;
    let (session, functions) = (token.session()?, token.functions());
    let key = functions.unwrap_key(session, mechanism, transport, blob, template)?;
    let key = Passing::new(&functions, session, key);
    if let Some(declared) = kcv {
        compare(token, key.handle(), declared, "rewrap", || "card key".to_owned())?;
    }
    let mut out = [0; WRAPPED_KEY_BYTES];
    let length = functions.wrap_key(session, mechanism, target, key.handle(), &mut out)?;
    if length != WRAPPED_KEY_BYTES {
        return Err(refused("C_WrapKey", "ANSWER_LENGTH", format!("a wrapped key of {length} bytes")));
    }
    key.destroy()?;
    Ok(out.to_vec())
}

/// The import key of that label, with its CKA_ID.
fn find_import_key(token: &mut Token, label: &str) -> HsmResult<Option<(CK_OBJECT_HANDLE, ObjectId)>> {
    let Some(object) = token.find_label(BUREAU_IMPORT.class(), label)? else {
        return Ok(None);
    };
    Ok(Some((object, id_of(token, object)?)))
}

/// CKA_ID of an object found by label.
pub(crate) fn id_of(token: &mut Token, object: CK_OBJECT_HANDLE) -> HsmResult<ObjectId> {
    let session = token.session()?;
    let id = token.functions().value(session, object, CKA_ID)?.unwrap_or_default();
    match <[u8; 16]>::try_from(id.as_slice()) {
        Ok(bytes) => Ok(ObjectId::from_bytes(bytes)),
        Err(_) => Err(refused("CKA_ID", "OBJECT_ID", format!("an object of ours with an id of {} bytes", id.len()))),
    }
}

/// A CKA_ID for an object that is found by label.
pub(crate) fn fresh_id(token: &mut Token) -> HsmResult<ObjectId> {
    let mut bytes = [0; 16];
    token.open()?.generate_random_slice(&mut bytes).map_err(from_cryptoki)?;
    Ok(ObjectId::from_bytes(bytes))
}
