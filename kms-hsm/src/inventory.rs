//! All objects of a token against the list of keys the KMS believes it has.
//!
//! Nothing is changed. The list comes from whoever verified the log; this module only compares.
//! Guards: every token object is either on the list or reported, and a key with one wrong attribute
//! or another check value is not "present".

use cryptoki_sys::{
    CK_OBJECT_CLASS, CKA_CLASS, CKA_EXTRACTABLE, CKA_ID, CKA_LABEL, CKA_TOKEN, CKO_DATA, CKO_PRIVATE_KEY,
    CKO_PUBLIC_KEY, CKO_SECRET_KEY,
};
use kms_core::id::ObjectId;
use kms_core::ports::{FaultClass, HsmResult};
use kms_core::secret::Kcv;
use serde::{Deserialize, Serialize};

use crate::check_value;
use crate::client::process::{Launch, Worker};
use crate::config::{HsmConfig, Lanes};
use crate::fault::refused;
use crate::raw::Encoded;
use crate::session::Token;
use crate::storage;
use crate::template::{
    COMPONENT_IMPORT, IMPORT, INDEX, INERT_PUBLIC, MASTER, RECIPIENT, Role, SIGNING, STORAGE, TRANSPORT, Template,
    VERIFYING,
};
use crate::vendor::VendorMap;
use crate::wire::{Request, Response, WireKcv, WorkerRole, garbled};

/// Most objects read from one token.
const OBJECTS_MAX: usize = 65_536;

/// What kind of key is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Private and public half of the key for root components.
    ComponentImport,
    /// Private and public half of the import key.
    Import,
    /// HMAC key of the card index.
    Index,
    /// A master that stays.
    LocalMaster,
    /// Public key of a province or bureau, trusted.
    Recipient,
    /// Private and public half of a signing key.
    Signing,
    /// Key of card lists at rest.
    Storage,
    /// A bureau's transport key, trusted.
    Transport,
    /// A master that may leave wrapped.
    TransferableMaster,
}

/// A key the KMS believes it has.
#[derive(Clone, Debug)]
pub struct Expected {
    /// What it is.
    pub kind: Kind,
    /// CKA_ID.
    pub id: ObjectId,
    /// For people.
    pub name: String,
    /// Check value, where one is recorded.
    pub kcv: Option<Kcv>,
}

/// The same on the pipe.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Wanted {
    kind: Kind,
    id: [u8; 16],
    name: String,
    kcv: Option<WireKcv>,
}

/// What is to be said of one key or object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// There once, with every attribute.
    Present,
    /// On the list and not in the token.
    Missing,
    /// More than one object under class and id.
    Duplicate,
    /// An attribute or the check value differs.
    Wrong,
    /// In the token and not on the list.
    Unknown,
}

/// One line of the inventory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// The verdict.
    pub state: State,
    /// Name on the list, or label in the token.
    pub name: String,
    /// Class of the object.
    pub class: String,
    /// CKA_ID in hex.
    pub id: String,
    /// What differs.
    pub detail: String,
}

/// Compares the token with the list.
pub fn compare(config: &HsmConfig, expected: &[Expected]) -> HsmResult<Vec<Item>> {
    let unusable = |error: String| refused("vendor map", "MAP_UNUSABLE", error);
    let map_text = std::fs::read_to_string(&config.map).map_err(|error| unusable(error.to_string()))?;
    VendorMap::parse(&config.map, &map_text).map_err(|error| unusable(error.to_string()))?;
    let pin = config.pin.pin()?;
    let launch = Launch {
        program: config.worker.clone(),
        environment: &config.environment,
        role: WorkerRole::Inspector,
        module: &config.module,
        map: Some((&config.map, &map_text)),
        label: &config.token_label,
        serial: config.token_serial.as_deref(),
        lanes: Lanes::ONE,
        sandbox: config.sandbox,
    };
    let (mut worker, _) = Worker::start(&launch, &[&pin], config.deadline)?;
    let wanted = expected.iter().map(|key| Wanted {
        kind: key.kind,
        id: *key.id.as_bytes(),
        name: key.name.clone(),
        kcv: key.kcv.map(Into::into),
    });
    match worker.call(&Request::Inventory { wanted: wanted.collect() }, None, config.deadline.saturating_mul(4))? {
        Response::Inventory(items) => Ok(items),
        Response::Fault(fault) => Err(fault.into()),
        _ => Err(garbled("not an inventory")),
    }
}

