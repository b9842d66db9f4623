//! Rows of signed checkpoints. The first one at or above a size never changes.

use diesel::prelude::*;
use kms_core::digest::Digest;

use super::backend::{Connection, StoreError};
use super::log::{to_i64, to_u64};
use super::schema::checkpoints;

/// A stored checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCheckpoint {
    /// Entries it covers.
    pub size: u64,
    /// Root over them.
    pub root: Digest,
    /// Signed note.
    pub note: String,
}

/// Adds a checkpoint; one of the same size that is there already stays.
pub fn add(connection: &mut Connection, checkpoint: &StoredCheckpoint) -> Result<(), StoreError> {
    let size = to_i64(checkpoint.size)?;
    let known = checkpoints::table.find(size).select(checkpoints::size).first::<i64>(connection).optional()?;
    if known.is_some() {
        return Ok(());
    }
    diesel::insert_into(checkpoints::table)
        .values((
            checkpoints::size.eq(size),
            checkpoints::root.eq(checkpoint.root.as_bytes().as_slice()),
            checkpoints::note.eq(&checkpoint.note),
        ))
        .execute(connection)?;
    Ok(())
}

/// The checkpoint that covers most.
pub fn latest(connection: &mut Connection) -> Result<Option<StoredCheckpoint>, StoreError> {
    let row = checkpoints::table.order(checkpoints::size.desc()).first(connection).optional()?;
    row.map(from_row).transpose()
}

fn from_row((size, root, note): (i64, Vec<u8>, String)) -> Result<StoredCheckpoint, StoreError> {
    let damaged = StoreError::Damaged { what: "checkpoint" };
    let root = <[u8; 32]>::try_from(root).map_err(|_| damaged)?;
    Ok(StoredCheckpoint { size: to_u64(size)?, root: Digest::from_bytes(root), note })
}
