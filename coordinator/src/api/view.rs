//! The shapes of answers: the same in API and CLI (`--output json`).

use backstitch_proto::id::RunId;
use backstitch_proto::message::{Failure, FailureKind};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::engine::{self, Counts, WorkerState};
use crate::ledger::{
    AttemptOutcome, AttemptRecord, AttemptResult, FinalCounts, LOST_MESSAGE, Materialization, RunOrigin,
    RunRecord, RunStatus, RunSummary, failure_kind,
};

/// One page of something.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Listing<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Pass this as `cursor` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What a run was asked to do.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RunRequestView {
    /// The asset selection.
    pub assets: String,
    /// The job that it was launched from.
    pub job: Option<String>,
    /// The partition selection.
    pub partitions: Option<String>,
    /// Run config.
    #[schema(value_type = Object)]
    pub config: Value,
    /// Labels.
    #[schema(value_type = Object)]
    pub tags: std::collections::BTreeMap<String, String>,
}

/// A run.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RunView {
    /// Identity.
    pub id: Uuid,
    /// Who asked for it.
    pub origin: RunOrigin,
    /// Where it stands.
    pub status: RunStatus,
    /// What was asked for.
    pub request: RunRequestView,
    /// Priority class.
    pub priority: i32,
    /// Tasks of the run that execute at once; those that wait behind one of them in the same message do not count.
    pub max_parallel: Option<u32>,
    /// When it was accepted.
    pub created_at: DateTime<Utc>,
    /// When its last task ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// Trace of its root span.
    pub trace_id: Option<String>,
    /// Tasks per state, all assets together. Absent for a live run on a standby.
    pub counts: Option<Counts>,
    /// Tasks per state of each asset, upstream first.
    pub assets: Vec<RunAssetView>,
}

/// One asset of a run.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RunAssetView {
    /// Name.
    pub asset: String,
    /// Tasks per state. Absent for a live run on a standby.
    pub counts: Option<Counts>,
}

/// One attempt of one task.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AttemptView {
    /// The asset.
    pub asset: String,
    /// The partition; null for an unpartitioned asset.
    pub partition: Option<String>,
    /// Number of the attempt, from 1.
    pub attempt: u16,
    /// `succeeded`, `failed`, `lost` or `cancelled`.
    #[schema(value_type = String)]
    pub outcome: AttemptOutcome,
    /// No further attempt follows.
    pub terminal: bool,
    /// Class of the failure: `exit`, `signal`, `timeout`, `error`, `panic`, `not_started`, `unknown_asset` or `worker_lost`.
    pub failure_kind: Option<String>,
    /// Exit status or number of the signal.
    pub failure_code: Option<i32>,
    /// Why it failed.
    pub failure_message: Option<String>,
    /// Stack trace or similar.
    pub failure_detail: Option<String>,
    /// The worker.
    pub worker: Option<Uuid>,
    /// Start, by the worker's clock; of an attempt that no worker reported, by the coordinator's.
    pub started_at: DateTime<Utc>,
    /// End, by the worker's clock; of an attempt that no worker reported, by the coordinator's.
    pub finished_at: DateTime<Utc>,
    /// Trace in which it ran.
    pub trace_id: Option<String>,
    /// What it printed; only when asked for.
    pub output: Option<String>,
    /// Bytes of output that were left out.
    pub output_omitted_bytes: u64,
}

/// The latest materialization of a partition.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct MaterializationView {
    /// The asset.
    pub asset: String,
    /// The partition; null for an unpartitioned asset.
    pub partition: Option<String>,
    /// Metadata, as reported.
    #[schema(value_type = Object)]
    pub metadata: Value,
    /// The run that made it.
    pub run: Uuid,
    /// The attempt that made it.
    pub attempt: u16,
    /// Start, by the worker's clock.
    pub started_at: DateTime<Utc>,
    /// End, by the worker's clock.
    pub finished_at: DateTime<Utc>,
    /// Version of the code.
    pub code_version: Option<String>,
    /// Version of the data.
    pub data_version: Option<String>,
    /// Results of checks.
    #[schema(value_type = Vec<Object>)]
    pub checks: Value,
    /// Trace in which it ran.
    pub trace_id: Option<String>,
    /// A later task for this partition failed.
    pub failed_since: bool,
}

/// A worker within its lease.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct WorkerView {
    /// Identity of this life of the process.
    pub id: Uuid,
    /// Host or pod name.
    pub name: String,
    /// Version of the program.
    pub version: String,
    /// Tasks that it executes at once.
    pub slots: u32,
    /// Dispatches that it executes now.
    pub running: u32,
    /// Dispatches that it holds and has not started.
    pub waiting: u32,
    /// Queues that it consumes.
    pub queues: Vec<String>,
    /// It is shutting down.
    pub draining: bool,
    /// First heard of.
    pub since: DateTime<Utc>,
}

impl RunView {
    /// A run as the ledger knows it; `live` is what the engine adds while the run is live.
    pub fn new(summary: RunSummary, live: Option<engine::RunSnapshot>) -> Self {
        let RunSummary { record, mut status, finished_us, counts, .. } = summary;
        let mut assets: Vec<RunAssetView> = record
            .assets
            .iter()
            .map(|planned| RunAssetView { asset: planned.asset.to_string(), counts: None })
            .collect();
        if let Some(counts) = counts {
            for (view, counts) in assets.iter_mut().zip(counts) {
                view.counts = Some(ended(counts));
            }
        } else if let Some(live) = live {
            status = live.status;
            for (view, live) in assets.iter_mut().zip(live.assets) {
                view.counts = Some(live.counts);
            }
        }
        Self::of(record, status, finished_us, assets)
    }