/// The objects a kind consists of.
const fn roles(kind: Kind) -> &'static [&'static Role] {
    match kind {
        Kind::ComponentImport => &[&COMPONENT_IMPORT, &INERT_PUBLIC],
        Kind::Import => &[&IMPORT, &INERT_PUBLIC],
        Kind::Index => &[&INDEX],
        Kind::LocalMaster | Kind::TransferableMaster => &[&MASTER],
        Kind::Recipient => &[&RECIPIENT],
        Kind::Signing => &[&SIGNING, &VERIFYING],
        Kind::Storage => &[&STORAGE],
        Kind::Transport => &[&TRANSPORT],
    }
}

/// The worker's side of [`compare`].
pub(crate) fn run(token: &mut Token, wanted: &[Wanted]) -> HsmResult<Vec<Item>> {
    let (session, functions) = (token.session()?, token.functions());
    let everything = Template::default().flag(CKA_TOKEN, true);
    let handles = functions.find(session, &mut Encoded::of(&everything), OBJECTS_MAX)?;
    if handles.len() == OBJECTS_MAX {
        return Err(refused("C_FindObjects", "OBJECT_COUNT", format!("at least {OBJECTS_MAX} objects")));
    }
    let mut objects = Vec::with_capacity(handles.len());
    for handle in handles {
        let class = functions.value(session, handle, CKA_CLASS)?.and_then(|bytes| bytes.try_into().ok());
        let class = class.map_or(CK_OBJECT_CLASS::MAX, CK_OBJECT_CLASS::from_ne_bytes);
        let id = functions.value(session, handle, CKA_ID)?.unwrap_or_default();
        objects.push((handle, class, id));
    }
    let mut items = Vec::new();
    let head = storage::find_head(token)?;
    objects.retain(|(handle, _, _)| Some(*handle) != head);
    for key in wanted {
        for role in roles(key.kind) {
            let fits = |(_, class, id): &(u64, u64, Vec<u8>)| *class == role.class() && *id == key.id;
            let found: Vec<u64> = objects.iter().filter(|object| fits(object)).map(|(handle, _, _)| *handle).collect();
            objects.retain(|object| !fits(object));
            let (state, detail) = match found.as_slice() {
                [] => (State::Missing, String::new()),
                [object] => examine(token, *object, role, key)?,
                several => (State::Duplicate, format!("{} objects", several.len())),
            };
            let (name, id) = (format!("{} {}", role.name, key.name), hex(&key.id));
            items.push(Item { state, name, class: class_name(role.class()).to_owned(), id, detail });
        }
    }
    for (handle, class, id) in objects {
        let label = functions.value(session, handle, CKA_LABEL)?.unwrap_or_default();
        items.push(Item {
            state: State::Unknown,
            name: String::from_utf8_lossy(&label).into_owned(),
            class: class_name(class).to_owned(),
            id: hex(&id),
            detail: String::new(),
        });
    }
    Ok(items)
}

fn examine(token: &mut Token, object: u64, role: &Role, key: &Wanted) -> HsmResult<(State, String)> {
    let mut expected = role.shown(token.map()).bytes(CKA_ID, &key.id);
    if let Kind::LocalMaster | Kind::TransferableMaster = key.kind {
        expected = expected.flag(CKA_EXTRACTABLE, key.kind == Kind::TransferableMaster);
    }
    let checked = token.check(object, role, &expected).and_then(|()| match &key.kcv {
        Some(kcv) => {
            let found = check_value::of_key(token, role, object)?;
            check_value::compare(found, kcv.decode()?, "inventory", || key.name.clone()).map(|_| ())
        }
        None => Ok(()),
    });
    match checked {
        Ok(()) => Ok((State::Present, String::new())),
        Err(error) if error.class == FaultClass::Refused => Ok((State::Wrong, error.detail.unwrap_or(error.code))),
        Err(error) => Err(error),
    }
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

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
