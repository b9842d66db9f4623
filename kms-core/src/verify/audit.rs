//! Offline audit of one instance's key log, from the export and the trust anchor alone.
//!
//! No network, database, clock or HSM. Every entry is parsed strictly, hashed into the tree and folded
//! through the same state machine the server used; the first entry that does not fit is named with the reason.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::digest::Digest;
use crate::document::{Manifest, TrustAnchor};
use crate::encoding::{self, Document, EncodingError, Signed};
use crate::event::{Event, LogEntry};
use crate::id::{BatchId, BureauId};
use crate::log::checkpoint::{self, CheckpointRefused};
use crate::log::merkle;
use crate::state::{BatchPhase, Documents, State, StepState, checked_anchor};
use crate::violation::Violation;

/// What an auditor has in hand.
#[derive(Clone, Copy)]
pub struct Evidence<'a> {
    /// The signed trust anchor, obtained and compared out of band.
    pub anchor: &'a [u8],
    /// All entries, DER, one after another.
    pub entries: &'a [u8],
    /// The documents they name.
    pub documents: &'a dyn Documents,
    /// The latest checkpoint note.
    pub checkpoint: &'a str,
    /// The auditor's own note from an earlier audit.
    pub previous: Option<&'a str>,
}

/// One batch, counted from the log alone (B5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchCount {
    /// Batch.
    pub batch: BatchId,
    /// Bureau.
    pub bureau: BureauId,
    /// Phase at the end of the log.
    pub phase: BatchPhase,
    /// Cards the officers authorised.
    pub authorised: u32,
    /// Cards in chunk OUTCOMEs.
    pub produced: u32,
    /// Card keys in chunk OUTCOMEs.
    pub keys: u64,
    /// Cards the bureau put to use, if it signed for the package.
    pub accepted: Option<u32>,
    /// Cards it spoiled.
    pub spoiled: Option<u32>,
}

/// What an audit that found nothing wrong can say.
#[derive(Clone)]
pub struct AuditReport {
    /// Verified identity.
    pub anchor: TrustAnchor,
    /// Entries.
    pub size: u64,
    /// Root.
    pub root: Digest,
    /// Times of first and last entry (ms since 1970).
    pub span_ms: (u64, u64),
    /// Entries by event name.
    pub events: BTreeMap<&'static str, u64>,
    /// Batches.
    pub batches: Vec<BatchCount>,
    /// INTENTs of live ceremonies that have no OUTCOME yet.
    pub open_intents: usize,
    /// The folded state, for questions.
    pub state: State,
}

