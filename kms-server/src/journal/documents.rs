//! Where the fold finds documents: those of this very commit, then the stored ones.

use std::cell::RefCell;
use std::collections::BTreeMap;

use kms_core::digest::Digest;
use kms_core::state::Documents;

use crate::store::{Connection, log};

/// Documents of a commit in front of the stored ones.
pub(super) struct Overlay<'a> {
    pending: &'a BTreeMap<Digest, Vec<u8>>,
    connection: RefCell<&'a mut Connection>,
}

impl<'a> Overlay<'a> {
    pub(super) fn new(pending: &'a BTreeMap<Digest, Vec<u8>>, connection: &'a mut Connection) -> Self {
        Self { pending, connection: RefCell::new(connection) }
    }
}

impl Documents for Overlay<'_> {
    fn document(&self, digest: &Digest) -> Option<Vec<u8>> {
        if let Some(document) = self.pending.get(digest) {
            return Some(document.clone());
        }
        match log::document(&mut self.connection.borrow_mut(), digest) {
            Ok(document) => document,
            Err(error) => {
                // The fold then reports the document as missing, and nothing is written.
                tracing::error!(%error, %digest, "document could not be read");
                None
            }
        }
    }
}
