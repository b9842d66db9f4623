//! A batch: REQUESTED → PRODUCING → RELEASED → ACKNOWLEDGED, or CANCELLED before release.
//!
//! Every chunk: INTENT (token n) before the HSM is called, at most one OUTCOME, and only with the
//! token of the latest INTENT (I3, I12). Counts are compared at every arrow (B5).

use std::collections::BTreeMap;

use super::{Documents, Phase, State, StepState, fetch_signed, require, verified};
use crate::digest::Digest;
use crate::document::{Manifest, Receipt};
use crate::event::{
    BatchAcknowledged, BatchCancelled, BatchReleased, BatchRequested, ChunkIntent, ChunkOutcome, LogEntry,
};
use crate::id::{Actor, BatchId, BureauId, PlanId};
use crate::log::merkle;
use crate::plan::{IssueBatch, Step};
use crate::quorum::{self, LeaseRefused, Leased};
use crate::violation::Violation;

/// Where a batch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchPhase {
    /// Waiting for officers, or authorised and not begun.
    Requested,
    /// At least one chunk INTENT.
    Producing,
    /// The package may leave.
    Released,
    /// The bureau signed for it.
    Acknowledged,
    /// Stopped before release (cancelled, rejected, aborted, expired).
    Cancelled,
}

impl BatchPhase {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Producing => "producing",
            Self::Released => "released",
            Self::Acknowledged => "acknowledged",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Where a chunk stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkState {
    /// Token of the latest INTENT.
    pub token: u64,
    /// Its OUTCOME, once there is one.
    pub outcome: Option<ChunkOutcome>,
}

impl ChunkState {
    fn lease(&self) -> Leased {
        Leased { token: self.token, done: self.outcome.is_some() }
    }
}

/// A batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// What the officers authorise.
    pub issue: IssueBatch,
    /// The ceremony.
    pub plan: PlanId,
    /// When it was requested.
    pub requested_ms: u64,
    /// Where it stands.
    pub phase: BatchPhase,
    /// Chunks with at least one INTENT.
    pub chunks: BTreeMap<u32, ChunkState>,
    /// SM3 of the signed manifest, once released.
    pub manifest: Option<Digest>,
    /// Index of the RELEASED entry.
    pub released_index: Option<u64>,
    /// SM3 of the signed receipt, once acknowledged.
    pub receipt: Option<Digest>,
}

impl Batch {
    /// Number of chunks.
    pub fn chunk_count(&self) -> u32 {
        self.issue.cards.div_ceil(self.issue.chunk_cards)
    }

    /// Cards in one chunk; 0 for an index outside the batch.
    pub fn cards_in(&self, chunk: u32) -> u32 {
        let first = u64::from(chunk) * u64::from(self.issue.chunk_cards);
        let left = u64::from(self.issue.cards).saturating_sub(first);
        u32::try_from(left.min(u64::from(self.issue.chunk_cards))).unwrap_or(0)
    }

    /// OUTCOMEs in chunk order; complete when there are [`Batch::chunk_count`] of them.
    pub fn outcomes(&self) -> Vec<&ChunkOutcome> {
        self.chunks.values().filter_map(|chunk| chunk.outcome.as_ref()).collect()
    }

    /// For whom.
    pub fn bureau(&self) -> &BureauId {
        &self.issue.bureau
    }

    fn require_phase(&self, allowed: &[BatchPhase]) -> Result<(), Violation> {
        let wrong = Violation::BatchPhase { batch: self.issue.batch, phase: self.phase.name() };
        require(allowed.contains(&self.phase), wrong)
    }
}

