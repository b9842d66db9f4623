//! Batches after they were requested: look, cancel, pull, acknowledge.
//!
//! Guards: no part of a package leaves before the log's entry that releases it is covered by a signed
//! checkpoint.

use kms_api::body::{BatchList, BatchPhase as PhaseName, BatchView};
use kms_api::problem::Code;
use kms_api::text::Text;
use kms_core::digest::Digest;
use kms_core::document::Receipt;
use kms_core::encoding::Signed;
use kms_core::event::{BatchAcknowledged, BatchCancelled, Closed, Closing, Event};
use kms_core::id::{BatchId, BureauId};
use kms_core::state::{Batch, BatchPhase, State};

use super::caller::Caller;
use super::{key_log, view};
use crate::fault::Fault;
use crate::instance::Instance;

/// Batches, oldest first; a bureau sees its own only.
pub fn list(instance: &Instance, bureau: Option<&BureauId>) -> Result<BatchList, Fault> {
    let state = instance.journal.state();
    let now_ms = view::now_ms(instance)?;
    let mut batches: Vec<_> = state.batches().values().collect();
    batches.retain(|batch| bureau.is_none_or(|bureau| batch.bureau() == bureau));
    batches.sort_by_key(|batch| batch.requested_ms);
    Ok(BatchList { batches: batches.into_iter().map(|batch| view_of(batch, &state, now_ms)).collect() })
}

/// One batch.
pub fn show(instance: &Instance, batch: BatchId) -> Result<BatchView, Fault> {
    let state = instance.journal.state();
    Ok(view_of(state.batch(batch)?, &state, view::now_ms(instance)?))
}

/// Stops a batch before release, and its ceremony with it.
pub fn cancel(instance: &Instance, caller: &Caller, batch: BatchId) -> Result<BatchView, Fault> {
    instance.journal.commit(|moment, _| {
        let plan = moment.state.batch(batch)?.plan;
        let cancelled = Event::BatchCancelled(BatchCancelled { batch });
        let closed = Event::Closed(Closed { plan, closing: Closing::Aborted });
        Ok((caller.act(vec![cancelled, closed]), ()))
    })?;
    instance.engine.wake();
    show(instance, batch)
}

/// The signed manifest.
pub fn manifest(instance: &Instance, batch: BatchId) -> Result<Vec<u8>, Fault> {
    let (manifest, _) = released(instance, batch)?;
    super::document(instance, &manifest)
}

/// The proof that the log released the package.
pub fn proof(instance: &Instance, batch: BatchId) -> Result<Vec<u8>, Fault> {
    let (_, index) = released(instance, batch)?;
    key_log::inclusion(instance, index)
}

/// The bureau's transport key, sealed to its HSM and signed.
pub fn transport_key(instance: &Instance, batch: BatchId) -> Result<Vec<u8>, Fault> {
    let state = instance.journal.state();
    let bureau = state.bureau(state.batch(batch)?.bureau())?;
    let absent = || Fault::new(Code::NotFound, "the transport key is not sealed yet");
    super::document(instance, &bureau.sealed.ok_or_else(absent)?)
}

/// Part of a chunk file, and where it lies in the whole.
pub struct Part {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// First byte.
    pub from: u64,
    /// Bytes of the whole file.
    pub total: u64,
}

/// A chunk, or the asked part of it (`from`, and the last byte if the client named one).
pub fn chunk(
    instance: &Instance,
    batch: BatchId,
    chunk: u32,
    range: Option<(u64, Option<u64>)>,
) -> Result<Part, Fault> {
    released(instance, batch)?;
    let state = instance.journal.state();
    let outcome = state.batch(batch)?.chunks.get(&chunk).and_then(|chunk| chunk.outcome.as_ref());
    let outcome = outcome.ok_or_else(|| Fault::new(Code::NotFound, format!("the batch has no chunk {chunk}")))?;
    // The whole file is read and compared even for a part of it: what was changed never leaves.
    let mut bytes = instance.packages.read(batch, chunk, &outcome.digest)?;
    let total = bytes.len() as u64;
    let (from, last) = range.unwrap_or((0, None));
    let last = last.unwrap_or(u64::MAX).min(total.saturating_sub(1));
    if from >= total || last < from {
        return Err(Fault::new(Code::RangeInvalid, format!("the chunk has {total} bytes")));
    }
    let cut = |position: u64| usize::try_from(position).unwrap_or(usize::MAX);
    bytes.truncate(cut(last + 1));
    bytes.drain(..cut(from).min(bytes.len()));
    Ok(Part { bytes, from, total })
}

/// Takes in the bureau's signed receipt; cards it names as spoiled may be issued again.
pub fn acknowledge(instance: &Instance, caller: &Caller, batch: BatchId, receipt: &[u8]) -> Result<BatchView, Fault> {
    let signed = Signed::<Receipt>::parse(receipt).map_err(super::ceremonies::malformed)?;
    let digest = signed.digest();
    let state = instance.journal.state();
    if state.batch(batch)?.receipt == Some(digest) {
        return show(instance, batch);
    }
    let receipt = signed.unverified_tbs();
    let spoiled = u32::try_from(receipt.spoiled.len())
        .map_err(|_| Fault::new(Code::MalformedBody, "more spoiled cards than cards"))?;
    let event = BatchAcknowledged { batch, receipt: digest, accepted: receipt.accepted, spoiled };
    let act = caller.act(vec![Event::BatchAcknowledged(event)]).with(signed.bytes());
    instance.journal.commit(|_, _| Ok((act, ())))?;
    show(instance, batch)
}

/// Manifest and index of the releasing entry, if the package may leave.
pub fn released(instance: &Instance, batch: BatchId) -> Result<(Digest, u64), Fault> {
    let state = instance.journal.state();
    let batch = state.batch(batch)?;
    let (Some(manifest), Some(index)) = (batch.manifest, batch.released_index) else {
        return Err(Fault::new(Code::BatchNotReleased, format!("the batch is {}", batch.phase.name())));
    };
    instance.checkpointer.cover(index)?;
    Ok((manifest, index))
}

fn view_of(batch: &Batch, state: &State, now_ms: u64) -> BatchView {
    let issue = &batch.issue;
    BatchView {
        batch: Text(issue.batch),
        bureau: Text(issue.bureau.clone()),
        counter: issue.counter,
        phase: match batch.phase {
            BatchPhase::Requested if state.authority(batch.plan, now_ms).is_ok() => PhaseName::Authorised,
            BatchPhase::Requested => PhaseName::Requested,
            BatchPhase::Producing => PhaseName::Producing,
            BatchPhase::Released => PhaseName::Released,
            BatchPhase::Acknowledged => PhaseName::Acknowledged,
            BatchPhase::Cancelled => PhaseName::Cancelled,
        },
        plan_id: Text(batch.plan.digest()),
        profile_id: Text(issue.profile_id.clone()),
        profile: Text(issue.profile),
        cards: issue.cards,
        replacements: issue.replacements,
        chunks_done: u32::try_from(batch.outcomes().len()).unwrap_or(u32::MAX),
        chunks_total: batch.chunk_count(),
        manifest: batch.manifest.map(Text),
        receipt: batch.receipt.map(Text),
    }
}
