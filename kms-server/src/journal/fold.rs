//! The fold at start: every stored entry is decoded, checked against every rule, and hashed again.

use std::collections::BTreeMap;

use kms_core::digest::Digest;
use kms_core::encoding::{self, EncodingError};
use kms_core::event::LogEntry;
use kms_core::log::merkle;
use kms_core::state::State;
use kms_core::violation::Violation;
use thiserror::Error;

use super::documents::Overlay;
use crate::store::{Store, StoreError, log};

/// Entries read at a time.
const PAGE_ENTRIES: u32 = 1000;

/// Why the stored log cannot be used.
#[derive(Debug, Error)]
pub enum DamagedLog {
    /// An entry that is not one.
    #[error("entry {index} of the key log is damaged: {reason}")]
    Entry {
        /// Its index.
        index: u64,
        /// Why.
        reason: EncodingError,
    },
    /// An entry that breaks a rule.
    #[error("entry {index} of the key log breaks a rule: {violation}")]
    Rule {
        /// Its index.
        index: u64,
        /// Which rule.
        violation: Violation,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The state and the leaf hashes of the stored log.
pub(super) fn fold(store: &Store) -> Result<(State, Vec<Digest>), DamagedLog> {
    store.read(|connection| {
        let mut state = State::default();
        let mut leaves = Vec::new();
        let none = BTreeMap::new();
        loop {
            let page = log::entries(connection, state.size(), PAGE_ENTRIES)?;
            for der in &page {
                let index = state.size();
                let entry: LogEntry = encoding::decode(der).map_err(|reason| DamagedLog::Entry { index, reason })?;
                state
                    .apply(&entry, &Overlay::new(&none, connection))
                    .map_err(|violation| DamagedLog::Rule { index, violation })?;
                leaves.push(merkle::leaf_hash(der));
            }
            if page.is_empty() {
                return Ok((state, leaves));
            }
        }
    })
}