/// Why the audit stops.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AuditReason {
    /// The trust anchor itself is not in order.
    #[error("trust anchor: {0}")]
    Anchor(Violation),
    /// A checkpoint note is not this log's.
    #[error("checkpoint: {0}")]
    Checkpoint(#[from] CheckpointRefused),
    /// Bytes that are not a log entry.
    #[error("not a log entry: {0}")]
    Entry(#[from] EncodingError),
    /// A rule is broken.
    #[error("{0}")]
    Violation(#[from] Violation),
    /// The anchor speaks of another instance than the log.
    #[error("the log's {field} is not the trust anchor's")]
    AnchorMismatch {
        /// What differs.
        field: &'static str,
    },
    /// Entries missing or too many.
    #[error("{found} entries; the checkpoint signs {expected}: the export is truncated or padded")]
    Size {
        /// In the checkpoint.
        expected: u64,
        /// In the export.
        found: u64,
    },
    /// Something before this point was changed, removed or put in.
    #[error("the tree over the first {size} entries has root {found}; signed is {expected}")]
    Root {
        /// Entries.
        size: u64,
        /// Signed root.
        expected: Digest,
        /// Recomputed root.
        found: Digest,
    },
    /// The log is shorter than a checkpoint it once signed.
    #[error("an earlier checkpoint signs {size} entries; the log has fewer: it was rolled back")]
    RolledBack {
        /// Entries signed.
        size: u64,
    },
}

/// First thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}{reason}", index.map(|i| format!("entry {i}: ")).unwrap_or_default())]
pub struct AuditFailure {
    /// Which entry, where it is one entry's fault.
    pub index: Option<u64>,
    /// Why.
    pub reason: AuditReason,
}

impl AuditFailure {
    fn whole(reason: impl Into<AuditReason>) -> Self {
        Self { index: None, reason: reason.into() }
    }

    fn at(index: u64, reason: impl Into<AuditReason>) -> Self {
        Self { index: Some(index), reason: reason.into() }
    }
}

/// Verifies everything that can be verified; the first failure ends it.
pub fn audit(evidence: &Evidence<'_>) -> Result<AuditReport, AuditFailure> {
    let anchor =
        checked_anchor(evidence.anchor, "trust anchor").map_err(|v| AuditFailure::whole(AuditReason::Anchor(v)))?;
    let head = checkpoint::parse_and_verify(evidence.checkpoint, anchor.origin.as_str(), &anchor.log_key)
        .map_err(AuditFailure::whole)?;
    let mut walk = Walk::default();
    let mut rest = evidence.entries;
    while !rest.is_empty() {
        let (entry, after) = split_entry(rest).map_err(|reason| AuditFailure::at(walk.state.size(), reason))?;
        walk.take(entry, evidence.documents, &anchor)?;
        rest = after;
    }
    if walk.state.size() != head.size() {
        return Err(AuditFailure::whole(AuditReason::Size { expected: head.size(), found: walk.state.size() }));
    }
    walk.require_root(head.size(), head.root()).map_err(AuditFailure::whole)?;
    if let Some(previous) = evidence.previous {
        let earlier = checkpoint::parse_and_verify(previous, anchor.origin.as_str(), &anchor.log_key)
            .map_err(AuditFailure::whole)?;
        walk.require_root(earlier.size(), earlier.root()).map_err(AuditFailure::whole)?;
    }
    check_anchor(&walk.state, &anchor, Digest::of(evidence.anchor)).map_err(AuditFailure::whole)?;
    Ok(walk.report(anchor))
}

/// Splits the first DER entry off `bytes`.
pub fn split_entry(bytes: &[u8]) -> Result<(&[u8], &[u8]), EncodingError> {
    use der::{Decode, Header, Reader, SliceReader};
    let window = bytes.get(..bytes.len().min(LogEntry::BYTES_MAX + 8)).unwrap_or(bytes);
    let mut reader = SliceReader::new(window)?;
    let header = Header::decode(&mut reader)?;
    let body = usize::try_from(u32::from(header.length())).unwrap_or(usize::MAX);
    let head = usize::try_from(u32::from(reader.position())).unwrap_or(usize::MAX);
    let end = head.saturating_add(body);
    if end > LogEntry::BYTES_MAX || end > bytes.len() {
        return Err(EncodingError::TooLong { limit: LogEntry::BYTES_MAX.min(bytes.len()), found: end });
    }
    Ok(bytes.split_at(end))
}

#[derive(Default)]
struct Walk {
    state: State,
    /// Root after entry i, so that any earlier checkpoint can be compared.
    roots: Vec<Digest>,
    first_ms: u64,
    events: BTreeMap<&'static str, u64>,
    receipts: BTreeMap<BatchId, (u32, u32)>,
}

impl Walk {
    fn take(&mut self, bytes: &[u8], documents: &dyn Documents, anchor: &TrustAnchor) -> Result<(), AuditFailure> {
        let index = self.state.size();
        let entry: LogEntry = encoding::decode(bytes).map_err(|reason| AuditFailure::at(index, reason))?;
        self.state.apply(&entry, documents).map_err(|violation| AuditFailure::at(index, violation))?;
        self.roots.push(self.state.root());
        if index == 0 {
            self.first_ms = entry.time_ms;
        }
        *self.events.entry(entry.event.name()).or_default() += 1;
        match &entry.event {
            Event::BatchReleased(event) => self
                .check_manifest_checkpoint(&event.manifest, documents, anchor)
                .map_err(|reason| AuditFailure::at(index, reason))?,
            Event::BatchAcknowledged(event) => {
                self.receipts.insert(event.batch, (event.accepted, event.spoiled));
            }
            _ => {}
        }
        Ok(())
    }

    /// The checkpoint inside a manifest is the log's own, and covers every OUTCOME of the batch.
    fn check_manifest_checkpoint(
        &self,
        manifest: &Digest,
        documents: &dyn Documents,
        anchor: &TrustAnchor,
    ) -> Result<(), AuditReason> {
        let missing = Violation::DocumentMissing { digest: *manifest };
        let bytes = documents.document(manifest).ok_or(missing)?;
        let signed = Signed::<Manifest>::parse(&bytes)?;
        let note = &signed.unverified_tbs().checkpoint;
        let head = checkpoint::parse_and_verify(note, anchor.origin.as_str(), &anchor.log_key)?;
        self.require_root(head.size(), head.root())
    }

    fn require_root(&self, size: u64, expected: Digest) -> Result<(), AuditReason> {
        let found = match usize::try_from(size) {
            Ok(0) => Some(merkle::empty_root()),
            Ok(size) => self.roots.get(size - 1).copied(),
            Err(_) => None,
        };
        match found {
            None => Err(AuditReason::RolledBack { size }),
            Some(found) if found == expected => Ok(()),
            Some(found) => Err(AuditReason::Root { size, expected, found }),
        }
    }

    fn report(self, anchor: TrustAnchor) -> AuditReport {
        let live = self.state.ceremonies().values().filter(|c| !c.phase.is_terminal());
        let open_intents = live.flat_map(|c| &c.steps).filter(|step| **step == StepState::Intent).count();
        let batches = self.state.batches().values().map(|batch| {
            let outcomes = batch.outcomes();
            let receipt = self.receipts.get(&batch.issue.batch);
            BatchCount {
                batch: batch.issue.batch,
                bureau: batch.bureau().clone(),
                phase: batch.phase,
                authorised: batch.issue.cards,
                produced: outcomes.iter().map(|o| o.cards).sum(),
                keys: outcomes.iter().map(|o| u64::from(o.keys)).sum(),
                accepted: receipt.map(|r| r.0),
                spoiled: receipt.map(|r| r.1),
            }
        });
        AuditReport {
            size: self.state.size(),
            root: self.state.root(),
            span_ms: (self.first_ms, self.state.last_time_ms()),
            batches: batches.collect(),
            events: self.events,
            open_intents,
            anchor,
            state: self.state,
        }
    }
}

fn check_anchor(state: &State, anchor: &TrustAnchor, digest: Digest) -> Result<(), AuditReason> {
    let mismatch = |field| AuditReason::AnchorMismatch { field };
    let identity = state.identity().ok_or(mismatch("genesis"))?;
    let keys = state.keys().ok_or(mismatch("instance keys"))?;
    let fields = [
        ("origin", identity.origin == anchor.origin),
        ("environment", identity.environment == anchor.environment),
        ("level", identity.level == anchor.level && identity.region == anchor.region),
        ("genesis plan", identity.genesis == anchor.genesis),
        ("checkpoint key", keys.log == anchor.log_key),
        ("instance key", keys.instance == anchor.instance_key),
        ("anchor digest", keys.anchor == digest),
    ];
    match fields.iter().find(|(_, same)| !same) {
        Some((field, _)) => Err(mismatch(field)),
        None => Ok(()),
    }
}
