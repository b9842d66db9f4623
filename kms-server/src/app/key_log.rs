//! The key log as auditors read it: entries, documents, checkpoint, proofs.

use kms_api::body::{CheckpointView, LogInfo};
use kms_api::problem::Code;
use kms_api::text::Text;
use kms_core::encoding::{self, Document as _};
use kms_core::proof::Inclusion;

use super::octets;
use crate::fault::Fault;
use crate::instance::Instance;
use crate::store::log;

/// Most entries in one answer.
pub const ENTRIES_MAX: u32 = 10_000;

/// Size, root and latest checkpoint.
pub fn info(instance: &Instance) -> Result<LogInfo, Fault> {
    let state = instance.journal.state();
    let checkpoint = instance.checkpointer.latest()?;
    Ok(LogInfo {
        origin: Text(instance.config.origin.clone()),
        size: state.size(),
        root: Text(state.root()),
        checkpoint: checkpoint.map(|latest| CheckpointView { size: latest.size, root: Text(latest.root) }),
    })
}

/// Entries one after the other, DER.
pub fn entries(instance: &Instance, from: u64, count: u32) -> Result<Vec<u8>, Fault> {
    let count = count.min(ENTRIES_MAX);
    Ok(instance.store.read(|c| log::entries(c, from, count).map_err(Fault::from))?.concat())
}

/// The latest signed note, after signing the present head if that is possible.
pub fn checkpoint(instance: &Instance) -> Result<String, Fault> {
    if let Err(fault) = instance.checkpointer.sign() {
        tracing::warn!(%fault, "the present head could not be signed; answering the latest checkpoint");
    }
    let latest = instance.checkpointer.latest()?;
    latest.map(|latest| latest.note).ok_or_else(|| Fault::new(Code::NotFound, "nothing is signed yet"))
}

/// Proof that entry `index` is in the log (`KMS-INCLUSION/1`).
pub fn inclusion(instance: &Instance, index: u64) -> Result<Vec<u8>, Fault> {
    let missing = || Fault::new(Code::NotFound, format!("the log has no entry {index}"));
    if index >= instance.journal.state().size() {
        return Err(missing());
    }
    let checkpoint = instance.checkpointer.cover(index)?;
    let entry = instance.store.read(|c| log::entries(c, index, 1).map_err(Fault::from))?.pop().ok_or_else(missing)?;
    let path = instance.journal.inclusion_path(index, checkpoint.size).ok_or_else(missing)?;
    Ok(encoding::encode(&Inclusion {
        label: Inclusion::LABEL.to_owned(),
        entry: octets(&entry)?,
        index,
        size: checkpoint.size,
        path,
        checkpoint: checkpoint.note,
    })?)
}
