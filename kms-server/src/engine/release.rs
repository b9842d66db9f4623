//! C and R: from finished chunks to a package that may leave.

use kms_core::digest::Digest;
use kms_core::document::{ChunkEntry, Manifest};
use kms_core::encoding::Document as _;
use kms_core::event::{BatchReleased, Closed, Closing, EffectResult, Event, StepOutcome};
use kms_core::id::BatchId;
use kms_core::state::{Batch, State, package_root};
use kms_core::violation::Violation;

use crate::app::signing::sign;
use crate::app::view;
use crate::fault::Fault;
use crate::instance::Instance;
use crate::journal::Act;

/// Releases a batch whose chunks all have their OUTCOME.
pub(super) fn release(instance: &Instance, id: BatchId) -> Result<(), Fault> {
    let state = instance.journal.state();
    let batch = state.batch(id)?;
    // C: covers every entry so far, and so every OUTCOME of this batch.
    let checkpoint = instance.checkpointer.cover(state.size().saturating_sub(1))?;
    // R
    for outcome in batch.outcomes() {
        instance.packages.promote(id, outcome.chunk, outcome.token, &outcome.digest).map_err(Fault::from)?;
    }
    let keys = state.keys().ok_or(Violation::NotFounded)?;
    let manifest = manifest(instance, &state, batch, checkpoint.note)?;
    let (root, count) = (manifest.root, manifest.keys);
    let signed = sign(&instance.hsm, keys.ids.instance, &keys.instance, manifest)?;
    let document = signed.digest();
    let plan = batch.plan;
    let released = BatchReleased { batch: id, manifest: document, root, cards: batch.issue.cards, keys: count };
    let outcome = StepOutcome {
        plan,
        step: 0,
        result: EffectResult::Ok,
        keys: Vec::new(),
        document: Some(document),
        fault: None,
    };
    let events = vec![
        Event::BatchReleased(released),
        Event::StepOutcome(outcome),
        Event::Closed(Closed { plan, closing: Closing::Done }),
    ];
    instance.journal.commit(|_, _| Ok((Act::own(events).with(signed.bytes()), ())))?;
    tracing::info!(batch = %id, cards = batch.issue.cards, keys = count, "batch released");
    // Nobody can pull before this succeeds; asking for the package repeats it.
    if let Err(fault) = instance.checkpointer.sign() {
        tracing::warn!(%fault, "no checkpoint after a release; the next second tries again");
    }
    Ok(instance.packages.sweep(id, |_, _| false)?)
}

fn manifest(instance: &Instance, state: &State, batch: &Batch, checkpoint: String) -> Result<Manifest, Fault> {
    let issue = &batch.issue;
    let outcomes = batch.outcomes();
    let roots: Vec<Digest> = outcomes.iter().map(|outcome| outcome.root).collect();
    let chunks = outcomes.iter().map(|outcome| ChunkEntry {
        index: outcome.chunk,
        cards: outcome.cards,
        bytes: outcome.bytes,
        digest: outcome.digest,
        root: outcome.root,
    });
    Ok(Manifest {
        label: Manifest::LABEL.to_owned(),
        origin: state.identity().ok_or(Violation::NotFounded)?.origin.clone(),
        batch: issue.batch,
        counter: issue.counter,
        bureau: issue.bureau.clone(),
        plan: batch.plan,
        profile_id: issue.profile_id.clone(),
        profile: issue.profile,
        kek: issue.kek,
        kek_kcv: issue.kek_kcv,
        wrap: state.bureau(&issue.bureau)?.application.wrap,
        encryption_key: state.bureau(&issue.bureau)?.encryption.public_key().id(),
        cards: issue.cards,
        keys: outcomes.iter().map(|outcome| u64::from(outcome.keys)).sum(),
        chunks: chunks.collect(),
        root: package_root(&roots),
        checkpoint,
        created_ms: view::now_ms(instance)?,
    })
}
