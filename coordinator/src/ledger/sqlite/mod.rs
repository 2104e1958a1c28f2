//! The embedded ledger: one SQLite file, one process that writes.
//!
//! Write-ahead logging, so that readers (also of other processes) never wait for the writer. `synchronous` is FULL:
//! a commit is on disk when it returns, as in Postgres, because the broker is told only after it; batches make
//! that affordable. Writes go through one connection, reads through others.

mod commit;
mod history;
mod leadership;

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use backstitch_proto::id::{Epoch, RunId};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, SqlitePool};
use tokio::sync::Mutex;

use super::committed::Committed;
use super::error::Doing;
use super::sql::sqlite as sql;
use super::{
    AttemptCursor, AttemptQuery, AttemptRecord, AuditReport, Batch, Candidate, CommitError, LeaderInfo,
    Ledger, LedgerError, LiveState, Materialization, MaterializationQuery, Page, RunFilter, RunSummary,
    StateSink, SuccessSink, Term,
};

/// Reads at once. They share one disk and, mostly, one page cache.
const READERS_MAX: u32 = 4;

/// How long a statement waits for another process that writes (`backstitch migrate`, a backup).
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// A ledger in a file.
#[derive(Debug)]
pub(super) struct SqliteLedger {
    database: PathBuf,
    writer: SqlitePool,
    readers: SqlitePool,
    committed: Mutex<Committed>,
}

/// How the file is opened.
pub(super) fn options(database: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(database)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging()
}

impl SqliteLedger {
    /// Opens the file, which has the current schema.
    pub(super) async fn open(database: &Path) -> Result<Self, LedgerError> {
        const DOING: &str = "opening the ledger file";
        let writer =
            SqlitePoolOptions::new().max_connections(1).connect_with(options(database)).await.doing(DOING)?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS_MAX)
            .connect_with(options(database).pragma("query_only", "ON"))
            .await
            .doing(DOING)?;
        Ok(Self { database: database.to_owned(), writer, readers, committed: Mutex::default() })
    }
}

super::sql::answers!(SqliteLedger, sql);

#[async_trait]
impl Ledger for SqliteLedger {
    async fn lead(&self, candidate: &Candidate) -> Result<Term, LedgerError> {
        let term = leadership::lead(&self.writer, &self.database, candidate).await?;
        *self.committed.lock().await = Committed::default();
        Ok(term)
    }

    async fn leader(&self) -> Result<Option<LeaderInfo>, LedgerError> {
        leadership::leader(&self.readers).await
    }

    async fn commit(&self, epoch: Epoch, batch: &Batch) -> Result<(), CommitError> {
        let mut committed = self.committed.lock().await;
        commit::commit(&self.writer, &mut committed, epoch, batch).await
    }

    async fn load_live(&self) -> Result<LiveState, LedgerError> {
        let mut transaction = self.readers.begin().await.doing("loading what is live")?;
        sql::live_state(&mut transaction, "SELECT confirmed_through FROM leadership").await
    }

    async fn purge_history(&self, before_us: i64) -> Result<u32, LedgerError> {
        let mut transaction = self.writer.begin().await.doing("removing old history")?;
        let removed = history::purge(&mut transaction, before_us).await?;
        transaction.commit().await.doing("removing old history")?;
        Ok(removed)
    }
}

impl SqliteLedger {
    async fn reader(&self) -> Result<sqlx::pool::PoolConnection<sqlx::Sqlite>, LedgerError> {
        self.readers.acquire().await.doing("connecting to the ledger file")
    }

    /// A file answers or fails.
    async fn in_time_for<T>(
        &self,
        _statements: u32,
        answer: impl Future<Output = Result<T, LedgerError>>,
    ) -> Result<T, LedgerError> {
        answer.await
    }

    /// A connection to a file is in order whatever became of the read.
    fn done<T>(
        &self,
        _reader: sqlx::pool::PoolConnection<sqlx::Sqlite>,
        answer: Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        answer
    }
}
