//! One session: its access mode and the operations under way in it (PKCS#11 2.40 §2.6).
//!
//! Guards: at most one operation of each kind; an operation belongs to one session and one lock.

use std::sync::Arc;

use cryptoki_sys::{
    CK_MECHANISM_TYPE, CK_OBJECT_HANDLE, CK_RV, CK_SESSION_HANDLE, CK_SESSION_INFO, CK_SLOT_ID, CKF_RW_SESSION,
    CKF_SERIAL_SESSION, CKR_KEY_HANDLE_INVALID, CKS_RO_PUBLIC_SESSION, CKS_RO_USER_FUNCTIONS, CKS_RW_PUBLIC_SESSION,
    CKS_RW_SO_FUNCTIONS, CKS_RW_USER_FUNCTIONS,
};
use parking_lot::{Mutex, MutexGuard};

use crate::{
    attribute::Flags,
    mechanism::{
        cipher::CipherOperation,
        hash::{Hash, HashKind},
        mac::MacOperation,
    },
    rules::{Caller, Role, usage::ensure_use},
    rv::Result,
    token::{Key, KnownKeys, Token},
};

/// An open session.
pub(crate) struct Session {
    handle: CK_SESSION_HANDLE,
    slot: CK_SLOT_ID,
    token: Arc<Token>,
    read_write: bool,
    work: Mutex<Work>,
    known: Mutex<KnownKeys>,
}

/// Operations under way.
#[derive(Default)]
pub(crate) struct Work {
    /// The login under which they were started.
    login: u64,
    pub(crate) find: Option<std::vec::IntoIter<CK_OBJECT_HANDLE>>,
    pub(crate) encrypt: Option<CipherOperation>,
    pub(crate) decrypt: Option<CipherOperation>,
    pub(crate) digest: Option<DigestOperation>,
    pub(crate) sign: Option<MacOperation>,
    pub(crate) verify: Option<MacOperation>,
}

/// A digest under way.
pub(crate) struct DigestOperation {
    kind: HashKind,
    hash: Hash,
    pub(crate) in_parts: bool,
}

impl DigestOperation {
    pub(crate) fn start(kind: HashKind) -> Self {
        Self { kind, hash: Hash::start(kind), in_parts: false }
    }

    /// Bytes of the digest.
    pub(crate) fn length(&self) -> usize {
        self.kind.digest_bytes()
    }

    pub(crate) fn update(&mut self, data: &[u8]) {
        self.in_parts = true;
        self.hash.update(data);
    }

    /// The digest of what came before and `data`; the operation itself does not move.
    pub(crate) fn digest_of(&self, data: &[u8]) -> Vec<u8> {
        let mut hash = self.hash.clone();
        hash.update(data);
        hash.finish()
    }
}

impl Session {
    pub(crate) fn new(handle: CK_SESSION_HANDLE, slot: CK_SLOT_ID, token: Arc<Token>, read_write: bool) -> Self {
        let work = Mutex::new(Work { login: token.login(), ..Work::default() });
        Self { handle, slot, token, read_write, work, known: Mutex::default() }
    }

    pub(crate) fn handle(&self) -> CK_SESSION_HANDLE {
        self.handle
    }

    pub(crate) fn slot(&self) -> CK_SLOT_ID {
        self.slot
    }

    pub(crate) fn token(&self) -> &Arc<Token> {
        &self.token
    }

    pub(crate) fn is_read_write(&self) -> bool {
        self.read_write
    }

    pub(crate) fn caller(&self) -> Caller {
        self.token.caller(self.read_write)
    }

    /// The operations under way. A login or logout since they were started has ended them (PKCS#11 2.40 §5.6 leaves that
    /// to the token): otherwise a key could be used on after the logout that took it away.
    pub(crate) fn work(&self) -> MutexGuard<'_, Work> {
        let mut work = self.work.lock();
        let login = self.token.login();
        if work.login != login {
            *work = Work { login, ..Work::default() };
        }
        work
    }

    /// The key of `handle`, if it may be used so.
    pub(crate) fn key(&self, handle: CK_OBJECT_HANDLE, usage: Flags, number: CK_MECHANISM_TYPE) -> Result<Key> {
        let key = self.known_key(handle, CKR_KEY_HANDLE_INVALID)?;
        ensure_use(&key, usage, number)?;
        Ok(key)
    }

    /// The key of `handle`, else `wrong`.
    pub(crate) fn known_key(&self, handle: CK_OBJECT_HANDLE, wrong: CK_RV) -> Result<Key> {
        self.token.known_key(&mut self.known.lock(), handle, wrong)
    }

    /// `CK_SESSION_INFO` (PKCS#11 2.40 §2.6.4: five states).
    pub(crate) fn info(&self) -> CK_SESSION_INFO {
        let state = match (self.token.role(), self.read_write) {
            (Role::Public, false) => CKS_RO_PUBLIC_SESSION,
            (Role::Public, true) => CKS_RW_PUBLIC_SESSION,
            (Role::User, false) => CKS_RO_USER_FUNCTIONS,
            (Role::User, true) => CKS_RW_USER_FUNCTIONS,
            (Role::So, _) => CKS_RW_SO_FUNCTIONS,
        };
        let write = if self.read_write { CKF_RW_SESSION } else { 0 };
        CK_SESSION_INFO { slotID: self.slot, state, flags: CKF_SERIAL_SESSION | write, ulDeviceError: 0 }
    }
}
