//! The library between C_Initialize and C_Finalize: slots and sessions.
//!
//! Slot n is the directory `token-000n`; one further slot is free, and C_InitToken on it makes a token, after which a
//! new free slot appears. Guards: slot numbers stay with their tokens; sessions end with their token.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use cryptoki_sys::{
    CK_SESSION_HANDLE, CK_SLOT_ID, CKR_DEVICE_ERROR, CKR_DEVICE_MEMORY, CKR_SESSION_COUNT, CKR_SESSION_EXISTS,
    CKR_SESSION_HANDLE_INVALID, CKR_SESSION_READ_ONLY_EXISTS, CKR_SESSION_READ_WRITE_SO_EXISTS, CKR_SLOT_ID_INVALID,
    CKR_TOKEN_NOT_RECOGNIZED,
};
use parking_lot::{Mutex, RwLock};

use crate::{
    profile::Profile,
    rules::Role,
    rv::{Result, Rv, ensure},
    session::Session,
    storage::{
        bind_profile, create_private_dir, device_error, lock_file,
        meta::{LABEL_BYTES, Meta, PinOwner, TokenKeys},
        random_number,
    },
    token::{Apart, Token, ensure_pin_length},
};

const SHARDS: usize = 16;
/// Sessions of one process.
const SESSIONS_MAX: usize = 65_536;
/// Tokens in one directory.
const TOKENS_MAX: CK_SLOT_ID = 9_999;

/// What is in a slot.
#[derive(Clone)]
enum Slot {
    /// C_InitToken makes a token here.
    Free,
    Token(Arc<Token>),
    /// Metadata that cannot be read: this slot is out of order, the others are not.
    Broken,
}

/// Process-wide: a handle kept from before C_Finalize must not mean somebody else's session afterwards.
static NEXT_SESSION: AtomicU64 = AtomicU64::new(1);

type Shard = Apart<RwLock<HashMap<CK_SESSION_HANDLE, Arc<Session>>>>;

/// Everything between C_Initialize and C_Finalize.
pub(crate) struct Module {
    dir: PathBuf,
    profile: &'static Profile,
    slots: RwLock<BTreeMap<CK_SLOT_ID, Slot>>,
    sessions: [Shard; SHARDS],
    /// Held while sessions are opened or closed, and at login: those look at all sessions of a token.
    roster: Mutex<()>,
}

impl Module {
    pub(crate) fn new(dir: PathBuf, profile: &'static Profile) -> Result<Self> {
        create_private_dir(&dir)?;
        bind_profile(&dir, profile.name(), Profile::STANDARD)?;
        let module =
            Self { dir, profile, slots: RwLock::default(), sessions: Default::default(), roster: Mutex::new(()) };
        module.scan()?;
        Ok(module)
    }

