//! A bureau's token: import key, transport keys, and rewrapping under the personalization key.
//!
//! Guards: a transport key arrives under its id with its check value right or not at all; a card key
//! is a session object between two wraps, unwrapped authenticated, compared, destroyed on every path.

use cryptoki_sys::{CK_OBJECT_HANDLE, CKA_EC_PARAMS, CKA_ID, CKA_LABEL, CKA_VALUE};
use kms_core::id::ObjectId;
use kms_core::ports::{Confirmation, HsmResult, SealedMaster};
use kms_core::secret::{Kcv, Secret};
use kms_core::sm2::{PublicKey, SecretKey};
use kms_core::suite::KeyWrap;

use crate::config::Lanes;
use crate::fault::{about, from_cryptoki, refused};
use crate::instance::{SM2_CURVE, key_pair, named, public_object};
use crate::lanes::{Lane, Spans};
use crate::masters::{compare, must_equal, unwrap};
use crate::raw::{Encoded, Mechanism, Parameter};
use crate::session::{Passing, Token, missing};
use crate::template::{BUREAU_IMPORT, BUREAU_TRANSPORT, CARD, INERT_PUBLIC, PERSONALIZATION};
use crate::vendor::Operation;
use crate::wire::CHUNK_KEYS_MAX;

/// Bytes of a wrapped key.
const WRAPPED_KEY_BYTES: usize = KeyWrap::Rfc3394.wrapped_bytes();

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
) -> HsmResult<Confirmation> {
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
    let compared = compare(token, key, sealed.kcv, "open_transport_key", || format!("transport key {id}"));
    compared.map(|_| Confirmation::ByCheckValue).map_err(|error| {
        let removed = made.map(|key| token.session().and_then(|session| token.functions().destroy(session, key)));
        match removed {
            Some(Err(left)) => about(error, || format!("and the key could not be removed again: {left}")),
            _ => error,
        }
    })
}

/// Card keys to be unwrapped, compared and wrapped again, and what is done of them.
pub(crate) struct RewrapWork<'r> {
    transport: ObjectId,
    personalization_label: &'r str,
    items: Vec<(&'r [u8], Option<Kcv>)>,
    spans: Spans<Vec<Vec<u8>>>,
}

impl<'r> RewrapWork<'r> {
    /// Refuses too many at once.
    pub(crate) fn new(
        transport: ObjectId,
        personalization_label: &'r str,
        items: Vec<(&'r [u8], Option<Kcv>)>,
        lanes: Lanes,
    ) -> HsmResult<Self> {
        if items.len() > CHUNK_KEYS_MAX {
            let detail = format!("{} keys; at most {CHUNK_KEYS_MAX} are rewrapped in a call", items.len());
            return Err(refused("rewrap", "CHUNK_TOO_LARGE", detail));
        }
        let spans = Spans::over(items.len(), lanes);
        Ok(Self { transport, personalization_label, items, spans })
    }

    /// Wraps what is not wrapped yet.
    pub(crate) fn run(&mut self, token: &mut Token) -> HsmResult<()> {
        let label = self.personalization_label;
        let transport = token.find_one(&BUREAU_TRANSPORT, self.transport)?;
        let target = token.find_label(PERSONALIZATION.class(), label)?;
        let target = target.ok_or_else(|| missing(&PERSONALIZATION, &format!("label {label:?}")))?;
        let expected = PERSONALIZATION.template(token.map()).bytes(CKA_LABEL, label.as_bytes());
        token.check(target, &PERSONALIZATION, &expected)?;
        if self.items.iter().any(|(_, kcv)| kcv.is_some()) {
            token.ensure_check_values()?;
        }
        let mechanism = token.mechanism(Operation::KeyWrap, Parameter::Nothing)?;
        let (card, items) = (CARD.template(token.map()), &self.items);
        self.spans.run(
            token,
            || Encoded::of(&card),
            |lane, template, index, out: &mut Vec<Vec<u8>>| {
                let Some((blob, kcv)) = items.get(index) else { return Ok(()) };
                let wrapped = rewrap_one(lane, (mechanism, template), (transport, target), blob, *kcv);
                out.push(wrapped.map_err(|mut error| {
                    let detail = error.detail.take().map(|detail| format!(": {detail}")).unwrap_or_default();
                    error.detail = Some(format!("item {index}{detail}"));
                    error
                })?);
                Ok(())
            },
        )
    }

    /// The blobs, in the order of the items, and how many check values were compared: every one there was.
    pub(crate) fn finish(self) -> (Vec<Vec<u8>>, u32) {
        let compared = self.items.iter().map(|(_, kcv)| u32::from(kcv.is_some())).sum();
        (self.spans.into_answers().flatten().collect(), compared)
    }
}

fn rewrap_one(
    lane: &Lane<'_>,
    (mechanism, template): (Mechanism<'_>, &mut Encoded),
    (transport, target): (CK_OBJECT_HANDLE, CK_OBJECT_HANDLE),
    blob: &[u8],
    kcv: Option<Kcv>,
) -> HsmResult<Vec<u8>> {
    let (functions, session) = (lane.functions, lane.session);
    let key = functions.unwrap_key(session, mechanism, transport, blob, template)?;
    let key = Passing::new(functions, session, key);
    if let Some(declared) = kcv {
        must_equal(declared, || lane.kcv(key.handle()), "rewrap", || "card key".to_owned())?;
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
