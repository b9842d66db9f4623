//! All objects of a token against the list of keys the log says are in it.
//!
//! Nothing is changed. The list comes from whoever verified the log; this module only compares. One
//! piece of code for a server's audit, for `kms hsm inventory` and for whoever admits a token again.
//! Guards: every token object is either on the list or reported, and a key with one wrong attribute,
//! another check value or another public half is not "present".

mod canonical;

use cryptoki_sys::{
    CK_OBJECT_CLASS, CKA_ALWAYS_SENSITIVE, CKA_CLASS, CKA_EXTRACTABLE, CKA_ID, CKA_LABEL, CKA_LOCAL,
    CKA_NEVER_EXTRACTABLE, CKA_TOKEN, CKO_DATA, CKO_PRIVATE_KEY, CKO_PUBLIC_KEY, CKO_SECRET_KEY,
};
use kms_core::digest::Digest;
use kms_core::ports::{
    AuditedObject, ExpectedKey, FaultClass, HsmError, HsmResult, KeyKind, ObjectState, TokenSnapshot,
};
use serde::{Deserialize, Serialize};

use crate::check_value;
use crate::client::inspector::Inspector;
use crate::fault::refused;
use crate::pair;
use crate::raw::Encoded;
use crate::session::Token;
use crate::storage;
use crate::template::{
    COMPONENT_IMPORT, IMPORT, INDEX, INERT_PUBLIC, MASTER, RECIPIENT, Role, SIGNING, STORAGE, TRANSPORT, Template,
    VERIFYING, Value,
};
use crate::wire::{Request, Response, WireKcv, garbled};

/// Most objects read from one token.
const OBJECTS_MAX: usize = 65_536;
/// How much longer than one call an inventory may take.
const DEADLINES: u32 = 10;

/// An expected key on the pipe.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Wanted {
    kind: u8,
    id: [u8; 16],
    name: String,
    made_here: bool,
    kcv: Option<WireKcv>,
    public: Option<[u8; 32]>,
}

/// One line on the pipe.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Line {
    state: u8,
    name: String,
    class: String,
    id: Vec<u8>,
    detail: String,
}

/// The worker's answer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Seen {
    digest: [u8; 32],
    objects: u32,
    lines: Vec<Line>,
}

const KINDS: [KeyKind; 9] = [
    KeyKind::ComponentImport,
    KeyKind::Import,
    KeyKind::Index,
    KeyKind::LocalMaster,
    KeyKind::Recipient,
    KeyKind::Signing,
    KeyKind::Storage,
    KeyKind::Transport,
    KeyKind::TransferableMaster,
];
const STATES: [ObjectState; 5] =
    [ObjectState::Present, ObjectState::Missing, ObjectState::Duplicate, ObjectState::Wrong, ObjectState::Unknown];

/// Position in one of the tables above.
fn number<T: PartialEq>(table: &[T], value: &T) -> u8 {
    table.iter().zip(0..).find(|(row, _)| *row == value).map_or(u8::MAX, |(_, number)| number)
}

/// Compares the token with the list.
pub(crate) fn audit(inspector: &mut Inspector, expected: &[ExpectedKey]) -> HsmResult<TokenSnapshot> {
    let wanted = expected.iter().map(|key| Wanted {
        kind: number(&KINDS, &key.kind),
        id: *key.id.as_bytes(),
        name: key.name.clone(),
        made_here: key.made_here,
        kcv: key.kcv.map(Into::into),
        public: key.public.map(|digest| *digest.as_bytes()),
    });
    let Response::Inventory(seen) = inspector.ask(&Request::Inventory { wanted: wanted.collect() }, None, DEADLINES)?
    else {
        return Err(garbled("not an inventory"));
    };
    let at_least: usize = expected.iter().map(|key| roles(key.kind).len()).sum();
    if seen.lines.len() < at_least {
        return Err(garbled("not a line for each expected object"));
    }
    let line = |line: Line| {
        let state = STATES.get(usize::from(line.state)).ok_or_else(|| garbled("a state that is none"))?;
        Ok(AuditedObject { state: *state, name: line.name, class: line.class, id: line.id, detail: line.detail })
    };
    Ok(TokenSnapshot {
        serial: inspector.status.serial.clone(),
        digest: Digest::from_bytes(seen.digest),
        objects: seen.objects,
        lines: seen.lines.into_iter().map(line).collect::<HsmResult<_>>()?,
    })
}

/// The objects a kind consists of.
const fn roles(kind: KeyKind) -> &'static [&'static Role] {
    match kind {
        KeyKind::ComponentImport => &[&COMPONENT_IMPORT, &INERT_PUBLIC],
        KeyKind::Import => &[&IMPORT, &INERT_PUBLIC],
        KeyKind::Index => &[&INDEX],
        KeyKind::LocalMaster | KeyKind::TransferableMaster => &[&MASTER],
        KeyKind::Recipient => &[&RECIPIENT],
        KeyKind::Signing => &[&SIGNING, &VERIFYING],
        KeyKind::Storage => &[&STORAGE],
        KeyKind::Transport => &[&TRANSPORT],
    }
}

