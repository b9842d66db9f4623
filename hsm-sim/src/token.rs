//! One initialised token as this process sees it: who is logged in, which objects are visible, which handles they have.
//!
//! Guards: private objects and their handles exist only while the user is logged in; a change by any process is seen at
//! the next look-up; the hot path (session objects, unchanged token) makes no system call.
//!
//! Lock order: a session's known keys, `writer`, then the token's file lock, then `view`. A thread holding `view` waits for nothing.

mod known;
mod pins;
mod store;
mod view;

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
};

use cryptoki_sys::{
    CK_OBJECT_HANDLE, CK_RV, CK_SESSION_HANDLE, CKA_CLASS, CKA_ID, CKR_ATTRIBUTE_VALUE_INVALID,
    CKR_OBJECT_HANDLE_INVALID, CKR_SESSION_HANDLE_INVALID,
};
use parking_lot::{Mutex, RwLock};

pub(crate) use self::known::{Key, KnownKeys};
pub(crate) use self::pins::{PIN_BYTES_MAX, PIN_BYTES_MIN, PIN_TRIES_MAX, ensure_pin_length};
use self::view::View;
use crate::{
    attribute::{Attrs, Flags},
    object::{Home, Object},
    profile::Profile,
    rules::{Caller, Role, change::identity},
    rv::{Result, Rv, ensure},
    storage::{
        TokenDir,
        meta::{Meta, TokenKeys},
    },
};

/// Session objects are spread over this many locks by the session that makes them, so that threads, each with its own
/// session, do not wait for each other.
const SHARDS: usize = 16;

type Shard = Apart<RwLock<HashMap<CK_OBJECT_HANDLE, Arc<Object>>>>;

/// Process-wide, so that a handle never means two things, whatever is closed and opened again.
static NEXT_TOKEN_HANDLE: AtomicU64 = AtomicU64::new(1);
static NEXT_SESSION_HANDLES: [Apart<AtomicU64>; SHARDS] = [const { Apart(AtomicU64::new(1)) }; SHARDS];

/// Something on cache lines of its own (processors fetch them in pairs): what one thread writes does not slow down
/// another thread's neighbour.
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct Apart<T>(pub(crate) T);

impl<T> std::ops::Deref for Apart<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// An initialised token.
pub(crate) struct Token {
    dir: TokenDir,
    instance: u64,
    profile: &'static Profile,
    role: AtomicU8,
    /// Grows at every login and logout; private session objects belong to one login.
    login: AtomicU64,
    /// Another process has initialised the token anew.
    gone: AtomicBool,
    /// Present while somebody is logged in. Held by whoever changes the token or the login.
    writer: Mutex<Option<Arc<TokenKeys>>>,
    view: RwLock<View>,
    /// Grows whenever the view is written.
    view_version: AtomicU64,
    session_objects: [Shard; SHARDS],
}

impl Token {
    pub(crate) fn open(path: PathBuf, profile: &'static Profile) -> Result<Self> {
        Self::over(TokenDir::open(path)?, profile)
    }

    pub(crate) fn create(path: PathBuf, meta: &Meta, profile: &'static Profile) -> Result<Self> {
        Self::over(TokenDir::create(path, meta)?, profile)
    }

    fn over(dir: TokenDir, profile: &'static Profile) -> Result<Self> {
        let instance = dir.meta()?.instance();
        Ok(Self {
            dir,
            instance,
            profile,
            role: AtomicU8::new(Role::Public as u8),
            login: AtomicU64::new(0),
            gone: AtomicBool::new(false),
            writer: Mutex::new(None),
            view: RwLock::new(View::stale()),
            view_version: AtomicU64::new(0),
            session_objects: Default::default(),
        })
    }

