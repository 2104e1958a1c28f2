//! Every message that crosses the broker.
//!
//! | message | from, to | queue | durable |
//! |---|---|---|---|
//! | [`Dispatch`] | coordinator to a worker | [`task_queue`] of the asset's queue | yes |
//! | [`Report`] | worker to coordinator | [`REPORT_QUEUE`] | yes |
//! | [`Heartbeat`] | worker to coordinator | [`HEARTBEAT_QUEUE`] | no: only the newest counts |
//! | [`Control`] | coordinator to all workers | [`CONTROL_FANOUT`] | no: repeated until it took effect |
//!
//! Bytes are made and read by [`codec`] alone. Fields are positional on the wire: a changed struct is a new
//! version of its message, and the old bytes stay in the golden fixtures for ever.

pub mod codec;
mod dispatch;
mod heartbeat;
mod report;

pub use codec::{DecodeError, EncodeError, Message, with_causes};
pub use dispatch::{Dispatch, Executor, Invocation, TaskSpec, Window};
pub use heartbeat::{Control, Heartbeat, Held};
pub use report::{
    CheckResult, DispatchReport, Failure, FailureKind, MetadataValue, Outcome, Output, Report, ReturnReason,
    Severity, TraceContext, Verdict,
};

/// Prefix of every queue and exchange that Backstitch declares.
pub const PREFIX: &str = "backstitch";

/// Where workers report starts, outcomes and returns.
pub const REPORT_QUEUE: &str = "backstitch.reports";

/// Where workers say that they live and what they hold.
pub const HEARTBEAT_QUEUE: &str = "backstitch.worker-heartbeats";

/// Where coordinators of the release before this one listen for heartbeats, and its workers send them. Workers send a copy
/// there, whose message id ends with this name; coordinators listen for what is no copy. So processes of both releases work
/// together; the next release does without it.
pub const FORMER_HEARTBEAT_QUEUE: &str = "backstitch.heartbeats";

/// The exchange through which the coordinator reaches all workers at once.
pub const CONTROL_FANOUT: &str = "backstitch.control";

/// The queue that carries the dispatches of the worker queue `name`.
pub fn task_queue(name: &str) -> String {
    format!("{PREFIX}.tasks.{name}")
}
