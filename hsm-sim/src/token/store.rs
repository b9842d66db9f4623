//! Changes of token objects: under the lock, on the disk, then in the view, in this order.

use std::sync::Arc;

use cryptoki_sys::{
    CK_OBJECT_HANDLE, CKA_CHECK_VALUE, CKR_ATTRIBUTE_VALUE_INVALID, CKR_OBJECT_HANDLE_INVALID, CKR_USER_NOT_LOGGED_IN,
};

use super::Token;
use crate::{
    attribute::{Attrs, Value},
    object::{Home, Object, ObjectId},
    rv::{Result, Rv, ensure},
    storage::{
        Locked, ObjectName,
        meta::TokenKeys,
        object_file::{self, Identity},
        random_number,
    },
};

impl Token {
    pub(super) fn store_new(&self, attrs: Attrs) -> Result<CK_OBJECT_HANDLE> {
        let writer = self.writer.lock();
        let keys = writer.as_deref().ok_or(Rv(CKR_USER_NOT_LOGGED_IN))?;
        let locked = self.lock_current(keys)?;
        let name = ObjectName { id: ObjectId(random_number()?), revision: 1 };
        let (object, identity) = self.encode_ready(attrs, name, keys)?;
        let file = object_file::encode(name, self.instance, object.attrs(), keys)?;
        locked.change(|locked| locked.write(name, &file))?;
        let mut view = self.view_to_write();
        view.generation = self.dir.generation();
        Ok(view.put(name, identity, object))
    }

    pub(super) fn store_modified(
        &self,
        handle: CK_OBJECT_HANDLE,
        change: impl Fn(&Object) -> Result<Attrs>,
    ) -> Result<()> {
        let writer = self.writer.lock();
        let Some(keys) = writer.as_deref() else {
            // Asked for the error only: without a login nothing is written.
            let object = self.view.read().object(handle).filter(|object| self.sees(object));
            change(object.as_deref().ok_or(Rv(CKR_OBJECT_HANDLE_INVALID))?)?;
            return Err(Rv(CKR_USER_NOT_LOGGED_IN));
        };
        let locked = self.lock_current(keys)?;
        let (current, before) = self.stored(handle)?;
        let after = ObjectName { id: before.id, revision: before.revision + 1 };
        let (object, identity) = self.encode_ready(change(&current)?, after, keys)?;
        let file = object_file::encode(after, self.instance, object.attrs(), keys)?;
        locked.change(|locked| {
            locked.write(after, &file)?;
            locked.remove(before)
        })?;
        let mut view = self.view_to_write();
        view.generation = self.dir.generation();
        view.put(after, identity, object);
        Ok(())
    }

    pub(super) fn store_destroyed(
        &self,
        handle: CK_OBJECT_HANDLE,
        allowed: impl Fn(&Object) -> Result<()>,
    ) -> Result<()> {
        let writer = self.writer.lock();
        let keys = writer.as_deref().ok_or(Rv(CKR_USER_NOT_LOGGED_IN))?;
        let locked = self.lock_current(keys)?;
        let (current, name) = self.stored(handle)?;
        allowed(&current)?;
        locked.change(|locked| locked.remove(name))?;
        let mut view = self.view_to_write();
        view.generation = self.dir.generation();
        view.remove(name.id);
        Ok(())
    }

    /// Takes the token's lock and catches up with what other processes did before.
    pub(super) fn lock_current(&self, keys: &TokenKeys) -> Result<Locked<'_>> {
        let locked = self.dir.lock()?;
        if self.view.read().generation != self.dir.generation() {
            self.reload(&locked, Some(keys), false)?;
        }
        Ok(locked)
    }

    fn stored(&self, handle: CK_OBJECT_HANDLE) -> Result<(Arc<Object>, ObjectName)> {
        let view = self.view.read();
        let object = view.object(handle).filter(|object| self.sees(object)).ok_or(Rv(CKR_OBJECT_HANDLE_INVALID))?;
        let Home::Token(id) = object.home() else { return Err(Rv(CKR_OBJECT_HANDLE_INVALID)) };
        let revision = view.revision(id).ok_or(Rv(CKR_OBJECT_HANDLE_INVALID))?;
        Ok((object, ObjectName { id, revision }))
    }

    /// The object to be written, with its check value, unless another one has its class and CKA_ID.
    fn encode_ready(&self, mut attrs: Attrs, name: ObjectName, keys: &TokenKeys) -> Result<(Arc<Object>, Identity)> {
        let identity = object_file::identity_of(&attrs, keys)?;
        ensure(!self.view.read().has_identity(identity, Some(name.id)), CKR_ATTRIBUTE_VALUE_INVALID)?;
        let home = Home::Token(name.id);
        if attrs.get(CKA_CHECK_VALUE).is_none() {
            // Stored beside the sealed key, so that it can be read without a login.
            let check_value = Object::new(attrs.clone(), home, self.profile).check_value();
            if let Some(check_value) = check_value {
                attrs.put(CKA_CHECK_VALUE, Value::Bytes(check_value.into()));
            }
        }
        Ok((Arc::new(Object::new(attrs, home, self.profile)), identity))
    }
}
