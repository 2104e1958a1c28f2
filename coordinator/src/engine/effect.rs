//! What the engine asks of the world.

use backstitch_proto::id::{DispatchId, RunId};
use backstitch_proto::message::Control;

use crate::ledger::{Batch, RunStatus};

/// Something to do once the batch that it came with is committed, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Publish the message of this dispatch, then call [`Engine::confirmed`](super::Engine::confirmed), or
    /// [`Engine::unpublishable`](super::Engine::unpublishable).
    Publish(DispatchId),
    /// Tell all workers.
    Broadcast(Control),
    /// A run is terminal: tell who waits for it.
    Finished {
        /// The run.
        run: RunId,
        /// How it ended.
        status: RunStatus,
    },
}

/// A batch, and what follows its commit.
#[derive(Clone, Debug, Default)]
pub struct Sealed {
    /// To be committed first. May be empty.
    pub batch: Batch,
    /// To be done after the commit.
    pub effects: Vec<Effect>,
}
