//! A bureau's token: import key, transport keys, and rewrapping under the personalization key.
//!
//! Guards: a transport key arrives under its id with its check value right or not at all; a card key
//! is a session object between two wraps, unwrapped authenticated, compared, destroyed on every path.

use cryptoki_sys::{CK_OBJECT_HANDLE, CKA_EC_PARAMS, CKA_ID, CKA_LABEL, CKA_VALUE};
use kms_core::id::ObjectId;
use kms_core::keys::SealingKey;
use kms_core::ports::{Confirmation, HsmResult, SealedMaster};
use kms_core::secret::{Kcv, Secret};
use kms_core::sm2::SecretKey;

use crate::check_value::{self, compare};
use crate::config::Lanes;
use crate::fault::{about, refused};
use crate::instance::named;
use crate::lanes::{Lane, Spans};
use crate::masters::{remove, unwrap};
use crate::pair::{self, SM2_CURVE, public_object};
use crate::raw::{Encoded, Mechanism, Parameter};
use crate::session::{Passing, Token, missing};
use crate::template::{BUREAU_IMPORT, BUREAU_TRANSPORT, CARD, INERT_PUBLIC, PERSONALIZATION};
use crate::twice::{steady_value, twice, unsteady};
use crate::vendor::{Operation, Recheck, Suite};
use crate::wire::CHUNK_KEYS_MAX;

/// Makes or adopts (by label) the pair that transport keys are sealed to.
pub(crate) fn create_import_key(token: &mut Token, label: &str) -> HsmResult<SealingKey> {
    let id = match find_import_key(token, label)? {
        Some((_, id)) => id,
        None => fresh_id(token)?,
    };
    pair::sealing(token, &BUREAU_IMPORT, id, label)
}

/// Installs a known SM2 scalar; test instances only.
pub(crate) fn install_import_key(token: &mut Token, label: &str, scalar: Secret<32>) -> HsmResult<SealingKey> {
    if token.map().suite() != Suite::Sm {
        let detail = "known import keys are SM2 scalars; make the key in the HSM instead";
        return Err(refused("install_import_key", "SUITE_DIFFERS", detail));
    }
    let key =
        SecretKey::from_scalar(scalar).map_err(|error| refused("install_import_key", "SCALAR", error.to_string()))?;
    let public = SealingKey::from(*key.public());
    if let Some((_, id)) = find_import_key(token, label)? {
        let present = pair::sealing(token, &BUREAU_IMPORT, id, label)?;
        return if present == public {
            Ok(public)
        } else {
            Err(refused("install_import_key", "LABEL_TAKEN", format!("another key has the label {label:?}")))
        };
    }
    let id = fresh_id(token)?;
    let (session, functions) = (token.session()?, token.functions());
    // Public half first: a crash in between leaves something harmless, found by nobody.
    let half = public_object(token, &INERT_PUBLIC, id, label, &public)?;
    functions.create_object(session, &mut Encoded::of(&half))?;
    let private = named(BUREAU_IMPORT.template(token.map()), id, label)
        .bytes(CKA_EC_PARAMS, &SM2_CURVE)
        .bytes(CKA_VALUE, key.expose_scalar());
    functions.create_object(session, &mut Encoded::of(&private))?;
    pair::sealing(token, &BUREAU_IMPORT, id, label)
}

/// Opens a sealed transport key under `id`, or adopts it; answers whether its check value could be compared.
pub(crate) fn open_transport_key(
    token: &mut Token,
    import_label: &str,
    id: ObjectId,
    sealed: &SealedMaster,
) -> HsmResult<Confirmation> {
    let import = find_import_key(token, import_label)?;
    let (import, _) = import.ok_or_else(|| missing(&BUREAU_IMPORT, &format!("label {import_label:?}")))?;
    let expected = BUREAU_TRANSPORT.shown(token.map()).bytes(CKA_ID, id.as_bytes());
    let wanted = BUREAU_TRANSPORT.unwrapped(token.map()).bytes(CKA_ID, id.as_bytes());
    let mut made = false;
    let key = token.adopt_or_make(&BUREAU_TRANSPORT, id, &expected, |token| {
        let template = wanted.bytes(CKA_LABEL, b"kms transport key");
        made = true;
        unwrap(token, import, &sealed.ciphertext, &template)
    })?;
    let compared = check_value::of_unwrapped(token, key).and_then(|found| match found {
        Some(found) => {
            compare(found, sealed.kcv, "open_transport_key", || format!("transport key {id}"))?;
            Ok(Confirmation::ByCheckValue)
        }
        None => Ok(Confirmation::BySealOnly),
    });
    compared.map_err(|error| {
        let removed = if made { remove(token, &BUREAU_TRANSPORT, id) } else { Ok(()) };
        match removed {
            Err(left) => about(error, || format!("and the key could not be removed again: {left}")),
            Ok(()) => error,
        }
    })
}

