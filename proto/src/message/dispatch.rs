//! Coordinator to worker: tasks to execute.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::{DispatchId, RunId};

/// One or more tasks of one asset of one run, sent together.
///
/// Everything that a worker needs is inside: workers are stateless and read no ledger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dispatch {
    /// The fencing token: an outcome is accepted only under the dispatch that currently holds its task.
    pub id: DispatchId,
    /// The run that the tasks belong to.
    pub run: RunId,
    /// The asset that the tasks compute.
    pub asset: String,
    /// Number of this execution of the tasks, from 1.
    pub attempt: u16,
    /// The worker must have a confirmed [`DispatchReport::Started`](super::DispatchReport) at the broker before
    /// the first instruction of the task runs. Set for tasks whose earlier dispatch was lost with its worker, so
    /// that only a task that really ran when its worker died is blamed for it.
    pub announce_start: bool,
    /// When the dispatch was made, microseconds since the Unix epoch.
    pub created_us: i64,
    /// How the tasks are executed; shared by every dispatch of the same asset and run.
    pub invocation: Arc<Invocation>,
    /// The tasks, in the order in which they are to be executed. Never empty.
    pub tasks: Vec<TaskSpec>,
}

/// One task of a dispatch: one partition of the asset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// Ordinal of the partition in the run's partition space; outcomes name the task by it.
    pub ordinal: u32,
    /// The partition key; empty for an unpartitioned asset.
    pub key: String,
    /// The time window of the partition, if it has one.
    pub window: Option<Window>,
}

/// A half-open span of time, `[start, end)`, microseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// First instant inside.
    pub start_us: i64,
    /// First instant after.
    pub end_us: i64,
}

/// How the tasks of one asset of one run are executed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invocation {
    /// What runs.
    pub executor: Executor,
    /// Name of the job that the run was launched from, if any.
    pub job: Option<String>,
    /// The asset's resolved config as a JSON object.
    pub config_json: String,
    /// The asset's code version, recorded with each materialization.
    pub code_version: Option<String>,
    /// The asset is partitioned; `false` means that a task's empty key stands for the whole asset.
    pub partitioned: bool,
    /// Names of the dimensions, in the order in which a key joins their parts with `|`; empty unless multi.
    pub dimensions: Vec<String>,
    /// Partitions that one execution of the executor takes at most.
    pub batch_size: u32,
    /// Longest time that one execution may take, milliseconds.
    pub timeout_ms: Option<u64>,
    /// Time between asking an execution to end (TERM) and ending it (KILL), milliseconds.
    pub grace_ms: u64,
}

/// What executes a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Executor {
    /// An async function that the worker program registered under the asset's name.
    Native,
    /// A child process of the worker.
    Command {
        /// Program and arguments; each may hold placeholders of the project file.
        command: Vec<String>,
        /// Variables added to the worker's environment; values may hold placeholders.
        env: Vec<(String, String)>,
    },
}
