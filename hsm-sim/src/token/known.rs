//! Keys on the token that one session has used before.
//!
//! A master and a transport key are used a million times, by several threads at once. Finding them takes the view's lock
//! and counts references, and both are memory that all threads write. What a session has found it keeps, under a count
//! of its own. Guard: nothing that is kept outlives a change of the token, by any process, or of the login.

use std::{collections::HashMap, ops::Deref, sync::Arc};

use cryptoki_sys::CK_OBJECT_HANDLE;

use crate::object::Object;

/// Keys of one session; more are not kept.
const KEYS_MAX: usize = 1024;

/// A key in use. The outer count is that of the session, the inner one that of the token.
#[derive(Clone)]
#[expect(clippy::redundant_allocation, reason = "two counts on purpose: threads do not share the outer one")]
pub(crate) struct Key(pub(super) Arc<Arc<Object>>);

impl Deref for Key {
    type Target = Arc<Object>;

    fn deref(&self) -> &Arc<Object> {
        &self.0
    }
}

/// What a session has found.
#[derive(Default)]
pub(crate) struct KnownKeys {
    /// Version and generation of the view that they were found in.
    found_in: (u64, u64),
    keys: HashMap<CK_OBJECT_HANDLE, Key>,
}

impl KnownKeys {
    /// The key, if the view is still of that version and the token of that generation.
    pub(super) fn get(&self, version: u64, generation: u64, handle: CK_OBJECT_HANDLE) -> Option<Key> {
        if self.found_in != (version, generation) {
            return None;
        }
        self.keys.get(&handle).cloned()
    }

    /// Keeps a key; everything found elsewhere is forgotten.
    pub(super) fn put(&mut self, found_in: (u64, u64), handle: CK_OBJECT_HANDLE, object: Arc<Object>) -> Key {
        if self.found_in != found_in || self.keys.len() >= KEYS_MAX {
            self.keys.clear();
            self.found_in = found_in;
        }
        let key = Key(Arc::new(object));
        self.keys.insert(handle, key.clone());
        key
    }
}
