//! The materialization ledger: what was asked for, what was done, and what is up to date.
//!
//! It is the only thing that a coordinator remembers. One writer at a time: the leader, whose epoch is checked
//! inside every transaction. Many small methods would mean many round trips, so there are few and coarse ones:
//! commit a batch, load what is live, and the reads of API and CLI.
//!
//! Three kinds of rows are kept apart, because they live differently:
//!
//! | rows | written | removed |
//! |---|---|---|
//! | current state (`asset_partitions`, `runs`) | once per terminal task, per change of a run | never |
//! | working state (`dispatches`, `progress`) | once per message, per batch | when the message, the run is finished |
//! | history (`attempts`) | once per attempt | in whole periods, by retention |
//!
//! Nothing that decides what runs next is read from history, so history can be purged at any time.
//!
//! The same conformance suite runs against both implementations. Whatever the two databases understand alike is
//! written once, in `sql`; what they do not (bulk writes, leadership, periods of history) is a module of each.
//!
//! Reading order: `contract`, `read`, `leadership` and `error` (what may be asked), `batch` and `live` (what is written and
//! loaded), `progress`, `retried`, `effects`, `assets`, `committed` (from a batch to rows), `sql` (shared statements), `postgres`,
//! `sqlite`, `schema`, `address`, `limits`, `text`, `month`.

mod address;
mod assets;
mod batch;
mod committed;
mod contract;
mod effects;
mod error;
mod leadership;
mod limits;
mod live;
mod month;
mod postgres;
mod progress;
mod read;
mod retried;
mod schema;
mod sql;
mod sqlite;
mod text;

pub use address::Address;
pub use batch::{
    AttemptOutcome, AttemptRecord, AttemptResult, Batch, DispatchRecord, FinalCounts, PlannedAsset,
    RunChange, RunOrigin, RunRecord, RunStatus,
};
pub use contract::{Ledger, LedgerReads};
pub use error::{CommitError, LedgerError};
pub use leadership::{COUNTED_EPOCH_MAX, Candidate, LeaderInfo, Term};
pub use limits::NotStorable;
pub use live::{LiveAsset, LiveRun, LiveState, Spent};
pub use read::{
    AttemptCursor, AttemptQuery, AuditReport, CursorError, Finding, Materialization, MaterializationQuery,
    MostSpent, PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX, Page, PartitionState, RunFilter, RunSummary, StateSink,
    SuccessSink,
};
pub use schema::{PendingMigration, connect, migrate, pending_migrations};
pub(crate) use sql::{LOST_MESSAGE, failure_kind};
