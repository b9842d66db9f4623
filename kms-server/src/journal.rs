//! The one writer of the key log: every change of this instance goes through [`Journal::commit`].
//!
//! State = fold(log). A commit decides against the state of this moment, applies the new entries to a
//! copy of it (every rule is checked there), and stores entries, documents and business rows in one
//! transaction. Only when that transaction is durable does the copy become the state. A broken rule or
//! a failed write leaves everything as it was.
//!
//! Invariants: entries have contiguous indexes and times that never decrease; nothing is answered
//! before it is durable; nothing is written before the database was compared with the log head that
//! the HSM keeps ([`Journal::open_for_writing`]); after an I/O error nothing is written any more by
//! this process.

mod documents;
mod fold;
mod projection;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use kms_api::problem::Code;
use kms_core::digest::Digest;
use kms_core::encoding::{self, Document as _};
use kms_core::event::{Event, LogEntry, Refused};
use kms_core::id::{Actor, Origin};
use kms_core::log::merkle;
use kms_core::plan::Role;
use kms_core::state::State;

use crate::fault::Fault;
use crate::store::{self, Connection, Store, backend, log};

pub use fold::DamagedLog;

/// What somebody does: who, in which role, which events, and the documents these name.
pub struct Act {
    actor: Actor,
    role: Option<Role>,
    events: Vec<Event>,
    documents: Vec<Vec<u8>>,
}

impl Act {
    /// Done by a person in their role, a bureau or another instance.
    pub fn by(actor: Actor, role: Option<Role>, events: Vec<Event>) -> Self {
        Self { actor, role, events, documents: Vec::new() }
    }

    /// Done by this instance itself.
    pub fn own(events: Vec<Event>) -> Self {
        Self::by(Actor::Own, None, events)
    }

    /// Adds a document that the events name by its digest.
    #[must_use]
    pub fn with(mut self, document: impl Into<Vec<u8>>) -> Self {
        self.documents.push(document.into());
        self
    }
}

/// The moment of a commit, seen by whoever decides.
pub struct Moment<'a> {
    /// The state that the new entries will follow.
    pub state: &'a State,
    /// Time of the new entries.
    pub now_ms: u64,
}

/// The key log and the state it folds to.
pub struct Journal {
    store: Arc<Store>,
    origin: Digest,
    head: RwLock<Head>,
    open: AtomicBool,
}

struct Head {
    state: Arc<State>,
    leaves: Vec<Digest>,
}

impl Journal {
    /// Reads, re-hashes and folds the whole stored log.
    pub fn load(store: Arc<Store>, origin: &Origin) -> Result<Self, DamagedLog> {
        let (state, leaves) = fold::fold(&store)?;
        let head = RwLock::new(Head { state: Arc::new(state), leaves });
        Ok(Self { store, origin: Digest::of(origin.as_str().as_bytes()), head, open: AtomicBool::new(false) })
    }

    /// The state after the last commit.
    pub fn state(&self) -> Arc<State> {
        self.head.read().unwrap_or_else(PoisonError::into_inner).state.clone()
    }

    /// Allows commits: the database was compared with the log head that the HSM keeps.
    pub fn open_for_writing(&self) {
        self.open.store(true, Ordering::SeqCst);
    }

    /// May entries be written?
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::SeqCst)
    }

    /// Path from entry `index` to the root of the first `size` entries.
    pub fn inclusion_path(&self, index: u64, size: u64) -> Option<Vec<Digest>> {
        let head = self.head.read().unwrap_or_else(PoisonError::into_inner);
        let leaves = head.leaves.get(..usize::try_from(size).ok()?)?;
        merkle::inclusion_path(leaves, usize::try_from(index).ok()?)
    }

    /// Root of the first `size` entries.
    pub fn root_at(&self, size: u64) -> Option<Digest> {
        let head = self.head.read().unwrap_or_else(PoisonError::into_inner);
        Some(merkle::root(head.leaves.get(..usize::try_from(size).ok()?)?))
    }

    /// Records what `work` decides, with the rows that `work` writes, in one transaction.
    pub fn commit<T>(
        &self,
        work: impl FnOnce(&Moment<'_>, &mut Connection) -> Result<(Act, T), Fault>,
    ) -> Result<T, Fault> {
        if !self.is_open() {
            let detail = "nothing is written before the database was compared with the log head kept in the HSM";
            return Err(Fault::new(Code::HsmUnavailable, detail));
        }
        self.commit_alone(work)
    }

    /// Records a refusal; failing to do so changes nothing for the caller.
    pub fn refuse(&self, actor: Actor, role: Option<Role>, refused: Refused) {
        if self.state().identity().is_none() {
            return;
        }
        let code = refused.code.clone();
        let act = Act::by(actor, role, vec![Event::Refused(refused)]);
        if let Err(fault) = self.commit(|_, _| Ok((act, ()))) {
            tracing::warn!(%fault, code, "a refusal could not be recorded");
        }
    }

    fn commit_alone<T>(
        &self,
        work: impl FnOnce(&Moment<'_>, &mut Connection) -> Result<(Act, T), Fault>,
    ) -> Result<T, Fault> {
        // Held until the head is exchanged, so that no other commit sees the old one.
        let mut connection = self.store.writer();
        let before = self.state();
        let (value, after, leaves) = store::transaction(&mut connection, |connection| {
            let now_ms = backend::now_ms(connection)?.max(before.last_time_ms());
            let (act, value) = work(&Moment { state: &before, now_ms }, connection)?;
            let (after, leaves) = self.write(&before, act, now_ms, connection)?;
            Ok::<_, Fault>((value, after, leaves))
        })?;
        let mut head = self.head.write().unwrap_or_else(PoisonError::into_inner);
        head.state = Arc::new(after);
        head.leaves.extend(leaves);
        Ok(value)
    }

    /// Applies and stores; the transaction around it makes both or neither last.
    fn write(
        &self,
        before: &State,
        act: Act,
        now_ms: u64,
        connection: &mut Connection,
    ) -> Result<(State, Vec<Digest>), Fault> {
        let pending: BTreeMap<Digest, Vec<u8>> =
            act.documents.into_iter().map(|document| (Digest::of(&document), document)).collect();
        let mut after = before.clone();
        let mut leaves = Vec::with_capacity(act.events.len());
        for (sequence, event) in (0u32..).zip(act.events) {
            let entry = LogEntry {
                label: LogEntry::LABEL.to_owned(),
                index: after.size(),
                origin: self.origin,
                sequence,
                time_ms: now_ms,
                actor: act.actor.clone(),
                role: act.role,
                event,
            };
            after.apply(&entry, &documents::Overlay::new(&pending, connection))?;
            let der = encoding::encode(&entry)?;
            log::append(connection, entry.index, &der)?;
            leaves.push(merkle::leaf_hash(&der));
            projection::project(connection, &after, &entry.event, &pending)?;
        }
        for (digest, document) in &pending {
            log::add_document(connection, digest, document)?;
        }
        Ok((after, leaves))
    }
}