/// Card keys to be unwrapped, compared and wrapped again, and what is done of them.
pub(crate) struct RewrapWork<'r> {
    transport: ObjectId,
    personalization_label: &'r str,
    items: Vec<(&'r [u8], Option<Kcv>)>,
    spans: Spans<Rewrapped>,
}

/// Blobs in the order of the items, and how many check values were compared.
#[derive(Default)]
pub(crate) struct Rewrapped {
    pub(crate) blobs: Vec<Vec<u8>>,
    pub(crate) compared: u32,
}

/// How this make wraps.
#[derive(Clone, Copy)]
struct Way {
    mechanism: Mechanism<'static>,
    wrapped_bytes: usize,
    /// Does it show check values of unwrapped keys?
    compares: bool,
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
        let expected = PERSONALIZATION.shown(token.map()).bytes(CKA_LABEL, label.as_bytes());
        token.check(target, &PERSONALIZATION, &expected)?;
        if self.items.iter().any(|(_, kcv)| kcv.is_some()) {
            check_value::Plan::new(token)?;
        }
        let way = Way {
            mechanism: token.mechanism(Operation::KeyWrap, Parameter::Nothing)?,
            wrapped_bytes: token.map().key_wrap().wrapped_bytes(),
            compares: token.map().confirms_unwrapped(),
        };
        let (card, items) = (CARD.unwrapped(token.map()), &self.items);
        let every = token.map().recheck() == Recheck::EveryKey;
        self.spans.run(
            token,
            || Encoded::of(&card),
            |lane, template, index, out: &mut Rewrapped| {
                let Some((blob, kcv)) = items.get(index) else { return Ok(()) };
                let mut once = || rewrap_one(lane, (way, template), (transport, target), blob, *kcv);
                let wrapped = if every || index == 0 { twice("C_WrapKey", once) } else { once() };
                let (blob, compared) = wrapped.map_err(|mut error| {
                    let detail = error.detail.take().map(|detail| format!(": {detail}")).unwrap_or_default();
                    error.detail = Some(format!("item {index}{detail}"));
                    error
                })?;
                out.blobs.push(blob);
                out.compared += u32::from(compared);
                Ok(())
            },
        )
    }

    /// All of them.
    pub(crate) fn finish(self) -> Rewrapped {
        self.spans.into_answers().fold(Rewrapped::default(), |mut whole, part| {
            whole.blobs.extend(part.blobs);
            whole.compared += part.compared;
            whole
        })
    }
}

fn rewrap_one(
    lane: &Lane<'_>,
    (way, template): (Way, &mut Encoded),
    (transport, target): (CK_OBJECT_HANDLE, CK_OBJECT_HANDLE),
    blob: &[u8],
    kcv: Option<Kcv>,
) -> HsmResult<(Vec<u8>, bool)> {
    let (functions, session) = (lane.functions, lane.session);
    if blob.len() != way.wrapped_bytes {
        let detail = format!("a wrapped key of {} bytes instead of {}", blob.len(), way.wrapped_bytes);
        return Err(refused("rewrap", "BLOB_LENGTH", detail));
    }
    let key = functions.unwrap_key(session, way.mechanism, transport, blob, template)?;
    let key = Passing::new(functions, session, key);
    let declared = kcv.filter(|_| way.compares);
    if let Some(declared) = declared {
        let found = check_value::attribute(lane, key.handle())?;
        let found = check_value::kcv(&found)?;
        // A key is refused for what it is, not for what one reading made of it.
        if found != declared && check_value::kcv(&check_value::attribute(lane, key.handle())?)? != found {
            return Err(unsteady("C_GetAttributeValue"));
        }
        compare(found, declared, "rewrap", || "card key".to_owned())?;
    }
    let mut out = vec![0; way.wrapped_bytes];
    let length = functions.wrap_key(session, way.mechanism, target, key.handle(), &mut out)?;
    if length != way.wrapped_bytes {
        return Err(refused("C_WrapKey", "ANSWER_LENGTH", format!("a wrapped key of {length} bytes")));
    }
    key.destroy()?;
    Ok((out, declared.is_some()))
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
    let id = steady_value(&token.functions(), session, object, CKA_ID)?.unwrap_or_default();
    match <[u8; 16]>::try_from(id.as_slice()) {
        Ok(bytes) => Ok(ObjectId::from_bytes(bytes)),
        Err(_) => Err(refused("CKA_ID", "OBJECT_ID", format!("an object of ours with an id of {} bytes", id.len()))),
    }
}

/// A CKA_ID for an object that is found by label.
pub(crate) fn fresh_id(token: &mut Token) -> HsmResult<ObjectId> {
    let mut bytes = [0; 16];
    token.random(&mut bytes)?;
    Ok(ObjectId::from_bytes(bytes))
}