impl State {
    pub(super) fn apply_batch_requested(
        &mut self,
        entry: &LogEntry,
        event: &BatchRequested,
        documents: &dyn Documents,
    ) -> Result<(), Violation> {
        let bureau_is_actor = entry.actor == Actor::Bureau(event.bureau.clone());
        require(bureau_is_actor, super::actor_not_allowed(entry, "the bureau of the batch"))?;
        require(!self.batches.contains_key(&event.batch), Violation::BatchKnown { batch: event.batch })?;
        // The signature was checked when the plan was opened, in the entry before.
        super::fetch(documents, &event.request)?;
        let issue = self.ceremony(event.plan)?.plan.batch().ok_or(Violation::UnknownShape)?.clone();
        let same = issue.batch == event.batch && issue.bureau == event.bureau && issue.request == event.request;
        require(same, Violation::ParametersDiffer)?;
        if let Some(bureau) = self.bureaus.get_mut(&event.bureau) {
            bureau.counter = issue.counter;
        }
        let batch = Batch {
            issue,
            plan: event.plan,
            requested_ms: entry.time_ms,
            phase: BatchPhase::Requested,
            chunks: BTreeMap::new(),
            manifest: None,
            released_index: None,
            receipt: None,
        };
        self.batches.insert(event.batch, batch);
        Ok(())
    }

    pub(super) fn apply_chunk_intent(&mut self, entry: &LogEntry, event: &ChunkIntent) -> Result<(), Violation> {
        self.require_own(entry)?;
        let batch = self.producing(event.batch, entry.time_ms)?;
        let invalid = |reason| Violation::ChunkInvalid { chunk: event.chunk, reason };
        require(event.chunk < batch.chunk_count(), invalid("no such chunk"))?;
        require(event.cards == batch.cards_in(event.chunk), invalid("number of cards differs"))?;
        let serial = &self.ceremony(batch.plan)?.plan.hsm_serial;
        let other = Violation::OtherHsm { wanted: serial.clone(), found: event.hsm_serial.clone() };
        require(event.hsm_serial == *serial, other)?;
        self.require_usable(serial, &Step::IssueBatch(batch.issue.clone()), entry.time_ms)?;
        let known = batch.chunks.get(&event.chunk).map(ChunkState::lease);
        quorum::may_intend(known, event.token).map_err(|reason| lease_refused(event.chunk, event.token, reason))?;
        let batch = self.batch_mut(event.batch)?;
        batch.phase = BatchPhase::Producing;
        batch.chunks.insert(event.chunk, ChunkState { token: event.token, outcome: None });
        Ok(())
    }

    pub(super) fn apply_chunk_outcome(&mut self, entry: &LogEntry, event: &ChunkOutcome) -> Result<(), Violation> {
        self.require_own(entry)?;
        let batch = self.producing(event.batch, entry.time_ms)?;
        let known = batch.chunks.get(&event.chunk).map(ChunkState::lease);
        quorum::may_conclude(known, event.token).map_err(|reason| lease_refused(event.chunk, event.token, reason))?;
        let invalid = |reason| Violation::ChunkInvalid { chunk: event.chunk, reason };
        require(event.cards == batch.cards_in(event.chunk), invalid("number of cards differs"))?;
        let slots = self.master_set(&batch.issue.profile, &batch.issue.profile_id)?.masters.len();
        let keys = u64::from(event.cards) * slots as u64;
        require(u64::from(event.keys) == keys, invalid("number of keys differs"))?;
        let serial = &self.ceremony(batch.plan)?.plan.hsm_serial;
        self.require_usable(serial, &Step::IssueBatch(batch.issue.clone()), entry.time_ms)?;
        if let Some(chunk) = self.batch_mut(event.batch)?.chunks.get_mut(&event.chunk) {
            chunk.outcome = Some(event.clone());
        }
        Ok(())
    }