    /// A run that only the engine knows so far, or that is asked for by its own leader.
    pub fn live(live: engine::RunSnapshot) -> Self {
        let asset =
            |asset: engine::AssetSnapshot| RunAssetView { asset: asset.asset, counts: Some(asset.counts) };
        Self::of(live.record, live.status, None, live.assets.into_iter().map(asset).collect())
    }

    fn of(record: RunRecord, status: RunStatus, finished_us: Option<i64>, assets: Vec<RunAssetView>) -> Self {
        let counts: Option<Vec<Counts>> = assets.iter().map(|asset| asset.counts).collect();
        Self {
            id: record.id.0,
            origin: record.origin,
            status,
            trace_id: record
                .traceparent
                .as_deref()
                .and_then(|parent| parent.split('-').nth(1))
                .map(str::to_owned),
            request: RunRequestView {
                assets: record.selection,
                job: record.job,
                partitions: record.partitions,
                config: serde_json::from_str(&record.config_json).unwrap_or(Value::Null),
                tags: record.tags.into_iter().collect(),
            },
            priority: record.priority,
            max_parallel: record.max_parallel,
            created_at: instant(record.created_us),
            finished_at: finished_us.map(instant),
            counts: counts.map(|counts| counts.into_iter().fold(Counts::default(), Counts::plus)),
            assets,
        }
    }
}

fn ended(counts: FinalCounts) -> Counts {
    let FinalCounts { succeeded, failed, skipped, cancelled } = counts;
    let [succeeded, failed, skipped, cancelled] = [succeeded, failed, skipped, cancelled].map(u64::from);
    // A run ends when every task has ended, and lists of runs do not read what they targeted.
    let targeted = succeeded + failed + skipped + cancelled;
    Counts { targeted, succeeded, failed, skipped, cancelled, ..Counts::default() }
}

impl From<AttemptRecord> for AttemptView {
    fn from(record: AttemptRecord) -> Self {
        let (outcome, terminal) = (record.result.outcome(), record.result.is_terminal());
        let failure = match record.result {
            AttemptResult::Failed { failure, .. } => Some(failure),
            AttemptResult::Lost { .. } => Some(Failure {
                kind: FailureKind::WorkerLost,
                message: LOST_MESSAGE.to_owned(),
                detail: None,
                retryable: true,
            }),
            AttemptResult::Succeeded | AttemptResult::Cancelled => None,
        };
        let (failure_kind, failure_code) = failure.as_ref().map(|failure| failure_kind(failure.kind)).unzip();
        let (failure_message, failure_detail) =
            failure.map(|failure| (failure.message, failure.detail)).unzip();
        let output = record.output.unwrap_or_default();
        Self {
            asset: record.asset.to_string(),
            partition: key(record.partition_key),
            attempt: record.attempt,
            outcome,
            terminal,
            failure_kind: failure_kind.map(str::to_owned),
            failure_code: failure_code.flatten(),
            failure_message,
            failure_detail: failure_detail.flatten(),
            worker: record.worker.map(|worker| worker.0),
            started_at: instant(record.started_us),
            finished_at: instant(record.finished_us),
            trace_id: record.trace_id.map(hex),
            output: (!output.text.is_empty()).then_some(output.text),
            output_omitted_bytes: output.omitted_bytes,
        }
    }
}

impl From<Materialization> for MaterializationView {
    fn from(made: Materialization) -> Self {
        let parsed = |json: Option<String>, empty: Value| {
            json.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or(empty)
        };
        Self {
            asset: made.asset.to_string(),
            partition: key(made.partition_key),
            metadata: parsed(made.metadata_json, Value::Object(serde_json::Map::new())),
            run: made.run.0,
            attempt: made.attempt,
            started_at: instant(made.started_us),
            finished_at: instant(made.finished_us),
            code_version: made.code_version,
            data_version: made.data_version,
            checks: parsed(made.checks_json, Value::Array(Vec::new())),
            trace_id: made.trace_id.map(hex),
            failed_since: made.failed_since,
        }
    }
}

impl From<WorkerState> for WorkerView {
    fn from(state: WorkerState) -> Self {
        let heartbeat = state.heartbeat;
        // A worker holds at most a few thousand dispatches.
        let running = heartbeat.held.iter().filter(|held| held.started).count() as u32;
        Self {
            id: heartbeat.worker.0,
            name: heartbeat.name,
            version: heartbeat.version,
            slots: heartbeat.slots,
            running,
            waiting: heartbeat.held.len() as u32 - running,
            queues: heartbeat.queues,
            draining: heartbeat.draining,
            since: instant(state.since_us),
        }
    }
}

/// Reads the id of a run.
pub(super) fn run_id(text: &str) -> Option<RunId> {
    text.parse().ok()
}

/// An unpartitioned asset has one task whose key is empty.
fn key(key: String) -> Option<String> {
    (!key.is_empty()).then_some(key)
}

fn instant(us: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(us).unwrap_or_default()
}

fn hex(bytes: [u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(bytes))
}
