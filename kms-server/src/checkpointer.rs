//! Signed checkpoints: re-hash, compare, sign in the HSM, verify, keep in the HSM, store, in this order.
//!
//! The last head lies in the HSM as well as in the database. A database that is behind it, or that has
//! another history, was rolled back or changed: the server then refuses to work. Guards: no checkpoint
//! is signed over anything but the stored entries; a checkpoint is never inconsistent with the one
//! before, because its tree grows from the tree of that one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kms_api::problem::Code;
use kms_core::log::checkpoint::{self, Checkpoint};
use kms_core::log::merkle::{Frontier, leaf_hash};
use kms_core::ports::LOG_HEAD_BYTES_MAX;
use kms_core::state::{InstanceKeys, State};
use kms_core::violation::Violation;
use thiserror::Error;

use crate::fault::Fault;
use crate::guarded::GuardedHsm;
use crate::journal::Journal;
use crate::store::checkpoints::{self, StoredCheckpoint};
use crate::store::{Store, log};

/// Entries read at a time.
const PAGE_ENTRIES: u32 = 1000;

/// Signs the log's head.
pub struct Checkpointer {
    store: Arc<Store>,
    journal: Arc<Journal>,
    hsm: Arc<GuardedHsm>,
    signed: Mutex<Signed>,
}

/// What was signed last.
#[derive(Default)]
struct Signed {
    confirmed: bool,
    frontier: Frontier,
    latest: Option<StoredCheckpoint>,
}

/// Why database and HSM do not belong together.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HeadMismatch {
    /// The HSM knows more entries than the database holds.
    #[error(
        "the database holds {stored} log entries, the HSM has signed for {signed}: the database was rolled back; restore the newest one"
    )]
    Behind {
        /// In the database.
        stored: u64,
        /// In the HSM's head.
        signed: u64,
    },
    /// Same length, other history.
    #[error(
        "the first {size} log entries of the database are not those that the HSM signed for: the database was changed"
    )]
    Forked {
        /// Size of the HSM's head.
        size: u64,
    },
    /// The HSM has no head although the database has checkpoints.
    #[error(
        "the HSM keeps no log head, but the database has a checkpoint over {size} entries: is this the right token?"
    )]
    Absent {
        /// Size of the database's checkpoint.
        size: u64,
    },
    /// The HSM's head is not of this log.
    #[error("the log head in the HSM is not one of this instance: {reason}")]
    Foreign {
        /// Why.
        reason: String,
    },
}

/// Why the head could not be confirmed.
#[derive(Debug)]
pub enum Unconfirmed {
    /// They do not belong together: the server must not work.
    Mismatch(HeadMismatch),
    /// It could not be found out.
    Fault(Fault),
}

impl<E: Into<Fault>> From<E> for Unconfirmed {
    fn from(error: E) -> Self {
        Self::Fault(error.into())
    }
}

impl Checkpointer {
    /// Nothing is confirmed yet.
    pub fn new(store: Arc<Store>, journal: Arc<Journal>, hsm: Arc<GuardedHsm>) -> Self {
        Self { store, journal, hsm, signed: Mutex::new(Signed::default()) }
    }

    /// The newest signed checkpoint.
    pub fn latest(&self) -> Result<Option<StoredCheckpoint>, Fault> {
        self.store.read(|connection| checkpoints::latest(connection).map_err(Fault::from))
    }

    /// Compares database and HSM; then the journal may write. Does nothing the second time.
    pub fn confirm(&self) -> Result<(), Unconfirmed> {
        let mut signed = self.lock();
        if signed.confirmed {
            return Ok(());
        }
        let state = self.journal.state();
        let stored = self.latest()?;
        let head = match self.hsm.log_head()? {
            Some(note) => Some(self.read_head(&state, &note).map_err(Unconfirmed::Mismatch)?),
            None => None,
        };
        match (&head, &stored) {
            (None, Some(stored)) => {
                return Err(Unconfirmed::Mismatch(HeadMismatch::Absent { size: stored.size }));
            }
            (Some(head), Some(stored)) if stored.size > head.size => {
                let reason = format!("it covers {} entries, the database's checkpoint {}", head.size, stored.size);
                return Err(Unconfirmed::Mismatch(HeadMismatch::Foreign { reason }));
            }
            _ => {}
        }
        if let Some(head) = &head {
            // The process may have died after it told the HSM and before it told the database.
            self.store.write(|connection| checkpoints::add(connection, head).map_err(Fault::from))?;
            signed.frontier = self.frontier_after(Frontier::new(), head.size)?;
        }
        signed.latest = head;
        signed.confirmed = true;
        self.journal.open_for_writing();
        Ok(())
    }