    pub(super) fn apply_batch_released(
        &mut self,
        entry: &LogEntry,
        event: &BatchReleased,
        documents: &dyn Documents,
    ) -> Result<(), Violation> {
        self.require_own(entry)?;
        let batch = self.producing(event.batch, entry.time_ms)?;
        let what = "manifest";
        let signed = fetch_signed::<Manifest>(documents, &event.manifest, what)?;
        let manifest = verified(&signed, &self.own_keys()?.instance, what)?;
        self.check_manifest(batch, manifest)?;
        let differs = |field| Violation::ManifestDiffers { field };
        require(event.root == manifest.root, differs("root"))?;
        require(event.cards == manifest.cards, differs("cards"))?;
        require(event.keys == manifest.keys, differs("keys"))?;
        let serial = &self.ceremony(batch.plan)?.plan.hsm_serial;
        self.require_usable(serial, &Step::IssueBatch(batch.issue.clone()), entry.time_ms)?;
        let batch = self.batch_mut(event.batch)?;
        batch.phase = BatchPhase::Released;
        batch.manifest = Some(event.manifest);
        batch.released_index = Some(entry.index);
        Ok(())
    }

    fn check_manifest(&self, batch: &Batch, manifest: &Manifest) -> Result<(), Violation> {
        let issue = &batch.issue;
        let differs = |field| Violation::ManifestDiffers { field };
        require(manifest.origin == self.founded()?.origin, differs("origin"))?;
        require(manifest.batch == issue.batch && manifest.counter == issue.counter, differs("batch or counter"))?;
        require(manifest.bureau == issue.bureau && manifest.plan == batch.plan, differs("bureau or plan"))?;
        require(manifest.profile == issue.profile && manifest.profile_id == issue.profile_id, differs("profile"))?;
        require(manifest.kek == issue.kek && manifest.kek_kcv == issue.kek_kcv, differs("transport key"))?;
        let bureau = self.bureau(&issue.bureau)?;
        require(manifest.wrap == bureau.application.wrap, differs("wrap"))?;
        let encryption = bureau.encryption.public_key().id();
        require(manifest.encryption_key == encryption, differs("encryption key"))?;
        let outcomes = batch.outcomes();
        require(outcomes.len() == batch.chunk_count() as usize, differs("number of chunks with an OUTCOME"))?;
        require(manifest.chunks.len() == outcomes.len(), differs("number of chunks"))?;
        for (listed, made) in manifest.chunks.iter().zip(&outcomes) {
            let same = (listed.index, listed.cards, listed.bytes, listed.digest, listed.root)
                == (made.chunk, made.cards, made.bytes, made.digest, made.root);
            require(same, differs("chunk table"))?;
        }
        let roots: Vec<Digest> = outcomes.iter().map(|made| made.root).collect();
        require(manifest.root == package_root(&roots), differs("root"))?;
        require(manifest.cards == issue.cards, differs("cards"))?;
        let keys: u64 = outcomes.iter().map(|made| u64::from(made.keys)).sum();
        require(manifest.keys == keys, differs("keys"))
    }

    pub(super) fn apply_batch_acknowledged(
        &mut self,
        entry: &LogEntry,
        event: &BatchAcknowledged,
        documents: &dyn Documents,
    ) -> Result<(), Violation> {
        let batch = self.batch(event.batch)?;
        batch.require_phase(&[BatchPhase::Released])?;
        let actor = entry.actor == Actor::Bureau(batch.bureau().clone());
        require(actor, super::actor_not_allowed(entry, "the bureau of the batch"))?;
        let what = "receipt";
        let signed = fetch_signed::<Receipt>(documents, &event.receipt, what)?;
        let key = self.bureau(batch.bureau())?.signing.public_key();
        let receipt = verified(&signed, key, what)?;
        let mismatch = |field| Violation::DocumentMismatch { what, field };
        require(receipt.origin == self.founded()?.origin, mismatch("origin"))?;
        require(receipt.batch == event.batch && receipt.counter == batch.issue.counter, mismatch("batch or counter"))?;
        require(receipt.bureau == *batch.bureau(), mismatch("bureau"))?;
        require(Some(receipt.manifest) == batch.manifest, mismatch("manifest"))?;
        require(receipt.accepted == event.accepted, mismatch("accepted cards"))?;
        let sorted = receipt.spoiled.windows(2).all(|pair| matches!(pair, [a, b] if a < b));
        require(sorted, mismatch("order of spoiled cards"))?;
        let spoiled = u32::try_from(receipt.spoiled.len()).map_err(|_| mismatch("spoiled cards"))?;
        require(spoiled == event.spoiled, mismatch("spoiled cards"))?;
        let all = event.accepted.checked_add(event.spoiled) == Some(batch.issue.cards);
        require(all, Violation::CountsDiffer { cards: batch.issue.cards })?;
        let batch = self.batch_mut(event.batch)?;
        batch.phase = BatchPhase::Acknowledged;
        batch.receipt = Some(event.receipt);
        Ok(())
    }

