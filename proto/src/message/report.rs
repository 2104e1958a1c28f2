//! Worker to coordinator: what became of the tasks.

use serde::{Deserialize, Serialize};

use crate::id::{DispatchId, WorkerId};

/// What one worker has to say about its dispatches, in the order in which it happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The worker that speaks.
    pub worker: WorkerId,
    /// News of one or more dispatches.
    pub dispatches: Vec<DispatchReport>,
}

/// News of one dispatch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum DispatchReport {
    /// Execution is about to begin. Sent only for dispatches that ask for it.
    Started {
        /// The dispatch.
        dispatch: DispatchId,
    },
    /// Some of its tasks have ended.
    Outcomes {
        /// The dispatch, which is the fencing token.
        dispatch: DispatchId,
        /// Where these tasks stand in the trace.
        trace: Option<TraceContext>,
        /// One entry per task that ended.
        outcomes: Vec<Outcome>,
    },
    /// The worker gives up the tasks of the dispatch that it has not reported yet.
    Returned {
        /// The dispatch.
        dispatch: DispatchId,
        /// Why.
        reason: ReturnReason,
    },
}

/// Why a worker gave tasks back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReturnReason {
    /// The broker delivered the message a second time. Whoever had it first may have started it, so only the
    /// coordinator can tell what to do with it.
    Redelivered,
    /// The worker did not start the tasks: it is shutting down, or no slot became free in time.
    NotStarted,
    /// The worker is shutting down and had to interrupt the tasks.
    Interrupted,
}

/// How one task ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Ordinal of the partition, as in the dispatch.
    pub ordinal: u32,
    /// Start of the execution, microseconds since the Unix epoch, by the worker's clock.
    pub started_us: i64,
    /// End of the execution, microseconds since the Unix epoch, by the worker's clock.
    pub finished_us: i64,
    /// The result.
    pub verdict: Verdict,
    /// Metadata of the materialization: name and value, in the order reported.
    pub metadata: Vec<(String, MetadataValue)>,
    /// Version of the data, if the asset's code reported one.
    pub data_version: Option<String>,
    /// Results of asset checks.
    pub checks: Vec<CheckResult>,
    /// What the execution printed, bounded.
    pub output: Option<Output>,
}

/// The result of one attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// The partition is materialized.
    Succeeded,
    /// The partition is not materialized.
    Failed(Failure),
    /// The execution was ended because its run was cancelled.
    Cancelled,
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The class of failure.
    pub kind: FailureKind,
    /// For people: what happened and, where known, the mend. At most 4 KiB.
    pub message: String,
    /// Stack trace or similar detail, for people.
    pub detail: Option<String>,
    /// `false` forbids further attempts, whatever the retry policy says.
    pub retryable: bool,
}

/// Classes of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FailureKind {
    /// The program could not be started.
    NotStarted,
    /// The program ended with a status other than 0.
    Exit(i32),
    /// The program was ended by a signal.
    Signal(i32),
    /// The program ran past its timeout.
    Timeout,
    /// Asset code returned or reported an error.
    Error,
    /// A native function panicked.
    Panic,
    /// The worker does not know the asset.
    UnknownAsset,
    /// The worker died or fell silent while it ran the task. Given by the coordinator.
    WorkerLost,
}

/// A value of metadata.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum MetadataValue {
    /// No value.
    Null,
    /// Truth value.
    Bool(bool),
    /// Whole number.
    Int(i64),
    /// Number.
    Float(f64),
    /// Text.
    Text(String),
    /// Any other type of the Dagster Pipes protocol: the type's name and the JSON text of the value.
    Typed {
        /// Name of the type: `url`, `path`, `json`, `md`, `timestamp`, `table` ...
        kind: String,
        /// The raw value as JSON text.
        json: String,
    },
}

/// Result of one check of an asset's data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckResult {
    /// Name of the check.
    pub name: String,
    /// The data passed.
    pub passed: bool,
    /// How bad a failed check is.
    pub severity: Severity,
    /// Metadata of the check.
    pub metadata: Vec<(String, MetadataValue)>,
}

/// How bad a failed check is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Severity {
    /// Worth a look.
    Warn,
    /// The data must not be used.
    Error,
}

/// What an execution printed: the beginning and the end, with the middle left out when it is long.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Output {
    /// Standard output and standard error as text, invalid UTF-8 replaced.
    pub text: String,
    /// Bytes that were printed but are not in `text`.
    pub omitted_bytes: u64,
}

/// W3C trace context of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceContext {
    /// Trace id.
    pub trace_id: [u8; 16],
    /// Span id.
    pub span_id: [u8; 8],
    /// Trace flags; bit 0 is `sampled`.
    pub flags: u8,
}
