//! Nonces of signed requests: each is accepted once while its request lives.

use diesel::prelude::*;
use kms_core::digest::Digest;
use kms_core::id::Nonce;

use super::backend::{Connection, StoreError};
use super::log::to_i64;
use super::schema::nonces;

/// Remembers a nonce; `false` if this key has used it before.
pub fn remember(
    connection: &mut Connection,
    key_id: &Digest,
    nonce: &Nonce,
    expires_s: u64,
) -> Result<bool, StoreError> {
    let row = (
        nonces::key_id.eq(key_id.as_bytes().as_slice()),
        nonces::nonce.eq(nonce.as_bytes().as_slice()),
        nonces::expires_s.eq(to_i64(expires_s)?),
    );
    match diesel::insert_into(nonces::table).values(row).execute(connection).map_err(StoreError::from) {
        Ok(_) => Ok(true),
        Err(StoreError::Duplicate { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Forgets nonces whose requests are refused for their time anyway.
pub fn forget_expired(connection: &mut Connection, now_s: u64) -> Result<usize, StoreError> {
    Ok(diesel::delete(nonces::table.filter(nonces::expires_s.lt(to_i64(now_s)?))).execute(connection)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    #[test]
    fn once_per_key_until_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("kms.db")).unwrap();
        let (key, other) = (Digest::of(b"key"), Digest::of(b"other"));
        let nonce = Nonce::from_bytes([1; 16]);
        assert!(store.write(|c| remember(c, &key, &nonce, 100)).unwrap());
        assert!(!store.write(|c| remember(c, &key, &nonce, 100)).unwrap());
        assert!(store.write(|c| remember(c, &other, &nonce, 100)).unwrap());
        assert_eq!(store.write(|c| forget_expired(c, 100)).unwrap(), 0);
        assert_eq!(store.write(|c| forget_expired(c, 101)).unwrap(), 2);
    }
}
