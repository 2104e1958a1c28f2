//! Dispatches between the outbox and their last outcome.

use backstitch_proto::id::{RunId, WorkerId};
use backstitch_proto::partition::PartitionSubset;

/// A dispatch that is not closed.
///
/// ```text
/// sealed ──commit──▶ published ──confirm──▶ at the broker ──heartbeat lists it──▶ held by a worker
/// ```
///
/// Where it is decides nothing about its results: the first outcome of each task under this dispatch counts,
/// wherever the message was thought to be.
#[derive(Clone, Debug)]
pub(super) struct OpenDispatch {
    pub(super) run: RunId,
    pub(super) asset: usize,
    pub(super) attempt: u16,
    /// A task of it was lost with its worker before: it is alone, and its start is announced.
    pub(super) announce_start: bool,
    /// Its only task has one loss left: it counts as the cause if its worker dies.
    pub(super) on_probation: bool,
    /// Tasks without an outcome.
    pub(super) remaining: PartitionSubset,
    /// Execution has begun, as far as is known.
    pub(super) started: bool,
    /// An outcome of it has come.
    pub(super) has_outcome: bool,
    pub(super) holder: Holder,
    /// When it was made, microseconds since the Unix epoch.
    pub(super) created_us: i64,
}

/// Who has the message of a dispatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// The outbox: its row is not committed yet, or its publish is not confirmed.
    Outbox,
    /// The broker, or a worker that never listed it (milliseconds of the engine's clock).
    Broker {
        /// From when its wait to be claimed counts: its confirm or the last look at it; later while nobody could be
        /// heard.
        since_ms: u64,
    },
    /// Some worker that no heartbeat has named: the broker delivered the message again, to another one, at this time
    /// (milliseconds of the clock of leases). Either it died, or the broker did and it has not come back yet.
    Unidentified {
        /// Since when.
        since_ms: u64,
    },
    /// This worker: it listed the dispatch, and its lease protects it.
    Worker(WorkerId),
}
