//! Everything that differs between databases: connections, transactions, clock, error meaning.
//!
//! SQLite today: WAL, synchronous=FULL (a commit that returned is on disk), foreign keys on, a busy
//! timeout, `BEGIN IMMEDIATE` for every write. Another database gets a second variant of the types and
//! functions here and a folder of migrations with the same names.

use std::path::Path;

use diesel::connection::SimpleConnection as _;
use diesel::r2d2::{self, ConnectionManager, CustomizeConnection};
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel::{Connection as _, RunQueryDsl as _, SqliteConnection, sql_query, sql_types::BigInt};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness as _, embed_migrations};
use thiserror::Error;

/// A connection to the database in use.
pub type Connection = SqliteConnection;
/// Connections for reading.
pub type Pool = r2d2::Pool<ConnectionManager<Connection>>;

/// Name of the database in use, for `/health`.
pub const KIND: &str = "sqlite";

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../migrations/sqlite");
const BUSY_TIMEOUT_MS: u32 = 10_000;
const READERS_MAX: u32 = 8;

/// A failed database operation.
#[derive(Debug, Error)]
pub enum StoreError {
    /// A UNIQUE rule of the schema was about to be broken.
    #[error("a row like this exists already ({table})")]
    Duplicate {
        /// Which table or index, as the database names it.
        table: String,
    },
    /// Disk full, I/O error, damage: what was written last is uncertain. The process must end; the
    /// next start re-reads and re-hashes everything.
    #[error("the database can no longer be trusted to write: {reason}")]
    Fatal {
        /// As the database words it.
        reason: String,
    },
    /// Stored bytes are not what they must be.
    #[error("stored {what} is damaged")]
    Damaged {
        /// Which kind of row.
        what: &'static str,
    },
    /// Anything else; nothing was changed.
    #[error("database: {reason}")]
    Unavailable {
        /// As the database words it.
        reason: String,
    },
}

impl StoreError {
    pub(super) fn pool(error: impl ToString) -> Self {
        Self::Unavailable { reason: error.to_string() }
    }
}

impl From<DieselError> for StoreError {
    fn from(error: DieselError) -> Self {
        match error {
            DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, information) => {
                Self::Duplicate { table: information.message().to_owned() }
            }
            other => {
                let reason = other.to_string();
                if is_fatal(&reason) { Self::Fatal { reason } } else { Self::Unavailable { reason } }
            }
        }
    }
}

/// SQLite's words for SQLITE_FULL, SQLITE_IOERR, SQLITE_CORRUPT, SQLITE_NOTADB, SQLITE_READONLY.
fn is_fatal(message: &str) -> bool {
    ["disk is full", "disk I/O error", "disk image is malformed", "not a database", "readonly database"]
        .iter()
        .any(|words| message.contains(words))
}

/// Opens a connection with all settings applied.
pub fn open(path: &Path) -> Result<Connection, StoreError> {
    let mut connection = Connection::establish(&path.to_string_lossy()).map_err(StoreError::pool)?;
    configure(&mut connection)?;
    connection.batch_execute("PRAGMA journal_mode = WAL").map_err(StoreError::from)?;
    Ok(connection)
}

/// Applies missing migrations.
pub fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    connection
        .run_pending_migrations(MIGRATIONS)
        .map(|_| ())
        .map_err(|error| StoreError::Unavailable { reason: format!("migration: {error}") })
}

/// Connections for reading.
pub fn pool(path: &Path) -> Result<Pool, StoreError> {
    r2d2::Pool::builder()
        .max_size(READERS_MAX)
        .min_idle(Some(1))
        .connection_customizer(Box::new(Configure))
        .build(ConnectionManager::new(path.to_string_lossy()))
        .map_err(StoreError::pool)
}

/// Runs `work` alone: no other writer can come between its reads and its writes.
pub fn immediate<T, E: From<StoreError>>(
    connection: &mut Connection,
    work: impl FnOnce(&mut Connection) -> Result<T, E>,
) -> Result<T, E> {
    let outcome = connection.immediate_transaction(|connection| work(connection).map_err(Abort::Work));
    outcome.map_err(|abort| match abort {
        Abort::Work(error) => error,
        Abort::Database(error) => StoreError::from(error).into(),
    })
}

/// The database's clock in milliseconds since 1970.
pub fn now_ms(connection: &mut Connection) -> Result<u64, StoreError> {
    #[derive(diesel::QueryableByName)]
    struct Now {
        #[diesel(sql_type = BigInt)]
        now_ms: i64,
    }
    let row: Now = sql_query("SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) AS now_ms").get_result(connection)?;
    u64::try_from(row.now_ms).map_err(|_| StoreError::Damaged { what: "clock" })
}

/// Why a transaction was rolled back.
enum Abort<E> {
    Work(E),
    Database(DieselError),
}

impl<E> From<DieselError> for Abort<E> {
    fn from(error: DieselError) -> Self {
        Self::Database(error)
    }
}

#[derive(Debug)]
struct Configure;

impl CustomizeConnection<Connection, r2d2::Error> for Configure {
    fn on_acquire(&self, connection: &mut Connection) -> Result<(), r2d2::Error> {
        configure(connection).map_err(|error| {
            let message = Box::new(error.to_string());
            r2d2::Error::QueryError(DieselError::DatabaseError(DatabaseErrorKind::Unknown, message))
        })
    }
}

fn configure(connection: &mut Connection) -> Result<(), StoreError> {
    let settings =
        format!("PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;");
    connection.batch_execute(&settings).map_err(StoreError::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_can_be_undone_and_redone() {
        let folder = tempfile::tempdir().unwrap();
        let mut connection = open(&folder.path().join("kms.db")).unwrap();
        migrate(&mut connection).unwrap();
        connection.revert_all_migrations(MIGRATIONS).unwrap();
        migrate(&mut connection).unwrap();
    }

    #[test]
    fn a_full_disk_is_fatal_and_a_busy_database_is_not() {
        assert!(is_fatal("database or disk is full"));
        assert!(!is_fatal("database is locked"));
    }
}