    /// The metadata as it is on disk now.
    pub(crate) fn meta(&self) -> Result<Meta> {
        self.dir.meta()
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    pub(crate) fn role(&self) -> Role {
        match self.role.load(Ordering::Acquire) {
            role if role == Role::User as u8 => Role::User,
            role if role == Role::So as u8 => Role::So,
            _ => Role::Public,
        }
    }

    /// Number of logins and logouts so far.
    pub(crate) fn login(&self) -> u64 {
        self.login.load(Ordering::Acquire)
    }

    pub(crate) fn caller(&self, read_write: bool) -> Caller {
        Caller { role: self.role(), read_write, profile: self.profile }
    }

    /// The object of a handle, as this role may see it now.
    pub(crate) fn object(&self, handle: CK_OBJECT_HANDLE) -> Result<Arc<Object>> {
        let found = if is_session_handle(handle) {
            self.shard(handle).read().get(&handle).cloned()
        } else {
            self.current_view()?.object(handle)
        };
        found.filter(|object| self.sees(object)).ok_or(Rv(CKR_OBJECT_HANDLE_INVALID))
    }

    /// As [`Token::key`], for a key that the same session uses again and again: `known` answers as long as nothing has
    /// changed, without touching memory that other sessions write.
    pub(crate) fn known_key(&self, known: &mut KnownKeys, handle: CK_OBJECT_HANDLE, wrong: CK_RV) -> Result<Key> {
        if is_session_handle(handle) {
            return self.key(handle, wrong).map(|object| Key(Arc::new(object)));
        }
        let found = match known.get(self.view_version.load(Ordering::Acquire), self.dir.generation(), handle) {
            Some(key) => Some(key),
            None => {
                let view = self.current_view()?;
                // Nobody writes the view while this guard lives.
                let version = self.view_version.load(Ordering::Acquire);
                view.object(handle).map(|object| known.put((version, view.generation), handle, object))
            }
        };
        found.filter(|key| self.sees(key)).ok_or(Rv(wrong))
    }

    /// As [`Token::object`], for a handle that stands for a key of some purpose: a wrong one is `wrong`. Trouble with
    /// the device stays what it is.
    pub(crate) fn key(&self, handle: CK_OBJECT_HANDLE, wrong: CK_RV) -> Result<Arc<Object>> {
        self.object(handle).map_err(|error| if error == Rv(CKR_OBJECT_HANDLE_INVALID) { Rv(wrong) } else { error })
    }

    /// Handles of all visible objects that match, ascending.
    pub(crate) fn find(&self, template: &Attrs) -> Result<Vec<CK_OBJECT_HANDLE>> {
        let mut found = self.current_view()?.find(|object| self.sees(object) && object.matches(template));
        if template.flag(Flags::TOKEN) != Some(true) {
            for shard in &self.session_objects {
                let shard = shard.read();
                let fits = shard.iter().filter(|(_, object)| self.sees(object) && object.matches(template));
                found.extend(fits.map(|(handle, _)| *handle));
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Adds an object and names it.
    pub(crate) fn add(&self, attrs: Attrs, session: CK_SESSION_HANDLE) -> Result<CK_OBJECT_HANDLE> {
        if attrs.is(Flags::TOKEN) {
            return self.store_new(attrs);
        }
        self.ensure_free_identity(&attrs)?;
        let handle = new_session_handle(session);
        let home = Home::Session { session, login: self.login() };
        let object = Arc::new(Object::new(attrs, home, self.profile));
        self.shard(handle).write().insert(handle, object);
        Ok(handle)
    }

    /// Replaces the attributes of an object by `change` of what they are now.
    pub(crate) fn modify(&self, handle: CK_OBJECT_HANDLE, change: impl Fn(&Object) -> Result<Attrs>) -> Result<()> {
        if !is_session_handle(handle) {
            return self.store_modified(handle, change);
        }
        let current = self.object(handle)?;
        let attrs = change(&current)?;
        if identity(&attrs) != identity(current.attrs()) {
            self.ensure_free_identity(&attrs)?;
        }
        let object = Arc::new(Object::new(attrs, current.home(), self.profile));
        let mut shard = self.shard(handle).write();
        // A concurrent change or destruction wins; the caller sees that its object is not the one it looked at.
        let slot = shard.get_mut(&handle).filter(|slot| Arc::ptr_eq(slot, &current));
        *slot.ok_or(Rv(CKR_OBJECT_HANDLE_INVALID))? = object;
        Ok(())
    }

    /// Destroys an object if `allowed` agrees.
    pub(crate) fn destroy(&self, handle: CK_OBJECT_HANDLE, allowed: impl Fn(&Object) -> Result<()>) -> Result<()> {
        if !is_session_handle(handle) {
            return self.store_destroyed(handle, allowed);
        }
        let mut shard = self.shard(handle).write();
        let object = shard.get(&handle).filter(|object| self.sees(object)).ok_or(Rv(CKR_OBJECT_HANDLE_INVALID))?;
        allowed(object)?;
        shard.remove(&handle);
        Ok(())
    }

    /// A session's objects end with it (PKCS#11 2.40 §2.6.5).
    pub(crate) fn end_session(&self, ended: CK_SESSION_HANDLE) {
        self.retain_session_objects(
            |object| !matches!(object.home(), Home::Session { session, .. } if session == ended),
        );
    }

    /// Session objects of all sessions.
    pub(crate) fn session_objects(&self) -> usize {
        self.session_objects.iter().map(|shard| shard.read().len()).sum()
    }

    fn retain_session_objects(&self, keep: impl Fn(&Object) -> bool) {
        for shard in &self.session_objects {
            shard.write().retain(|_, object| keep(object));
        }
    }

    fn shard(&self, handle: CK_OBJECT_HANDLE) -> &Shard {
        &self.session_objects[(handle >> 1) as usize % SHARDS]
    }

    /// Private objects are the user's, and a private session object is that of one login only: one that was being made
    /// while the login ended is never seen again.
    fn sees(&self, object: &Object) -> bool {
        if !object.is(Flags::PRIVATE) {
            return true;
        }
        let same_login = match object.home() {
            Home::Token(_) => true,
            Home::Session { login, .. } => login == self.login(),
        };
        same_login && self.role() == Role::User
    }

    /// A session object must not shadow a token object that the KMS finds by class and CKA_ID.
    fn ensure_free_identity(&self, attrs: &Attrs) -> Result<()> {
        let Some((class, id)) = identity(attrs) else { return Ok(()) };
        let taken = self
            .current_view()?
            .any(|object| object.attrs().number(CKA_CLASS) == Some(class) && object.attrs().bytes(CKA_ID) == Some(id));
        ensure(!taken, CKR_ATTRIBUTE_VALUE_INVALID)
    }

    fn ensure_not_gone(&self, meta: &Meta) -> Result<()> {
        if meta.instance() != self.instance {
            self.gone.store(true, Ordering::Release);
        }
        ensure(!self.is_gone(), CKR_SESSION_HANDLE_INVALID)
    }
}

/// Odd handles are session objects: the table to look in is known without looking.
fn is_session_handle(handle: CK_OBJECT_HANDLE) -> bool {
    handle % 2 == 1
}

/// The handle says in which shard its object is.
fn new_session_handle(session: CK_SESSION_HANDLE) -> CK_OBJECT_HANDLE {
    let shard = session as usize % SHARDS;
    let number = NEXT_SESSION_HANDLES[shard].fetch_add(1, Ordering::Relaxed);
    (number * SHARDS as u64 + shard as u64) * 2 + 1
}

fn new_token_handle() -> CK_OBJECT_HANDLE {
    NEXT_TOKEN_HANDLE.fetch_add(1, Ordering::Relaxed) * 2
}
