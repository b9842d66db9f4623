//! The database: rows in, rows out.
//!
//! No rule lives here; rows know nothing of HTTP or the HSM. Guards: one writer at a time (the
//! connection behind [`Store::write`]); the key log is only ever appended to (INV: no UPDATE or DELETE
//! on `log_entries`). What differs between databases is in [`backend`], nowhere else.

pub mod backend;
pub mod cards;
pub mod checkpoints;
pub mod chunks;
pub mod log;
pub mod nonces;
mod schema;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use backend::{Connection, StoreError};

use backend::Pool;

/// Handle to the database.
pub struct Store {
    writer: Mutex<Connection>,
    readers: Pool,
}

impl Store {
    /// Opens (or creates) the database and applies missing migrations.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let mut writer = backend::open(path)?;
        backend::migrate(&mut writer)?;
        Ok(Self { writer: Mutex::new(writer), readers: backend::pool(path)? })
    }

    /// The one writing connection. Whoever holds it is alone.
    pub fn writer(&self) -> MutexGuard<'_, Connection> {
        // A panic while writing leaves an open transaction at most, which the next BEGIN reports.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a transaction on the writing connection, alone: see [`transaction`].
    pub fn write<T, E: From<StoreError> + Severity>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        transaction(&mut self.writer(), work)
    }

    /// Runs read-only work on a connection of the pool.
    pub fn read<T, E: From<StoreError>>(&self, work: impl FnOnce(&mut Connection) -> Result<T, E>) -> Result<T, E> {
        let mut connection = self.readers.get().map_err(StoreError::pool)?;
        work(&mut connection)
    }

    /// Does the database answer?
    pub fn is_alive(&self) -> bool {
        self.read(|connection| backend::now_ms(connection).map(|_| ())).is_ok()
    }
}

/// How bad an error is.
pub trait Severity {
    /// Why the process must end, if it must.
    fn fatal(&self) -> Option<&str>;
}

impl Severity for StoreError {
    fn fatal(&self) -> Option<&str> {
        match self {
            Self::Fatal { reason } => Some(reason),
            Self::Duplicate { .. } | Self::Damaged { .. } | Self::Unavailable { .. } => None,
        }
    }
}

/// Runs a transaction on the writing connection (`BEGIN IMMEDIATE`). A failed write or sync ends the
/// process while the connection is still held: pages that never reached the disk may pass for clean now,
/// so nobody writes after it before everything was read and hashed again.
pub fn transaction<T, E: From<StoreError> + Severity>(
    writer: &mut Connection,
    work: impl FnOnce(&mut Connection) -> Result<T, E>,
) -> Result<T, E> {
    let outcome = backend::immediate(writer, work);
    if let Some(reason) = outcome.as_ref().err().and_then(Severity::fatal) {
        crate::stop(&format!("{reason}; stopped so that the next start re-reads and re-hashes the key log"));
    }
    outcome
}
