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
            Some(object) => self.destroyed(object),
            None => Ok(()),
        }
    }

    fn destroyed(&self, object: CK_OBJECT_HANDLE) -> HsmResult<()> {
        self.functions.destroy(self.session, object).inspect_err(|_| self.functions.leave_behind())
    }
}

impl Drop for Passing<'_> {
    fn drop(&mut self) {
        if let Some(object) = self.object.take() {
            // The failure that matters is the one that led here.
            let _ = self.destroyed(object);
        }
    }
}
