//! What the rest of the coordinator may ask of a ledger.

use async_trait::async_trait;
use backstitch_proto::id::{Epoch, RunId};
use backstitch_proto::partition::PartitionSubset;

use super::{
    AttemptCursor, AttemptQuery, AttemptRecord, AuditReport, Batch, Candidate, CommitError, LeaderInfo,
    LedgerError, LiveState, Materialization, MaterializationQuery, Page, RunFilter, RunSummary, StateSink,
    SuccessSink, Term,
};

/// A materialization ledger: who may write, what is written, and what a leader needs to go on.
#[async_trait]
pub trait Ledger: LedgerReads {
    /// Waits until this process leads, then starts a new term, which ends every earlier one.
    ///
    /// # Errors
    /// [`LedgerError::InUse`] where another process leads on the same embedded ledger; a server's standby waits instead.
    /// Otherwise as for [`LedgerReads::definitions`].
    async fn lead(&self, candidate: &Candidate) -> Result<Term, LedgerError>;

    /// Who leads now, as far as the ledger knows.
    ///
    /// # Errors
    /// As for [`LedgerReads::definitions`].
    async fn leader(&self) -> Result<Option<LeaderInfo>, LedgerError>;

    /// Makes a batch durable, in one transaction, if `epoch` is still the current term and nothing that it has committed
    /// can be missing.
    ///
    /// After [`CommitError::Transient`] nobody knows whether it happened: commit the same batch again, and before
    /// any other. The second time changes nothing that can be read.
    ///
    /// # Errors
    /// [`CommitError`] says what to do: give up the term, try again, or give up the batch.
    async fn commit(&self, epoch: Epoch, batch: &Batch) -> Result<(), CommitError>;

    /// Everything that a new leader needs. Its size follows the number of live runs, not of their attempts.
    ///
    /// `confirmed_through` may be a second old: a new leader may publish a confirmed message again, and never leaves out
    /// an unconfirmed one.
    ///
    /// # Errors
    /// As for [`LedgerReads::definitions`].
    async fn load_live(&self) -> Result<LiveState, LedgerError>;

    /// Removes history of runs submitted before this time (microseconds since the Unix epoch), as far as whole
    /// periods go and no run of the period is live. Returns how many periods were removed.
    ///
    /// # Errors
    /// As for [`LedgerReads::definitions`].
    async fn purge_history(&self, before_us: i64) -> Result<u32, LedgerError>;
}

/// What anybody may ask of a ledger at any time.
#[async_trait]
pub trait LedgerReads: Send + Sync + 'static {
    /// Definitions that some run was pinned to.
    ///
    /// # Errors
    /// When the ledger cannot be reached, or what is in it cannot be read; [`LedgerError::is_transient`] says whether asking
    /// again may help.
    async fn definitions(&self, fingerprint: &str) -> Result<Option<String>, LedgerError>;

    /// Hands every partition of `asset` that was ever attempted to the end to `sink`, in no particular order.
    ///
    /// # Errors
    /// As for [`definitions`](Self::definitions).
    async fn partition_states(&self, asset: &str, sink: &mut StateSink<'_>) -> Result<(), LedgerError>;

    /// The run that was submitted with this idempotency key.
    ///
    /// # Errors
    /// As for [`definitions`](Self::definitions).
    async fn run_by_client_key(&self, client_key: &str) -> Result<Option<RunId>, LedgerError>;

    /// One run.
    ///
    /// # Errors
    /// As for [`definitions`](Self::definitions).
    async fn run(&self, id: RunId) -> Result<Option<RunSummary>, LedgerError>;

    /// Runs, newest first. The cursor is the last run of the page before.
    ///
    /// Their records are without targets: of large runs a page of them would be a gigabyte of bitmaps. [`run`](Self::run)
    /// has them, and the counts of an ended run say how many there were.
    ///
    /// # Errors
    /// As for [`definitions`](Self::definitions).
    async fn runs(&self, filter: &RunFilter) -> Result<Page<RunSummary, RunId>, LedgerError>;

    /// The latest materialization of each partition of an asset, in the order of the keys' bytes. The cursor is the
    /// last key of the page before.
    ///
    /// # Errors
    /// As for [`definitions`](Self::definitions).
    async fn materializations(
        &self,
        query: &MaterializationQuery,
    ) -> Result<Page<Materialization, String>, LedgerError>;

    /// Attempts of a run, in the order of its plan, then of partitions, then of attempts.
    ///
    /// # Errors
    /// As for [`definitions`](Self::definitions).
    async fn attempts(&self, query: &AttemptQuery)
    -> Result<Page<AttemptRecord, AttemptCursor>, LedgerError>;

    /// The tasks of a run that succeeded: one set per asset of it, in its order.
    ///
    /// # Errors
    /// As for [`definitions`](Self::definitions).
    async fn succeeded(&self, run: RunId) -> Result<Vec<PartitionSubset>, LedgerError>;

    /// Hands every successful attempt of a run to `sink`, in the order of their dispatches. Nothing where its history was
    /// purged.
    ///
    /// # Errors
    /// As for [`definitions`](Self::definitions).
    async fn successes(&self, run: RunId, sink: &mut SuccessSink<'_>) -> Result<(), LedgerError>;

    /// Recounts everything and reports what contradicts the invariants. Reads the whole history.
    ///
    /// # Errors
    /// As for [`definitions`](Self::definitions).
    async fn audit(&self) -> Result<AuditReport, LedgerError>;
}
