//! The token objects that this process has loaded, for the role that is logged in.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, atomic::Ordering},
};

use cryptoki_sys::CK_OBJECT_HANDLE;
use parking_lot::{RwLockReadGuard, RwLockWriteGuard};

use super::{Token, new_token_handle};
use crate::{
    attribute::Flags,
    object::{Home, Object, ObjectId},
    rules::Role,
    rv::Result,
    storage::{
        Locked, ObjectName,
        meta::TokenKeys,
        object_file::{self, Identity, Sight},
    },
};

/// Never a value of the shared counter: it is odd, and out of reach.
const NEVER_LOADED: u64 = u64::MAX;

/// What was read, and when.
pub(super) struct View {
    pub(super) generation: u64,
    entries: BTreeMap<ObjectId, Entry>,
    by_handle: HashMap<CK_OBJECT_HANDLE, Arc<Object>>,
}

/// One object file. The role may not see what is in it.
pub(super) struct Entry {
    pub(super) revision: u64,
    pub(super) identity: Identity,
    visible: Option<(CK_OBJECT_HANDLE, Arc<Object>)>,
}

impl View {
    pub(super) fn stale() -> Self {
        Self { generation: NEVER_LOADED, entries: BTreeMap::new(), by_handle: HashMap::new() }
    }

    pub(super) fn object(&self, handle: CK_OBJECT_HANDLE) -> Option<Arc<Object>> {
        self.by_handle.get(&handle).cloned()
    }

    pub(super) fn find(&self, fits: impl Fn(&Object) -> bool) -> Vec<CK_OBJECT_HANDLE> {
        self.by_handle.iter().filter(|(_, object)| fits(object)).map(|(handle, _)| *handle).collect()
    }

    pub(super) fn any(&self, fits: impl Fn(&Object) -> bool) -> bool {
        self.by_handle.values().any(|object| fits(object))
    }

    /// Is there an object of that class and CKA_ID, other than `except`?
    pub(super) fn has_identity(&self, identity: Identity, except: Option<ObjectId>) -> bool {
        let mut entries = self.entries.iter();
        identity != object_file::NO_IDENTITY
            && entries.any(|(id, entry)| entry.identity == identity && Some(*id) != except)
    }

    /// Objects that end with the user's login.
    pub(super) fn private_ids(&self) -> Vec<ObjectId> {
        let entries = self.entries.iter();
        let private =
            entries.filter(|(_, entry)| entry.visible.as_ref().is_some_and(|(_, object)| object.is(Flags::PRIVATE)));
        private.map(|(id, _)| *id).collect()
    }

    pub(super) fn revision(&self, id: ObjectId) -> Option<u64> {
        self.entries.get(&id).map(|entry| entry.revision)
    }

    /// Adds an object, or a new state of one under its old handle.
    pub(super) fn put(&mut self, name: ObjectName, identity: Identity, object: Arc<Object>) -> CK_OBJECT_HANDLE {
        let known = self.entries.get(&name.id).and_then(|entry| entry.visible.as_ref()).map(|(handle, _)| *handle);
        let handle = known.unwrap_or_else(new_token_handle);
        self.by_handle.insert(handle, Arc::clone(&object));
        let entry = Entry { revision: name.revision, identity, visible: Some((handle, object)) };
        self.entries.insert(name.id, entry);
        handle
    }

    pub(super) fn remove(&mut self, id: ObjectId) {
        if let Some((handle, _)) = self.entries.remove(&id).and_then(|entry| entry.visible) {
            self.by_handle.remove(&handle);
        }
    }
}

impl Token {
    /// The view, to be written: nothing that was found in it before is taken for granted afterwards.
    pub(super) fn view_to_write(&self) -> RwLockWriteGuard<'_, View> {
        let view = self.view.write();
        self.view_version.fetch_add(1, Ordering::AcqRel);
        view
    }

    /// The view, brought up to date if any process has changed the token since it was read.
    pub(super) fn current_view(&self) -> Result<RwLockReadGuard<'_, View>> {
        let view = self.view.read();
        let generation = self.dir.generation();
        if view.generation == generation {
            return Ok(view);
        }
        let loaded = view.generation != NEVER_LOADED;
        drop(view);
        if generation % 2 == 1 && loaded {
            // A writer is at work: until it has finished, what we have is the state of the token. If the lock is free
            // the writer is dead and its half-done change has to be looked at.
            if let Some(writer) = self.writer.try_lock()
                && let Some(locked) = self.dir.try_lock()?
            {
                self.reload(&locked, writer.as_deref(), false)?;
            }
        } else {
            let writer = self.writer.lock();
            let locked = self.dir.lock()?;
            self.reload(&locked, writer.as_deref(), false)?;
        }
        Ok(self.view.read())
    }

    /// Reads what has changed; everything, if `fresh`. Whatever cannot be read as it was written fails the call: a key
    /// that silently disappears is worse than a token that stops.
    pub(super) fn reload(&self, locked: &Locked<'_>, keys: Option<&TokenKeys>, fresh: bool) -> Result<()> {
        let mut view = self.view_to_write();
        let mut old = std::mem::replace(&mut *view, View::stale());
        self.ensure_not_gone(&locked.meta()?)?;
        let sight = match (self.role(), keys) {
            (Role::User, Some(keys)) => Sight::User(keys),
            (Role::So, Some(keys)) => Sight::So(keys),
            _ => Sight::Public,
        };
        let mut next = View::stale();
        for name in locked.list()? {
            let known = old.entries.remove(&name.id);
            let entry = match known {
                Some(entry) if !fresh && entry.revision == name.revision => entry,
                known => self.load(locked, name, sight, known)?,
            };
            if let Some((handle, object)) = &entry.visible {
                next.by_handle.insert(*handle, Arc::clone(object));
            }
            next.entries.insert(name.id, entry);
        }
        next.generation = self.dir.generation();
        *view = next;
        Ok(())
    }

    fn load(&self, locked: &Locked<'_>, name: ObjectName, sight: Sight<'_>, known: Option<Entry>) -> Result<Entry> {
        let loaded = object_file::decode(&locked.read(name)?, name, self.instance, sight)?;
        let handle = known.and_then(|entry| entry.visible).map(|(handle, _)| handle);
        let visible = loaded.attrs.map(|attrs| {
            let object = Object::new(attrs, Home::Token(name.id), self.profile);
            (handle.unwrap_or_else(new_token_handle), Arc::new(object))
        });
        Ok(Entry { revision: name.revision, identity: loaded.identity, visible })
    }
}
