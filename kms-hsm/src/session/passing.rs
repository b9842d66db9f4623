//! Session objects that never outlast the work on them.

use cryptoki_sys::{CK_OBJECT_HANDLE, CK_SESSION_HANDLE};
use kms_core::ports::HsmResult;

use crate::raw::Functions;

/// A session object that is destroyed when it goes out of scope, on every path.
pub(crate) struct Passing<'f> {
    functions: &'f Functions,
    session: CK_SESSION_HANDLE,
    object: Option<CK_OBJECT_HANDLE>,
}

impl<'f> Passing<'f> {
    pub(crate) const fn new(functions: &'f Functions, session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE) -> Self {
        Self { functions, session, object: Some(object) }
    }

    /// The handle; 0, which no object has, after destruction.
    pub(crate) fn handle(&self) -> CK_OBJECT_HANDLE {
        self.object.unwrap_or_default()
    }

    /// Destroys it now and reports a failure to.
    pub(crate) fn destroy(mut self) -> HsmResult<()> {
        match self.object.take() {
            Some(object) => self.functions.destroy(self.session, object),
            None => Ok(()),
        }
    }
}

impl Drop for Passing<'_> {
    fn drop(&mut self) {
        if let Some(object) = self.object.take() {
            // A failure here leaves a session object, which dies with the session.
            let _ = self.functions.destroy(self.session, object);
        }
    }
}