    pub(super) fn apply_batch_cancelled(&mut self, entry: &LogEntry, event: &BatchCancelled) -> Result<(), Violation> {
        let batch = self.batch(event.batch)?;
        batch.require_phase(&[BatchPhase::Requested, BatchPhase::Producing])?;
        if entry.actor != Actor::Bureau(batch.bureau().clone()) {
            self.officer(entry)?;
        }
        self.batch_mut(event.batch)?.phase = BatchPhase::Cancelled;
        Ok(())
    }

    /// A ceremony that ends otherwise than DONE takes its batch along.
    pub(super) fn stop_batch_of(&mut self, plan: PlanId, phase: Phase) {
        let batch = self.batches.values_mut().find(|batch| batch.plan == plan);
        if let (Some(batch), true) = (batch, phase != Phase::Done) {
            batch.phase = BatchPhase::Cancelled;
        }
    }

    /// A released batch cannot be stopped by closing its ceremony in another way than DONE.
    pub(super) fn require_no_release_undone(&self, plan: PlanId, phase: Phase) -> Result<(), Violation> {
        let batch = self.batches.values().find(|batch| batch.plan == plan);
        match batch {
            Some(batch) if phase != Phase::Done => {
                batch.require_phase(&[BatchPhase::Requested, BatchPhase::Producing, BatchPhase::Cancelled])
            }
            _ => Ok(()),
        }
    }

    pub(super) fn require_released(&self, batch: BatchId, document: Option<Digest>) -> Result<(), Violation> {
        let batch = self.batch(batch)?;
        batch.require_phase(&[BatchPhase::Released])?;
        let same = document.is_some() && document == batch.manifest;
        require(same, Violation::DocumentMismatch { what: "manifest", field: "digest" })
    }

    /// A batch whose ceremony was resumed goes on under the plan that resumed it.
    pub(super) fn hand_batch_over(&mut self, from: PlanId, to: PlanId) {
        if let Some(batch) = self.batches.values_mut().find(|batch| batch.plan == from) {
            batch.plan = to;
        }
    }

    /// The batch, if its ceremony is authorised now, its step is begun and it is not finished.
    fn producing(&self, id: BatchId, now_ms: u64) -> Result<&Batch, Violation> {
        let batch = self.batch(id)?;
        batch.require_phase(&[BatchPhase::Requested, BatchPhase::Producing])?;
        let _proof = self.authority_to_act(batch.plan, now_ms)?;
        let begun = self.ceremony(batch.plan)?.steps.first() == Some(&StepState::Intent);
        require(begun, Violation::OutcomeWithoutIntent)?;
        Ok(batch)
    }

    fn batch_mut(&mut self, batch: BatchId) -> Result<&mut Batch, Violation> {
        self.batches.get_mut(&batch).ok_or(Violation::BatchUnknown { batch })
    }
}

fn lease_refused(chunk: u32, found: u64, reason: LeaseRefused) -> Violation {
    match reason {
        LeaseRefused::Done => Violation::ChunkInvalid { chunk, reason: "has its OUTCOME already" },
        LeaseRefused::NoIntent => Violation::OutcomeWithoutIntent,
        LeaseRefused::Stale { current } => Violation::TokenStale { chunk, current, found },
    }
}

/// Merkle root over chunk roots: each chunk root is one leaf, hashed as a leaf.
pub fn package_root(chunk_roots: &[Digest]) -> Digest {
    let leaves: Vec<Digest> = chunk_roots.iter().map(|root| merkle::leaf_hash(root.as_bytes())).collect();
    merkle::root(&leaves)
}
