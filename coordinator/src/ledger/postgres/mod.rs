//! The production ledger: PostgreSQL 14 or later.
//!
//! Commits have their own few connections, so that no reader, however many there are, makes a commit wait for one.
//! Every session has time limits: a statement, a lock or a transaction that hangs ends with an error that the
//! caller can act on. A server that restarts shows as transient errors; the pools connect again by themselves.
//! A server that lost its power, or a network that forgot a connection, says nothing at all, and TCP would wait for it
//! for a quarter of an hour: so whatever asks it has a limit on our side, too ([`in_time`]), and a connection that was
//! given up leaves its pool ([`lent`]).

mod commit;
mod history;
mod leadership;
mod lent;
mod rows;

use std::time::Duration;

use async_trait::async_trait;
use backstitch_proto::id::{Epoch, RunId};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool};
use tokio::sync::Mutex;

use self::leadership::ServerStart;
use self::lent::Lent;
use super::committed::Committed;
use super::error::Doing;
use super::sql::postgres as sql;
use super::{
    AttemptCursor, AttemptQuery, AttemptRecord, AuditReport, Batch, Candidate, CommitError, LeaderInfo,
    Ledger, LedgerError, LiveState, Materialization, MaterializationQuery, Page, RunFilter, RunSummary,
    StateSink, SuccessSink, Term,
};

/// Connections that commit and that purge. Commits come one after the other.
const WRITERS_MAX: u32 = 2;
/// Reads at once.
const READERS_MAX: u32 = 8;
/// The server's own limit for a statement of a commit.
const STATEMENT_TIMEOUT: &str = "30s";
/// A commit without an answer for longer than the server would let it run: the network swallowed it.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(45);
/// How long a caller waits for a free connection, or for the server to take one.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a statement about a handful of rows may take. They take milliseconds; a server that stalls for longer is
/// as good as gone, and asked again.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// The server's own limit for a read: streaming the states of ten million partitions is one statement.
const READ_STATEMENT_TIMEOUT: &str = "300s";
/// A read without an answer for longer than the server would let its longest statement run.
const READ_TIMEOUT: Duration = Duration::from_secs(330);
/// How long a purge may take. A month is detached and dropped in moments, unless somebody reads it, and years of them
/// may be due at once. What is left goes the next time.
const PURGE_TIMEOUT: Duration = Duration::from_secs(600);

/// A ledger in a database.
#[derive(Debug)]
pub(super) struct PostgresLedger {
    options: PgConnectOptions,
    writers: PgPool,
    readers: PgPool,
    writing: Mutex<Writing>,
}

/// What the commits of a term have in common.
#[derive(Debug, Default)]
struct Writing {
    /// Where the term began; absent before the first one.
    server: Option<ServerStart>,
    committed: Committed,
}

/// How every session is opened.
fn session(options: &PgConnectOptions, role: &str, limits: &[(&str, &str)]) -> PgConnectOptions {
    options
        .clone()
        .application_name(&format!("backstitch {role}"))
        .options(limits.iter().copied())
        // Statements of a thousand rows are no log lines.
        .disable_statement_logging()
}

/// Opens a session of its own, within [`ACQUIRE_TIMEOUT`].
pub(super) async fn connect(
    options: &PgConnectOptions,
    role: &str,
    limits: &[(&str, &str)],
    doing: &'static str,
) -> Result<PgConnection, LedgerError> {
    let session = session(options, role, limits);
    in_time(ACQUIRE_TIMEOUT, doing, async { session.connect().await.doing(doing) }).await
}

/// Waits for an answer of the server, but not for ever. One that does not come in time is a transient error.
pub(super) async fn in_time<T, E: From<LedgerError>>(
    limit: Duration,
    doing: &'static str,
    answer: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    match tokio::time::timeout(limit, answer).await {
        Ok(answer) => answer,
        Err(elapsed) => Err(LedgerError::Database { doing, source: sqlx::Error::Io(elapsed.into()) }.into()),
    }
}

