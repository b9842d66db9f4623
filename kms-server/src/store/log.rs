//! Rows of the key log and of the documents it names. Append-only.

use diesel::prelude::*;
use kms_core::digest::Digest;

use super::backend::{Connection, StoreError};
use super::schema::{documents, log_entries};

/// Adds an entry at its index; an index that is taken is an error.
pub fn append(connection: &mut Connection, index: u64, der: &[u8]) -> Result<(), StoreError> {
    diesel::insert_into(log_entries::table)
        .values((log_entries::idx.eq(to_i64(index)?), log_entries::der.eq(der)))
        .execute(connection)?;
    Ok(())
}

/// Entries `from`, `from + 1`, …, at most `count`.
pub fn entries(connection: &mut Connection, from: u64, count: u32) -> Result<Vec<Vec<u8>>, StoreError> {
    let rows: Vec<(i64, Vec<u8>)> = log_entries::table
        .filter(log_entries::idx.ge(to_i64(from)?))
        .order(log_entries::idx)
        .limit(i64::from(count))
        .load(connection)?;
    // A gap means that somebody deleted rows.
    let gap = rows.iter().zip(from..).any(|((index, _), wanted)| u64::try_from(*index) != Ok(wanted));
    if gap {
        Err(StoreError::Damaged { what: "key log (missing entry)" })
    } else {
        Ok(rows.into_iter().map(|(_, der)| der).collect())
    }
}

/// Adds a document under its digest; one that is there already stays.
pub fn add_document(connection: &mut Connection, digest: &Digest, der: &[u8]) -> Result<(), StoreError> {
    if document(connection, digest)?.is_some() {
        return Ok(());
    }
    diesel::insert_into(documents::table)
        .values((documents::digest.eq(digest.as_bytes().as_slice()), documents::der.eq(der)))
        .execute(connection)?;
    Ok(())
}

/// A document by its digest.
pub fn document(connection: &mut Connection, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
    let row = documents::table
        .find(digest.as_bytes().as_slice())
        .select(documents::der)
        .first::<Vec<u8>>(connection)
        .optional()?;
    Ok(row)
}

pub(super) fn to_i64(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::Damaged { what: "number" })
}

pub(super) fn to_u64(number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| StoreError::Damaged { what: "number" })
}
