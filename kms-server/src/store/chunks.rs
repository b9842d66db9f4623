//! Rows of the batch engine: leases with fencing tokens, and the protected card lines of each chunk.

use diesel::prelude::*;
use kms_core::id::BatchId;

use super::backend::{Connection, StoreError};
use super::log::{to_i64, to_u64};
use super::schema::chunks;

/// Adds the protected card lines of a chunk.
pub fn add(connection: &mut Connection, batch: BatchId, chunk: u32, records: &[u8]) -> Result<(), StoreError> {
    diesel::insert_into(chunks::table)
        .values((
            chunks::batch.eq(batch.as_bytes().as_slice()),
            chunks::chunk.eq(to_i32(chunk)?),
            chunks::token.eq(0),
            chunks::lease_expires_ms.eq(0),
            chunks::records.eq(Some(records)),
        ))
        .execute(connection)?;
    Ok(())
}

/// Grants a lease to `holder` unless another holder's lease is still running; answers its token, which
/// is larger than every token granted before. Call it in the transaction that writes the INTENT.
pub fn lease(
    connection: &mut Connection,
    batch: BatchId,
    chunk: u32,
    holder: &str,
    now_ms: u64,
    expires_ms: u64,
) -> Result<Option<u64>, StoreError> {
    let (token, current, until): (i64, Option<String>, i64) = chunks::table
        .find((batch.as_bytes().as_slice(), to_i32(chunk)?))
        .select((chunks::token, chunks::holder, chunks::lease_expires_ms))
        .first(connection)?;
    if current.is_some_and(|current| current != holder) && to_u64(until)? > now_ms {
        return Ok(None);
    }
    let token = token + 1;
    diesel::update(chunks::table.find((batch.as_bytes().as_slice(), to_i32(chunk)?)))
        .set((
            chunks::token.eq(token),
            chunks::holder.eq(Some(holder)),
            chunks::lease_expires_ms.eq(to_i64(expires_ms)?),
        ))
        .execute(connection)?;
    to_u64(token).map(Some)
}

/// Ends the lease and stores the protected openings, if `token` is still the newest: the fence.
/// `false` means that somebody else has taken the chunk; the transaction must not commit.
pub fn finish(
    connection: &mut Connection,
    batch: BatchId,
    chunk: u32,
    token: u64,
    openings: &[u8],
) -> Result<bool, StoreError> {
    let row = chunks::table
        .filter(chunks::batch.eq(batch.as_bytes().as_slice()))
        .filter(chunks::chunk.eq(to_i32(chunk)?))
        .filter(chunks::token.eq(to_i64(token)?));
    let changed = diesel::update(row)
        .set((chunks::holder.eq(None::<String>), chunks::lease_expires_ms.eq(0), chunks::openings.eq(Some(openings))))
        .execute(connection)?;
    Ok(changed == 1)
}

/// The protected card lines of a chunk; `None` once they are purged.
pub fn records(connection: &mut Connection, batch: BatchId, chunk: u32) -> Result<Option<Vec<u8>>, StoreError> {
    let row = chunks::table
        .find((batch.as_bytes().as_slice(), to_i32(chunk)?))
        .select(chunks::records)
        .first::<Option<Vec<u8>>>(connection)
        .optional()?;
    Ok(row.flatten())
}

/// The protected openings of a chunk, once it was made.
pub fn openings(connection: &mut Connection, batch: BatchId, chunk: u32) -> Result<Option<Vec<u8>>, StoreError> {
    let row = chunks::table
        .find((batch.as_bytes().as_slice(), to_i32(chunk)?))
        .select(chunks::openings)
        .first::<Option<Vec<u8>>>(connection)
        .optional()?;
    Ok(row.flatten())
}

/// Purges the card lines of a batch that no longer needs them.
pub fn purge_records(connection: &mut Connection, batch: BatchId) -> Result<(), StoreError> {
    diesel::update(chunks::table.filter(chunks::batch.eq(batch.as_bytes().as_slice())))
        .set(chunks::records.eq(None::<Vec<u8>>))
        .execute(connection)?;
    Ok(())
}

pub(super) fn to_i32(number: u32) -> Result<i32, StoreError> {
    i32::try_from(number).map_err(|_| StoreError::Damaged { what: "number" })
}

pub(super) fn to_u32(number: i32) -> Result<u32, StoreError> {
    u32::try_from(number).map_err(|_| StoreError::Damaged { what: "number" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    const BATCH: BatchId = BatchId::from_bytes([1; 16]);

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("kms.db")).unwrap();
        store.write(|c| add(c, BATCH, 0, b"records")).unwrap();
        (folder, store)
    }

    #[test]
    fn tokens_grow_and_a_stale_one_finishes_nothing() {
        let (_folder, store) = store();
        let lease = |holder: &str, now_ms| store.write(|c| lease(c, BATCH, 0, holder, now_ms, now_ms + 100)).unwrap();
        assert_eq!(lease("a", 0), Some(1));
        assert_eq!(lease("b", 50), None, "another holder's lease still runs");
        assert_eq!(lease("b", 100), Some(2), "it has run out");
        assert!(!store.write(|c| finish(c, BATCH, 0, 1, b"late")).unwrap(), "the fence");
        assert!(store.write(|c| finish(c, BATCH, 0, 2, b"openings")).unwrap());
        assert_eq!(store.read(|c| openings(c, BATCH, 0)).unwrap().as_deref(), Some(b"openings".as_slice()));
    }

    #[test]
    fn records_are_purged_and_openings_stay() {
        let (_folder, store) = store();
        store.write(|c| lease(c, BATCH, 0, "a", 0, 1)).unwrap();
        store.write(|c| finish(c, BATCH, 0, 1, b"openings")).unwrap();
        store.write(|c| purge_records(c, BATCH)).unwrap();
        assert_eq!(store.read(|c| records(c, BATCH, 0)).unwrap(), None);
        assert!(store.read(|c| openings(c, BATCH, 0)).unwrap().is_some());
    }
}