    /// Signs the present head if it is not signed yet.
    pub fn sign(&self) -> Result<(), Fault> {
        let mut signed = self.lock();
        let state = self.journal.state();
        let Some(keys) = state.keys() else {
            return Ok(());
        };
        if !signed.confirmed || signed.latest.as_ref().is_some_and(|latest| latest.size == state.size()) {
            return Ok(());
        }
        let frontier = self.frontier_after(signed.frontier.clone(), state.size())?;
        if frontier.root() != state.root() {
            crate::stop("the stored key log is not the one this process wrote: the database was changed while it ran");
        }
        let checkpoint = self.signed_note(&state, keys)?;
        // HSM first: should the process die in between, the next start finds the HSM ahead of the table,
        // never the table ahead of the HSM.
        self.hsm.set_log_head(checkpoint.note.as_bytes())?;
        self.store.write(|connection| checkpoints::add(connection, &checkpoint).map_err(Fault::from))?;
        signed.frontier = frontier;
        signed.latest = Some(checkpoint);
        Ok(())
    }

    /// A checkpoint that covers entry `index`; signs one if there is none yet.
    pub fn cover(&self, index: u64) -> Result<StoredCheckpoint, Fault> {
        let covered = |latest: Option<StoredCheckpoint>| latest.filter(|checkpoint| checkpoint.size > index);
        if let Some(checkpoint) = covered(self.latest()?) {
            return Ok(checkpoint);
        }
        self.sign()?;
        let missing = || Fault::new(Code::HsmUnavailable, "no signed checkpoint covers this entry yet");
        covered(self.latest()?).ok_or_else(missing)
    }

    fn lock(&self) -> MutexGuard<'_, Signed> {
        self.signed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn signed_note(&self, state: &State, keys: &InstanceKeys) -> Result<StoredCheckpoint, Fault> {
        let origin = &state.identity().ok_or(Violation::NotFounded)?.origin;
        let malformed = |_| Fault::new(Code::Internal, "the origin is no name for a log");
        let checkpoint = Checkpoint::new(origin.as_str(), state.size(), state.root()).map_err(malformed)?;
        let text = checkpoint.text();
        let signature = self.hsm.sign(keys.ids.log, &keys.log.digest_for_signing(text.as_bytes()))?;
        let wrong = |_| Fault::new(Code::HsmRefused, "the HSM's signature does not verify with the log key");
        keys.log.verify(text.as_bytes(), &signature).map_err(wrong)?;
        let note = checkpoint.into_note(&keys.log, &signature).to_string();
        if note.len() > LOG_HEAD_BYTES_MAX {
            return Err(Fault::new(Code::Internal, "the checkpoint does not fit into the HSM"));
        }
        Ok(StoredCheckpoint { size: state.size(), root: state.root(), note })
    }

    fn read_head(&self, state: &State, note: &[u8]) -> Result<StoredCheckpoint, HeadMismatch> {
        let (Some(identity), Some(keys)) = (state.identity(), state.keys()) else {
            // The HSM signed for a log; this database knows of no keys at all.
            return Err(HeadMismatch::Foreign { reason: "the database is empty or holds no instance keys".to_owned() });
        };
        let foreign = |reason: String| HeadMismatch::Foreign { reason };
        let note = std::str::from_utf8(note).map_err(|error| foreign(error.to_string()))?;
        let head = checkpoint::parse_and_verify(note, identity.origin.as_str(), &keys.log)
            .map_err(|error| foreign(error.to_string()))?;
        if head.size() > state.size() {
            return Err(HeadMismatch::Behind { stored: state.size(), signed: head.size() });
        }
        if self.journal.root_at(head.size()) != Some(head.root()) {
            return Err(HeadMismatch::Forked { size: head.size() });
        }
        Ok(StoredCheckpoint { size: head.size(), root: head.root(), note: note.to_owned() })
    }

    /// Hashes stored entries onto `frontier` until it covers `size`.
    fn frontier_after(&self, mut frontier: Frontier, size: u64) -> Result<Frontier, Fault> {
        while frontier.size() < size {
            let left = u32::try_from(size - frontier.size()).unwrap_or(PAGE_ENTRIES).min(PAGE_ENTRIES);
            let page = self.store.read(|c| log::entries(c, frontier.size(), left).map_err(Fault::from))?;
            if page.is_empty() {
                crate::stop("log entries are missing in the database: it was changed while the server ran");
            }
            page.iter().for_each(|der| frontier.push(leaf_hash(der)));
        }
        Ok(frontier)
    }
}