    pub(crate) fn profile(&self) -> &'static Profile {
        self.profile
    }

    /// Slot numbers, ascending; looks at the directory again.
    pub(crate) fn slots(&self) -> Result<Vec<CK_SLOT_ID>> {
        self.scan()?;
        let slots = self.slots.read();
        Ok(slots.keys().copied().collect())
    }

    /// The token in a slot; `None` for the free slot.
    pub(crate) fn token(&self, slot: CK_SLOT_ID) -> Result<Option<Arc<Token>>> {
        if let Some(Slot::Token(token)) = self.slots.read().get(&slot)
            && !token.is_gone()
        {
            return Ok(Some(Arc::clone(token)));
        }
        self.scan()?;
        match self.slots.read().get(&slot) {
            Some(Slot::Free) => Ok(None),
            Some(Slot::Token(token)) => Ok(Some(Arc::clone(token))),
            Some(Slot::Broken) => Err(Rv(CKR_DEVICE_ERROR)),
            None => Err(Rv(CKR_SLOT_ID_INVALID)),
        }
    }

    pub(crate) fn initialised_token(&self, slot: CK_SLOT_ID) -> Result<Arc<Token>> {
        self.token(slot)?.ok_or(Rv(CKR_TOKEN_NOT_RECOGNIZED))
    }

    /// C_InitToken.
    pub(crate) fn init_token(&self, slot: CK_SLOT_ID, so_pin: &[u8], label: [u8; LABEL_BYTES]) -> Result<()> {
        let _roster = self.roster.lock();
        let _between_processes = lock_file(&self.dir.join("lock"))?;
        match self.token(slot)? {
            Some(token) => {
                ensure(self.sessions_of(&token).is_empty(), CKR_SESSION_EXISTS)?;
                token.initialise_again(so_pin, label)?;
            }
            None => {
                ensure_pin_length(so_pin)?;
                ensure(slot <= TOKENS_MAX, CKR_DEVICE_MEMORY)?;
                let meta = Meta::new(random_number()?, label, so_pin, &TokenKeys::random()?)?;
                Token::create(self.token_path(slot), &meta, self.profile)?;
            }
        }
        self.scan()
    }

    pub(crate) fn open_session(&self, slot: CK_SLOT_ID, read_write: bool) -> Result<CK_SESSION_HANDLE> {
        let _roster = self.roster.lock();
        let token = self.initialised_token(slot)?;
        ensure(read_write || token.role() != Role::So, CKR_SESSION_READ_WRITE_SO_EXISTS)?;
        let count: usize = self.sessions.iter().map(|shard| shard.read().len()).sum();
        ensure(count < SESSIONS_MAX, CKR_SESSION_COUNT)?;
        let handle = NEXT_SESSION.fetch_add(1, Ordering::Relaxed);
        let session = Arc::new(Session::new(handle, slot, token, read_write));
        self.shard(handle).write().insert(handle, session);
        Ok(handle)
    }

    /// An open session. Sessions of a token that was initialised anew elsewhere are over.
    pub(crate) fn session(&self, handle: CK_SESSION_HANDLE) -> Result<Arc<Session>> {
        let found = self.shard(handle).read().get(&handle).cloned();
        let session = found.ok_or(Rv(CKR_SESSION_HANDLE_INVALID))?;
        if session.token().is_gone() {
            self.shard(handle).write().remove(&handle);
            return Err(Rv(CKR_SESSION_HANDLE_INVALID));
        }
        Ok(session)
    }

    pub(crate) fn close_session(&self, handle: CK_SESSION_HANDLE) -> Result<()> {
        let _roster = self.roster.lock();
        let session = self.shard(handle).write().remove(&handle).ok_or(Rv(CKR_SESSION_HANDLE_INVALID))?;
        self.after_close(session.token(), &[handle])
    }

    pub(crate) fn close_all_sessions(&self, slot: CK_SLOT_ID) -> Result<()> {
        let _roster = self.roster.lock();
        let Some(token) = self.token(slot)? else { return Ok(()) };
        let handles: Vec<_> = self.sessions_of(&token).iter().map(|session| session.handle()).collect();
        for handle in &handles {
            self.shard(*handle).write().remove(handle);
        }
        self.after_close(&token, &handles)
    }

    /// C_Login.
    pub(crate) fn log_in(&self, handle: CK_SESSION_HANDLE, owner: PinOwner, pin: &[u8]) -> Result<()> {
        let session = self.session(handle)?;
        let _roster = self.roster.lock();
        let token = session.token();
        if owner == PinOwner::So {
            let all_read_write = self.sessions_of(token).iter().all(|session| session.is_read_write());
            ensure(all_read_write, CKR_SESSION_READ_ONLY_EXISTS)?;
        }
        token.log_in(owner, pin)
    }

    /// Open sessions of a token: all, and those that may write.
    pub(crate) fn session_counts(&self, token: &Arc<Token>) -> (usize, usize) {
        let sessions = self.sessions_of(token);
        (sessions.len(), sessions.iter().filter(|session| session.is_read_write()).count())
    }

    /// C_Finalize: after this nothing is reachable any more. Calls still under way finish on what they hold.
    pub(crate) fn shut(&self) {
        let _roster = self.roster.lock();
        for shard in &self.sessions {
            shard.write().clear();
        }
        let tokens = std::mem::take(&mut *self.slots.write());
        for slot in tokens.into_values() {
            if let Slot::Token(token) = slot {
                token.abandon();
            }
        }
    }

    /// The last session takes the login with it (PKCS#11 2.40 §5.6, C_CloseSession).
    fn after_close(&self, token: &Arc<Token>, closed: &[CK_SESSION_HANDLE]) -> Result<()> {
        closed.iter().for_each(|handle| token.end_session(*handle));
        if token.role() != Role::Public && self.sessions_of(token).is_empty() {
            token.log_out()?;
        }
        Ok(())
    }

    fn sessions_of(&self, token: &Arc<Token>) -> Vec<Arc<Session>> {
        let of_token = |shard: &Shard| -> Vec<_> {
            shard.read().values().filter(|session| Arc::ptr_eq(session.token(), token)).cloned().collect()
        };
        self.sessions.iter().flat_map(of_token).collect()
    }

    fn shard(&self, handle: CK_SESSION_HANDLE) -> &Shard {
        &self.sessions[handle as usize % SHARDS]
    }

    fn token_path(&self, slot: CK_SLOT_ID) -> PathBuf {
        self.dir.join(format!("token-{slot:04}"))
    }

    /// Opens tokens that have appeared and drops those that were initialised anew or removed.
    fn scan(&self) -> Result<()> {
        let mut present = Vec::new();
        for entry in std::fs::read_dir(&self.dir).map_err(device_error)? {
            let name = entry.map_err(device_error)?.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix("token-")?.parse::<CK_SLOT_ID>().ok());
            let ours = number.filter(|number| self.token_path(*number).file_name() == Some(&name));
            present.extend(ours);
        }
        let mut slots = self.slots.write();
        slots.retain(|number, slot| present.contains(number) && matches!(slot, Slot::Token(token) if !token.is_gone()));
        for slot in &present {
            if !slots.contains_key(slot) {
                let opened = Token::open(self.token_path(*slot), self.profile);
                slots.insert(*slot, opened.map_or(Slot::Broken, |token| Slot::Token(Arc::new(token))));
            }
        }
        let free = present.iter().max().map_or(0, |last| last + 1);
        slots.insert(free, Slot::Free);
        Ok(())
    }
}
