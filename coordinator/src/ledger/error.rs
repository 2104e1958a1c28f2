//! What can go wrong with a ledger. Every error says whether to try again.

use std::path::PathBuf;

use backstitch_proto::id::{Epoch, RunId};
use thiserror::Error;

/// Any cause.
pub(super) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A ledger could not do what was asked.
#[derive(Debug, Error)]
pub enum LedgerError {
    /// The database said no, or said nothing.
    #[error("{doing}")]
    Database {
        /// What we were doing.
        doing: &'static str,
        /// What the database said.
        #[source]
        source: sqlx::Error,
    },
    /// A row that this program cannot read.
    #[error("reading {what} from the ledger")]
    Unreadable {
        /// Which rows.
        what: &'static str,
        /// Why.
        #[source]
        source: Cause,
    },
    /// The address names no ledger.
    #[error("ledger address \"{address}\": {problem}")]
    Address {
        /// The address, without password.
        address: String,
        /// What is wrong with it, and the mend.
        problem: String,
    },
    /// The schema of the database is not the one that this program was built for.
    #[error("ledger {address}: {problem}")]
    Schema {
        /// The address, without password.
        address: String,
        /// What is wrong with it, and the mend.
        problem: String,
    },
    /// Migrations could not be applied.
    #[error("migrating ledger {address}")]
    Migrate {
        /// The address, without password.
        address: String,
        /// Why.
        #[source]
        source: sqlx::migrate::MigrateError,
    },
    /// Another process leads on the same embedded ledger.
    #[error(
        "{} is in use by another backstitch process (it holds {}): stop that process, or give this one \
         another project folder or --database-url", database.display(), lock.display()
    )]
    InUse {
        /// The database file.
        database: PathBuf,
        /// The lock file.
        lock: PathBuf,
    },
    /// The lock file of an embedded ledger could not be used.
    #[error("locking {}", lock.display())]
    Lock {
        /// The lock file.
        lock: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl LedgerError {
    /// The same call may succeed later, without anybody changing anything here.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Database { source, .. } => is_transient(source),
            Self::InUse { .. } => true,
            _ => false,
        }
    }
}

/// A batch was not committed, or nobody knows.
#[derive(Debug, Error)]
pub enum CommitError {
    /// A later term has begun, or the ledger is not where this term began. Nothing was written; stop acting as the leader.
    #[error("term {epoch} is over: another coordinator leads, or the ledger was started anew")]
    Deposed {
        /// The term that is over.
        epoch: Epoch,
    },
    /// A run of the batch carries the idempotency key of another run. Nothing was written. The term ends over it; the
    /// submitter gets no answer, asks again, and is told of the other run.
    #[error("the client key of run {run} belongs to run {owner}")]
    ClientKeyTaken {
        /// The run of the batch.
        run: RunId,
        /// The run that has had the key before.
        owner: RunId,
    },
    /// It may have happened or not: commit the same batch again.
    #[error(transparent)]
    Transient(LedgerError),
    /// It did not happen, and would not the next time.
    #[error(transparent)]
    Permanent(LedgerError),
}

impl From<LedgerError> for CommitError {
    fn from(error: LedgerError) -> Self {
        if error.is_transient() { Self::Transient(error) } else { Self::Permanent(error) }
    }
}

/// Adds what we were doing to what the database said.
pub(super) trait Doing<T> {
    /// `doing` reads like "committing attempts".
    fn doing(self, doing: &'static str) -> Result<T, LedgerError>;
}

impl<T> Doing<T> for Result<T, sqlx::Error> {
    fn doing(self, doing: &'static str) -> Result<T, LedgerError> {
        self.map_err(|source| LedgerError::Database { doing, source })
    }
}

/// Marks rows that cannot be read.
pub(super) fn unreadable<E: Into<Cause>>(what: &'static str) -> impl Fn(E) -> LedgerError {
    move |source| LedgerError::Unreadable { what, source: source.into() }
}

/// Whether the same statement may succeed later.
fn is_transient(error: &sqlx::Error) -> bool {
    use sqlx::Error as E;
    match error {
        E::Io(_) | E::PoolTimedOut | E::PoolClosed | E::WorkerCrashed | E::Protocol(_) | E::BeginFailed => {
            true
        }
        E::Database(refusal) => match refusal.code() {
            Some(code) if refusal.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some() => {
                is_transient_postgres(&code)
            }
            Some(code) => is_transient_sqlite(&code),
            None => false,
        },
        _ => false,
    }
}

/// The SQLSTATE of a statement that did not wait any longer for a lock.
pub(super) const LOCK_NOT_AVAILABLE: &str = "55P03";

/// Classes of SQLSTATE that speak of the server's or the session's condition, not of the statement.
fn is_transient_postgres(sqlstate: &str) -> bool {
    const CLASSES: [&str; 6] = [
        "08", // connection
        "25", // transaction state: read-only after a failover, idle too long
        "40", // rolled back: deadlock, serialization
        "53", // resources: disk full, out of memory, too many connections
        "57", // operator: shutdown, crash, cancel, not yet up
        "58", // system: I/O
    ];
    CLASSES.iter().any(|class| sqlstate.starts_with(class)) || sqlstate == LOCK_NOT_AVAILABLE
}

/// Result codes of SQLite that speak of the file's or the machine's condition. The lower 8 bits are the class.
fn is_transient_sqlite(code: &str) -> bool {
    const BUSY: u32 = 5;
    const LOCKED: u32 = 6;
    const NOMEM: u32 = 7;
    const IOERR: u32 = 10;
    const FULL: u32 = 13;
    const CANTOPEN: u32 = 14;
    let class = code.parse::<u32>().unwrap_or(0) & 0xff;
    [BUSY, LOCKED, NOMEM, IOERR, FULL, CANTOPEN].contains(&class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_condition_of_the_server_is_transient_and_the_fault_of_a_statement_is_not() {
        for transient in ["08006", "40P01", "53100", "55P03", "57P01", "57P03", "25P03"] {
            assert!(is_transient_postgres(transient), "{transient}");
        }
        for permanent in ["22021", "23514", "42P01", "54000"] {
            assert!(!is_transient_postgres(permanent), "{permanent}");
        }
        assert!(is_transient_sqlite("5"));
        assert!(is_transient_sqlite("778"), "SQLITE_IOERR_WRITE");
        assert!(!is_transient_sqlite("1555"), "SQLITE_CONSTRAINT_PRIMARYKEY");
    }
}
