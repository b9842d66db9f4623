//! Rows that follow from events: the card index and the protected card lines.
//!
//! Guards: whatever ends a batch frees its cards and purges its card lines in the same transaction.

use std::collections::BTreeMap;

use kms_core::digest::Digest;
use kms_core::document::Receipt;
use kms_core::encoding::Signed;
use kms_core::event::{Closing, Event};
use kms_core::id::{BatchId, PlanId};
use kms_core::state::State;
use kms_core::violation::Violation;

use crate::fault::Fault;
use crate::store::{Connection, StoreError, cards, chunks};

/// Brings the rows in line with `event`, which was just applied to `state`.
pub(super) fn project(
    connection: &mut Connection,
    state: &State,
    event: &Event,
    documents: &BTreeMap<Digest, Vec<u8>>,
) -> Result<(), Fault> {
    match event {
        Event::BatchCancelled(cancelled) => free(connection, cancelled.batch)?,
        Event::BatchReleased(released) => chunks::purge_records(connection, released.batch)?,
        Event::BatchAcknowledged(acknowledged) => {
            spoil(connection, acknowledged.batch, documents.get(&acknowledged.receipt))?;
        }
        Event::Closed(closed) if closed.closing != Closing::Done => {
            if let Some(batch) = batch_of(state, closed.plan) {
                free(connection, batch)?;
            }
        }
        Event::Founded(_)
        | Event::Started(_)
        | Event::Opened(_)
        | Event::Authorised(_)
        | Event::Paused(_)
        | Event::Decided(_)
        | Event::Contributed(_)
        | Event::StepIntent(_)
        | Event::StepOutcome(_)
        | Event::Closed(_)
        | Event::BatchRequested(_)
        | Event::ChunkIntent(_)
        | Event::ChunkOutcome(_)
        | Event::HandOverConfirmed(_)
        | Event::Refused(_)
        | Event::TokenAudited(_)
        | Event::TokenProbed(_) => {}
    }
    Ok(())
}

fn free(connection: &mut Connection, batch: BatchId) -> Result<(), StoreError> {
    cards::cancel(connection, batch)?;
    chunks::purge_records(connection, batch)
}

fn spoil(connection: &mut Connection, batch: BatchId, receipt: Option<&Vec<u8>>) -> Result<(), Fault> {
    let mismatch = Violation::DocumentMismatch { what: "receipt", field: "spoiled cards" };
    let receipt = receipt.and_then(|bytes| Signed::<Receipt>::parse(bytes).ok()).ok_or(mismatch.clone())?;
    // The fold verified the signature when it applied the event.
    if cards::spoil(connection, batch, &receipt.unverified_tbs().spoiled)? { Ok(()) } else { Err(mismatch.into()) }
}

fn batch_of(state: &State, plan: PlanId) -> Option<BatchId> {
    state.batches().iter().find(|(_, batch)| batch.plan == plan).map(|(id, _)| *id)
}
