//! What a new leader loads: the runs that are not terminal, and the outbox.

use backstitch_proto::id::DispatchId;
use backstitch_proto::partition::PartitionSubset;

use super::{DispatchRecord, RunRecord};

/// Everything that a leader needs to go on where the last one stopped.
#[derive(Clone, Debug, Default)]
pub struct LiveState {
    /// Runs that are not terminal, oldest first.
    pub runs: Vec<LiveRun>,
    /// Dispatches that are not closed, oldest first.
    pub dispatches: Vec<DispatchRecord>,
    /// Every dispatch up to this one was confirmed by the broker.
    pub confirmed_through: DispatchId,
}

/// A run that is not terminal.
#[derive(Clone, Debug)]
pub struct LiveRun {
    /// The submission, with its current priority and bound.
    pub record: RunRecord,
    /// Dispatching is stopped.
    pub paused: bool,
    /// Cancellation was accepted.
    pub cancel_requested: bool,
    /// Progress per asset, in the order of the plan.
    pub assets: Vec<LiveAsset>,
}

/// Progress of one asset of a run, as its attempts tell it.
#[derive(Clone, Debug, Default)]
pub struct LiveAsset {
    /// Materialized.
    pub succeeded: PartitionSubset,
    /// Failed for good.
    pub failed: PartitionSubset,
    /// Ended as cancelled.
    pub cancelled: PartitionSubset,
    /// Tasks that are not terminal but have spent something, each in one of these.
    pub spent: Vec<Spent>,
}

/// What some tasks that are not terminal have spent so far, each of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Spent {
    /// The tasks.
    pub tasks: PartitionSubset,
    /// Number of their last attempt.
    pub attempts: u16,
    /// Attempts of these that were lost with their worker.
    pub losses: u16,
    /// The last attempt was lost: no delay follows it.
    pub last_was_lost: bool,
    /// End of the last attempt, rounded up to a second, microseconds since the Unix epoch.
    pub last_finished_us: i64,
}