impl PostgresLedger {
    /// Connects to a database that has the current schema.
    pub(super) async fn open(options: PgConnectOptions) -> Result<Self, LedgerError> {
        const DOING: &str = "connecting to the ledger";
        let writer = session(
            &options,
            "writer",
            &[
                ("statement_timeout", STATEMENT_TIMEOUT),
                ("lock_timeout", "5s"),
                ("idle_in_transaction_session_timeout", "10s"),
            ],
        );
        let reader = session(
            &options,
            "reader",
            &[
                ("statement_timeout", READ_STATEMENT_TIMEOUT),
                ("lock_timeout", "5s"),
                ("idle_in_transaction_session_timeout", "60s"),
                ("default_transaction_read_only", "on"),
                ("default_transaction_isolation", "repeatable read"),
            ],
        );
        let pool = |connections| {
            PgPoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(ACQUIRE_TIMEOUT)
                // As the pool does when it takes a connection back, but with a limit: the line may have fallen silent since
                // the last answer.
                .after_release(|connection, _| {
                    Box::pin(async move {
                        let answer = tokio::time::timeout(ANSWER_TIMEOUT, connection.ping()).await;
                        answer.map_err(|elapsed| sqlx::Error::Io(elapsed.into()))?.map(|()| true)
                    })
                })
        };
        let writers = pool(WRITERS_MAX).connect_with(writer).await.doing(DOING)?;
        let readers = pool(READERS_MAX).connect_with(reader).await.doing(DOING)?;
        Ok(Self { options, writers, readers, writing: Mutex::default() })
    }

    async fn reader(&self) -> Result<Lent, LedgerError> {
        Lent::by(&self.readers).await
    }

    async fn in_time_for<T>(
        &self,
        statements: u32,
        answer: impl Future<Output = Result<T, LedgerError>>,
    ) -> Result<T, LedgerError> {
        in_time(READ_TIMEOUT * statements, "reading the ledger", answer).await
    }

    fn done<T>(&self, reader: Lent, answer: Result<T, LedgerError>) -> Result<T, LedgerError> {
        reader.done(answer)
    }
}

super::sql::answers!(PostgresLedger, sql);

#[async_trait]
impl Ledger for PostgresLedger {
    async fn lead(&self, candidate: &Candidate) -> Result<Term, LedgerError> {
        let (term, server) = leadership::lead(&self.options, candidate).await?;
        *self.writing.lock().await = Writing { server: Some(server), committed: Committed::default() };
        Ok(term)
    }

    async fn leader(&self) -> Result<Option<LeaderInfo>, LedgerError> {
        let answer = async {
            let mut reader = self.reader().await?;
            let leader = leadership::leader(&mut reader).await;
            reader.done(leader)
        };
        in_time(ANSWER_TIMEOUT, "reading who leads", answer).await
    }

    async fn commit(&self, epoch: Epoch, batch: &Batch) -> Result<(), CommitError> {
        let Writing { server, committed } = &mut *self.writing.lock().await;
        let commit = async {
            let mut writer = Lent::by(&self.writers).await?;
            let done = commit::commit(&mut writer, committed, epoch, *server, batch).await;
            writer.done(done)
        };
        in_time(COMMIT_TIMEOUT, "committing a batch", commit).await
    }

    async fn load_live(&self) -> Result<LiveState, LedgerError> {
        const DOING: &str = "loading what is live";
        let live = async {
            let mut reader = self.reader().await?;
            let mut transaction = reader.begin().await.doing(DOING)?;
            let live = sql::live_state(&mut transaction, "SELECT through FROM confirmations").await;
            drop(transaction);
            reader.done(live)
        };
        in_time(READ_TIMEOUT, DOING, live).await
    }

    async fn purge_history(&self, before_us: i64) -> Result<u32, LedgerError> {
        let purge = async {
            let mut writer = Lent::by(&self.writers).await?;
            let purged = history::purge(&mut writer, before_us).await;
            writer.done(purged)
        };
        in_time(PURGE_TIMEOUT, "removing old history", purge).await
    }
}
