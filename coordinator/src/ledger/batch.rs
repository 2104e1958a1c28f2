//! What one transaction of the leader writes.
//!
//! A batch may be committed twice: when the connection breaks during a commit nobody knows whether it happened,
//! and the only safe answer is to do it again. Every row therefore has a key that makes the second time a no-op; only
//! progress, which is a union, may be told twice.

use std::fmt;
use std::sync::Arc;

use backstitch_proto::id::{DispatchId, RunId, WorkerId};
use backstitch_proto::message::{Failure, Output};
use backstitch_proto::partition::PartitionSubset;
use serde::{Deserialize, Serialize};

/// Everything that becomes durable together.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Definitions that runs of this batch are pinned to: fingerprint and JSON.
    pub definitions: Vec<(String, Arc<str>)>,
    /// New runs.
    pub runs: Vec<RunRecord>,
    /// Changes of runs, in the order in which they happened.
    pub changes: Vec<(RunId, RunChange)>,
    /// Dispatches that are about to be published (the outbox).
    pub dispatches: Vec<DispatchRecord>,
    /// Dispatches that nobody has to care about any more.
    pub closed: Vec<DispatchId>,
    /// Attempts that ended.
    pub attempts: Vec<AttemptRecord>,
    /// Every dispatch up to this one was confirmed by the broker; a recovering leader publishes later ones again. The
    /// default, which is before every dispatch, says nothing new.
    pub confirmed_through: DispatchId,
}

impl Batch {
    /// There is nothing that needs a transaction.
    pub fn is_empty(&self) -> bool {
        let Self { definitions, runs, changes, dispatches, closed, attempts, confirmed_through } = self;
        definitions.is_empty()
            && runs.is_empty()
            && changes.is_empty()
            && dispatches.is_empty()
            && closed.is_empty()
            && attempts.is_empty()
            && *confirmed_through == DispatchId::default()
    }

    /// The runs that finish with it.
    pub(super) fn finished(&self) -> Vec<RunId> {
        let finished =
            |(run, change): &(RunId, RunChange)| matches!(change, RunChange::Finished { .. }).then_some(*run);
        self.changes.iter().filter_map(finished).collect()
    }
}

/// A submission.
#[derive(Clone, Debug, PartialEq)]
pub struct RunRecord {
    /// Identity; sorts by time of submission.
    pub id: RunId,
    /// Who asked for it.
    pub origin: RunOrigin,
    /// The job that it was launched from.
    pub job: Option<String>,
    /// The asset selection as the user wrote it.
    pub selection: String,
    /// The partition selection as the user wrote it.
    pub partitions: Option<String>,
    /// The submitter's idempotency key.
    pub client_key: Option<String>,
    /// Runs of a higher class go first.
    pub priority: i32,
    /// Tasks of the run that execute at once; those that wait behind one of them in the same message do not count.
    pub max_parallel: Option<u32>,
    /// Labels.
    pub tags: Vec<(String, String)>,
    /// Run config as given by the user, a JSON object.
    pub config_json: String,
    /// Fingerprint of the definitions that the run is pinned to.
    pub definitions: String,
    /// The instant at which time partitions were evaluated, microseconds since the Unix epoch.
    pub evaluated_us: i64,
    /// When it was accepted, microseconds since the Unix epoch.
    pub created_us: i64,
    /// W3C `traceparent` of the run's root span.
    pub traceparent: Option<String>,
    /// What it targets, upstream assets first.
    pub assets: Vec<PlannedAsset>,
}

impl RunRecord {
    /// A backfill of these assets that was accepted at `now_us` (microseconds since the Unix epoch), with nothing asked
    /// for beside it.
    pub fn backfill(id: RunId, definitions: String, now_us: i64, assets: Vec<PlannedAsset>) -> Self {
        Self {
            id,
            origin: RunOrigin::Backfill,
            job: None,
            selection: "*".to_owned(),
            partitions: None,
            client_key: None,
            priority: 0,
            max_parallel: None,
            tags: Vec::new(),
            config_json: "{}".to_owned(),
            definitions,
            evaluated_us: now_us,
            created_us: now_us,
            traceparent: None,
            assets,
        }
    }
}

/// One asset of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedAsset {
    /// Name of the asset.
    pub asset: Arc<str>,
    /// The partitions to materialize, as ordinals of the run's partition space. May be empty.
    pub targets: PartitionSubset,
}

/// Who asked for a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunOrigin {
    /// A person or program, over many partitions.
    Backfill,
    /// A schedule.
    Schedule,
    /// A sensor.
    Sensor,
    /// A declarative automation condition.
    Automation,
    /// A person or program, one launch.
    Manual,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Tasks are waiting, ready or in flight.
    Running,
    /// As running, but nothing new is dispatched.
    Paused,
    /// Cancellation was accepted; executions are being ended.
    Cancelling,
    /// Every targeted task succeeded.
    Succeeded,
    /// Every targeted task is terminal and at least one failed.
    Failed,
    /// Every targeted task is terminal, and the run was cancelled.
    Cancelled,
}

impl RunStatus {
    /// The word for it, as serde writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Cancelling => "cancelling",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Nothing more will happen.
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Running | Self::Paused | Self::Cancelling => false,
            Self::Succeeded | Self::Failed | Self::Cancelled => true,
        }
    }
}

impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A change of a run.
#[derive(Clone, Debug, PartialEq)]
pub enum RunChange {
    /// Dispatching stops or goes on.
    Paused(bool),
    /// Another priority class.
    Priority(i32),
    /// Another bound on the tasks that execute at once.
    MaxParallel(Option<u32>),
    /// A user asked to cancel, at this time (microseconds since the Unix epoch).
    CancelRequested {
        /// When.
        at_us: i64,
    },
    /// Every task is terminal.
    Finished {
        /// One of the terminal states.
        status: RunStatus,
        /// When, microseconds since the Unix epoch.
        at_us: i64,
        /// Per asset of the run, in its order.
        counts: Vec<FinalCounts>,
    },
}

/// How the targeted tasks of one asset ended. Every task is one of these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinalCounts {
    /// Materialized.
    pub succeeded: u32,
    /// Failed for good.
    pub failed: u32,
    /// Never started, because something upstream failed.
    pub skipped: u32,
    /// Cancelled.
    pub cancelled: u32,
}

/// One row of the outbox: one message.
#[derive(Clone, Debug, PartialEq)]
pub struct DispatchRecord {
    /// Identity and fencing token.
    pub id: DispatchId,
    /// The run.
    pub run: RunId,
    /// Position of the asset in the run's plan.
    pub asset_index: u16,
    /// Number of this execution of its tasks, from 1.
    pub attempt: u16,
    /// The worker must announce the start.
    pub announce_start: bool,
    /// When it was made, microseconds since the Unix epoch.
    pub created_us: i64,
    /// The tasks.
    pub ordinals: PartitionSubset,
}

/// The end of one attempt of one task.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptRecord {
    /// The run.
    pub run: RunId,
    /// Position of the asset in the run's plan.
    pub asset_index: u16,
    /// Name of the asset.
    pub asset: Arc<str>,
    /// Ordinal of the partition in the run's partition space.
    pub ordinal: u32,
    /// Key of the partition; empty for an unpartitioned asset.
    pub partition_key: String,
    /// Number of the attempt, from 1.
    pub attempt: u16,
    /// The dispatch under which it was accepted.
    pub dispatch: DispatchId,
    /// The worker that executed it, where known.
    pub worker: Option<WorkerId>,
    /// Start, microseconds since the Unix epoch, by the worker's clock; of an attempt that no worker reported, by the
    /// coordinator's.
    pub started_us: i64,
    /// End, microseconds since the Unix epoch, by the worker's clock; of an attempt that no worker reported, by the
    /// coordinator's.
    pub finished_us: i64,
    /// How it ended.
    pub result: AttemptResult,
    /// Metadata as a JSON object, in the order reported.
    pub metadata_json: Option<String>,
    /// Version of the data.
    pub data_version: Option<String>,
    /// Version of the code.
    pub code_version: Option<Arc<str>>,
    /// Results of asset checks as a JSON array.
    pub checks_json: Option<String>,
    /// Trace in which it ran.
    pub trace_id: Option<[u8; 16]>,
    /// What it printed.
    pub output: Option<Output>,
}

impl AttemptRecord {
    /// The first attempt of a task of the run's first asset; it succeeded at `now_us` (microseconds since the Unix
    /// epoch) and reported nothing beside it.
    pub fn succeeded(
        run: RunId,
        asset: Arc<str>,
        ordinal: u32,
        partition_key: String,
        dispatch: DispatchId,
        now_us: i64,
    ) -> Self {
        Self {
            run,
            asset_index: 0,
            asset,
            ordinal,
            partition_key,
            attempt: 1,
            dispatch,
            worker: None,
            started_us: now_us,
            finished_us: now_us,
            result: AttemptResult::Succeeded,
            metadata_json: None,
            data_version: None,
            code_version: None,
            checks_json: None,
            trace_id: None,
            output: None,
        }
    }
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq)]
pub enum AttemptResult {
    /// The partition is materialized.
    Succeeded,
    /// It failed.
    Failed {
        /// Why.
        failure: Failure,
        /// No further attempt follows: the task failed.
        terminal: bool,
    },
    /// Its worker died or fell silent while it ran.
    Lost {
        /// No further attempt follows: the task failed.
        terminal: bool,
    },
    /// It was ended because the run was cancelled.
    Cancelled,
}

/// How an attempt ended, in a word: as the ledger stores it and the API shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptOutcome {
    /// The partition is materialized.
    Succeeded,
    /// It failed.
    Failed,
    /// Its worker died or fell silent while it ran.
    Lost,
    /// It was ended because the run was cancelled.
    Cancelled,
}

impl AttemptOutcome {
    /// The word for it, as serde writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Lost => "lost",
            Self::Cancelled => "cancelled",
        }
    }
}

impl AttemptResult {
    /// How it ended, in a word.
    pub fn outcome(&self) -> AttemptOutcome {
        match self {
            Self::Succeeded => AttemptOutcome::Succeeded,
            Self::Failed { .. } => AttemptOutcome::Failed,
            Self::Lost { .. } => AttemptOutcome::Lost,
            Self::Cancelled => AttemptOutcome::Cancelled,
        }
    }

    /// No further attempt follows.
    pub fn is_terminal(&self) -> bool {
        match self {
            Self::Failed { terminal, .. } | Self::Lost { terminal } => *terminal,
            Self::Succeeded | Self::Cancelled => true,
        }
    }
}