/// The worker's side of [`audit`].
pub(crate) fn run(token: &mut Token, wanted: &[Wanted]) -> HsmResult<Seen> {
    let (session, functions) = (token.session()?, token.functions());
    let everything = Template::default().flag(CKA_TOKEN, true);
    let handles = functions.find(session, &mut Encoded::of(&everything), OBJECTS_MAX)?;
    if handles.len() == OBJECTS_MAX {
        return Err(refused("C_FindObjects", "OBJECT_COUNT", format!("at least {OBJECTS_MAX} objects")));
    }
    // A server may be replacing its log head now: for a moment there are two.
    let heads = storage::heads(token)?;
    let mut objects = Vec::with_capacity(handles.len());
    let mut digests = Vec::with_capacity(handles.len());
    for handle in handles {
        if heads.contains(&handle) {
            continue;
        }
        let class = functions.value(session, handle, CKA_CLASS)?.and_then(|bytes| bytes.try_into().ok());
        let class = class.map_or(CK_OBJECT_CLASS::MAX, CK_OBJECT_CLASS::from_ne_bytes);
        let id = functions.value(session, handle, CKA_ID)?.unwrap_or_default();
        digests.push(canonical::digest(token, handle)?);
        objects.push((handle, class, id));
    }
    let (digest, count) = (canonical::snapshot(digests), u32::try_from(objects.len()).unwrap_or(u32::MAX));
    let mut lines = Vec::new();
    for key in wanted {
        let kind = KINDS.get(usize::from(key.kind)).ok_or_else(|| garbled("a kind of key that is none"))?;
        for role in roles(*kind) {
            let fits = |(_, class, id): &(u64, u64, Vec<u8>)| *class == role.class() && *id == key.id;
            let found: Vec<u64> = objects.iter().filter(|object| fits(object)).map(|(handle, _, _)| *handle).collect();
            objects.retain(|object| !fits(object));
            let (state, detail) = match found.as_slice() {
                [] => (ObjectState::Missing, String::new()),
                [object] => examine(token, *object, role, *kind, key)?,
                several => (ObjectState::Duplicate, format!("{} objects", several.len())),
            };
            let name = format!("{} {}", role.name, key.name);
            lines.push(line(state, name, role.class(), &key.id, detail));
        }
    }
    for (handle, class, id) in objects {
        let label = functions.value(session, handle, CKA_LABEL)?.unwrap_or_default();
        let label = String::from_utf8_lossy(&label).into_owned();
        lines.push(line(ObjectState::Unknown, label, class, &id, String::new()));
    }
    Ok(Seen { digest, objects: count, lines })
}

fn line(state: ObjectState, name: String, class: CK_OBJECT_CLASS, id: &[u8], detail: String) -> Line {
    Line { state: number(&STATES, &state), name, class: class_name(class).to_owned(), id: id.to_vec(), detail }
}

fn examine(
    token: &mut Token,
    object: u64,
    role: &Role,
    kind: KeyKind,
    key: &Wanted,
) -> HsmResult<(ObjectState, String)> {
    match compare(token, object, role, kind, key) {
        Ok(()) => Ok((ObjectState::Present, String::new())),
        Err(error) if error.class == FaultClass::Refused => {
            Ok((ObjectState::Wrong, error.detail.unwrap_or(error.code)))
        }
        Err(error) => Err(error),
    }
}

/// Every attribute of the template, what the token sets by itself, check value, public half.
fn compare(token: &mut Token, object: u64, role: &Role, kind: KeyKind, key: &Wanted) -> Result<(), HsmError> {
    let mut expected = role.shown(token.map()).bytes(CKA_ID, &key.id);
    if let KeyKind::LocalMaster | KeyKind::TransferableMaster = kind {
        expected = expected.flag(CKA_EXTRACTABLE, kind == KeyKind::TransferableMaster);
    }
    if key.made_here && role.class() != CKO_PUBLIC_KEY {
        let stays = expected.value(CKA_EXTRACTABLE) == Some(&Value::Flag(false));
        expected = expected.flag(CKA_LOCAL, true).flag(CKA_ALWAYS_SENSITIVE, true);
        if stays {
            expected = expected.flag(CKA_NEVER_EXTRACTABLE, true);
        }
    }
    token.check(object, role, &expected)?;
    if let Some(kcv) = &key.kcv {
        let found = check_value::of_key(token, role, object)?;
        check_value::compare(found, kcv.decode()?, "inventory", || role.name.to_owned())?;
    }
    if let Some(public) = &key.public
        && role.class() == CKO_PUBLIC_KEY
    {
        let found = match kind {
            KeyKind::Signing => pair::verifying_key(token, object)?.id(),
            _ => pair::sealing_key(token, object)?.id(),
        };
        if found.as_bytes() != public {
            let detail = format!("{}: public half {found} instead of {}", role.name, Digest::from_bytes(*public));
            return Err(refused("inventory", "PUBLIC_KEY", detail));
        }
    }
    Ok(())
}

const fn class_name(class: CK_OBJECT_CLASS) -> &'static str {
    match class {
        CKO_DATA => "data",
        CKO_PRIVATE_KEY => "private key",
        CKO_PUBLIC_KEY => "public key",
        CKO_SECRET_KEY => "secret key",
        _ => "other",
    }
}
