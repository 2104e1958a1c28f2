//! What a submission says, and what is answered: the same in API, command line and library.

use backstitch_proto::id::RunId;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::ledger::RunOrigin;

/// Which of the selected partitions a run targets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// Those that are not materialized.
    #[default]
    Missing,
    /// Those whose last task failed.
    Failed,
    /// All.
    All,
}

/// A request to materialize something.
#[derive(Clone, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    /// Assets: names, with `+` for up- and downstream, `group:`, `tag:`, or `*` for all. Absent when `job` says
    /// it.
    #[serde(default)]
    pub assets: Option<String>,
    /// A job of the project, instead of `assets`.
    #[serde(default)]
    pub job: Option<String>,
    /// Partitions in the selection grammar; absent = all that exist. Applies where the selection begins: to
    /// partitioned assets without a selected partitioned upstream. Those downstream take the partitions that depend
    /// on theirs.
    #[serde(default)]
    pub partitions: Option<String>,
    /// Which of them.
    #[serde(default)]
    pub filter: Filter,
    /// Run config: `field` or `asset.field` to value.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub config: serde_json::Map<String, serde_json::Value>,
    /// Labels.
    #[serde(default)]
    pub tags: std::collections::BTreeMap<String, String>,
    /// Runs of a higher class go first.
    #[serde(default)]
    pub priority: Option<i32>,
    /// Tasks of the run that execute at once; those that wait behind one of them in the same message do not count.
    /// 0 is no bound.
    #[serde(default)]
    pub max_parallel: Option<u32>,
    /// Idempotency key: a second submission with the same key returns the first one's run.
    #[serde(default)]
    pub client_key: Option<String>,
    /// Who asks.
    #[serde(default)]
    pub origin: Option<RunOrigin>,
    /// W3C `traceparent` under which the run is traced. Between processes it travels in a header.
    #[serde(skip)]
    pub traceparent: Option<String>,
}

/// An accepted run.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Submitted {
    /// The run; absent if nothing was left to do.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub run: Option<RunId>,
    /// An earlier submission had the same client key; this is its run.
    pub existing: bool,
    /// What it targets.
    pub plan: PlanPreview,
}

/// What a submission would run.
#[derive(Clone, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PlanPreview {
    /// Per selected asset, upstream first.
    pub assets: Vec<PlannedTasks>,
    /// Tasks of all assets together.
    pub tasks: u64,
}

/// What a submission would run of one asset.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PlannedTasks {
    /// The asset.
    pub asset: String,
    /// Partitions that were selected.
    pub selected: u64,
    /// Those of them that would run.
    pub tasks: u64,
    /// The first ranges of them, for people.
    pub partitions: Vec<String>,
    /// Ranges that are not listed.
    pub more_ranges: u64,
    /// Tasks that wait for upstream partitions that do not exist yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits: Vec<PlannedWait>,
}

/// Tasks that are held until upstream partitions exist: `missing: wait` in a mapping.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PlannedWait {
    /// The upstream asset.
    pub upstream: String,
    /// How many tasks wait.
    pub tasks: u64,
    /// From then on the last of them can start.
    pub until: DateTime<Utc>,
}

/// A submission that makes no sense, with everything that is wrong with it.
#[derive(Clone, Debug, Error, Serialize, Deserialize)]
#[error("{}", problems.join("\n"))]
pub struct SubmissionError {
    /// One sentence each: the thing, the place, the mend.
    pub problems: Vec<String>,
}
