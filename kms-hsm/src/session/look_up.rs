//! Finding objects by id or label, adopting or making them, and comparing them with their templates.
//!
//! Guards: "nothing there" is believed when it was said twice and the login still holds; one id, one object; what was made
//! is found by its id and not by the handle that was answered.

use cryptoki::session::SessionState;
use cryptoki_sys::{CK_OBJECT_CLASS, CK_OBJECT_HANDLE, CKA_CLASS, CKA_ID, CKA_LABEL};
use kms_core::id::ObjectId;
use kms_core::ports::{FaultClass, HsmError, HsmResult};

use super::Token;
use crate::fault::{about, fault, from_cryptoki, refused};
use crate::raw::Encoded;
use crate::template::{Role, Template, check};

/// Objects looked at when one is expected: enough to say "several".
const FOUND_MAX: usize = 8;

impl Token {
    /// Handles of everything that matches, at most [`FOUND_MAX`].
    pub(crate) fn find_all(&mut self, template: &Template) -> HsmResult<Vec<CK_OBJECT_HANDLE>> {
        let (session, functions) = (self.session()?, self.functions());
        let mut found = functions.find(session, &mut Encoded::of(template), FOUND_MAX)?;
        if found.is_empty() {
            // "Nothing there" leads to a second key, log or head: it is asked again, and who asks must be logged in.
            self.must_be_logged_in()?;
            found = functions.find(session, &mut Encoded::of(template), FOUND_MAX)?;
        }
        // The same object named twice is one object.
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// Without login a token shows no private objects, and says nothing of it.
    fn must_be_logged_in(&mut self) -> HsmResult<()> {
        let state = self.open()?.get_session_info().map_err(from_cryptoki)?.session_state();
        if matches!(state, SessionState::RwUser | SessionState::RwSecurityOfficer) {
            return Ok(());
        }
        let detail = "the token ended the login by itself";
        Err(fault(FaultClass::Retryable, "C_GetSessionInfo", "CKR_USER_NOT_LOGGED_IN", detail))
    }

    /// The only object of this class and id, or none.
    pub(crate) fn find_optional(
        &mut self,
        class: CK_OBJECT_CLASS,
        id: ObjectId,
    ) -> HsmResult<Option<CK_OBJECT_HANDLE>> {
        let wanted = Template::default().number(CKA_CLASS, class).bytes(CKA_ID, id.as_bytes());
        at_most_one(&self.find_all(&wanted)?, || format!("id {id}"))
    }

    /// The only object of this class and label, or none.
    pub(crate) fn find_label(&mut self, class: CK_OBJECT_CLASS, label: &str) -> HsmResult<Option<CK_OBJECT_HANDLE>> {
        let wanted = Template::default().number(CKA_CLASS, class).bytes(CKA_LABEL, label.as_bytes());
        at_most_one(&self.find_all(&wanted)?, || format!("label {label:?}"))
    }

    /// The object of this role and id, with every attribute of its template; its handle is
    /// remembered until the session ends.
    pub(crate) fn find_one(&mut self, role: &Role, id: ObjectId) -> HsmResult<CK_OBJECT_HANDLE> {
        if let Some(handle) = self.handles.get(&(role.name, id)) {
            return Ok(*handle);
        }
        let handle = self.find_optional(role.class(), id)?.ok_or_else(|| missing(role, &format!("id {id}")))?;
        let expected = role.shown(&self.map).bytes(CKA_ID, id.as_bytes());
        self.check(handle, role, &expected)?;
        self.handles.insert((role.name, id), handle);
        Ok(handle)
    }

    /// Adopts the object under `id` if it shows every attribute of `expected`; else makes it and
    /// looks again. `expected` must hold CKA_ID.
    pub(crate) fn adopt_or_make(
        &mut self,
        role: &Role,
        id: ObjectId,
        expected: &Template,
        make: impl FnOnce(&mut Self) -> HsmResult<CK_OBJECT_HANDLE>,
    ) -> HsmResult<CK_OBJECT_HANDLE> {
        let object = match self.find_optional(role.class(), id)? {
            Some(object) => object,
            None => {
                make(self).map_err(|error| about(error, || format!("{} {id}", role.name)))?;
                // The id is what counts, not the handle that was answered.
                let made = self.find_optional(role.class(), id)?;
                let detail = || format!("{} {id}: made, and then not shown", role.name);
                made.ok_or_else(|| fault(FaultClass::Indeterminate, "C_FindObjects", "OBJECT_MISSING", detail()))?
            }
        };
        self.check(object, role, expected).map_err(|error| about(error, || format!("{} {id}", role.name)))?;
        Ok(object)
    }

    /// Compares an object with its template.
    pub(crate) fn check(&mut self, object: CK_OBJECT_HANDLE, role: &Role, expected: &Template) -> HsmResult<()> {
        let session = self.session()?;
        check(&self.functions(), session, object, role.name, expected)
    }
}

/// Nothing under that id or label.
pub(crate) fn missing(role: &Role, which: &str) -> HsmError {
    refused("C_FindObjects", "OBJECT_MISSING", format!("{}: no object with {which}", role.name))
}

fn at_most_one(found: &[CK_OBJECT_HANDLE], which: impl Fn() -> String) -> HsmResult<Option<CK_OBJECT_HANDLE>> {
    match found {
        [] => Ok(None),
        [only] => Ok(Some(*only)),
        several => {
            let least = if several.len() == FOUND_MAX { "at least " } else { "" };
            let detail = format!("{least}{} objects with {}; officers must decide", several.len(), which());
            Err(refused("C_FindObjects", "OBJECT_COUNT", detail))
        }
    }
}
