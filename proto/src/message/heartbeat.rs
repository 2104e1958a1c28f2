//! Liveness and control: small, frequent, and worth nothing once a newer one is there.

use serde::{Deserialize, Serialize};

use crate::id::{DispatchId, Epoch, RunId, WorkerId};

/// Worker to coordinator, every few seconds and at once when a coordinator asks: I live, and this is what I hold.
///
/// A dispatch that is listed is protected by the worker's lease; one that is not listed is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The worker that speaks.
    pub worker: WorkerId,
    /// Name for people: host or pod name.
    pub name: String,
    /// Version of the worker program.
    pub version: String,
    /// Counts the heartbeats of this worker, so that an older one that comes late is ignored.
    pub sequence: u64,
    /// Tasks that the worker executes at once.
    pub slots: u32,
    /// Queues that it consumes.
    pub queues: Vec<String>,
    /// Native assets that it can execute. For whoever looks at messages; the coordinator does not read it.
    pub native_assets: Vec<String>,
    /// It is shutting down: it starts nothing more and frees no slots.
    pub draining: bool,
    /// Every dispatch in its hands.
    pub held: Vec<Held>,
}

/// A dispatch in a worker's hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The dispatch.
    pub dispatch: DispatchId,
    /// Its execution has begun.
    pub started: bool,
    /// Tasks of it that have ended. For whoever looks at messages; the coordinator does not read it.
    pub done: u32,
}

/// Coordinator to all workers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Control {
    /// A leader took office: send a heartbeat now.
    Announce {
        /// Its term.
        epoch: Epoch,
    },
    /// End every execution of the run and report it as cancelled.
    CancelRun {
        /// The run.
        run: RunId,
    },
    /// End these executions: their tasks are fenced and nobody waits for the outcome.
    Abandon {
        /// The dispatches.
        dispatches: Vec<DispatchId>,
    },
}
