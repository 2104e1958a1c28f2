//! What users ask of the leader.

use backstitch_proto::id::RunId;
use backstitch_proto::partition::PartitionSubset;
use tokio::sync::oneshot;

use super::catalog::Catalog;
use super::handle::HandleError;
use super::submission::{PlanPreview, Submission, Submitted};
use crate::engine::{Engine, RunPlan};

/// A reply that is sent once it is durable.
pub(super) type Reply<T> = oneshot::Sender<Result<T, HandleError>>;

/// A look at the leader's state. Runs inside the leader loop, so it must be short.
pub(super) type Look = Box<dyn FnOnce(&Engine, &mut Catalog) + Send>;

pub(super) enum Command {
    Submit {
        submission: Box<Submission>,
        reply: Reply<Submitted>,
    },
    Plan {
        submission: Box<Submission>,
        reply: Reply<PlanPreview>,
    },
    /// Submits what is left of an ended run, which is bound to its own definitions.
    Retry {
        ended: Box<RunPlan>,
        succeeded: Vec<PartitionSubset>,
        reply: Reply<Submitted>,
    },
    Cancel {
        run: RunId,
        reply: Reply<()>,
    },
    Pause {
        run: RunId,
        paused: bool,
        reply: Reply<()>,
    },
    Reprioritise {
        run: RunId,
        priority: i32,
        reply: Reply<()>,
    },
    Throttle {
        run: RunId,
        max_parallel: Option<u32>,
        reply: Reply<()>,
    },
    Look(Look),
    /// The same, for what the catalog knows.
    LookUp(Look),
}

impl Command {
    /// Whether it asks for the state of partitions.
    pub(super) fn needs_catalog(&self) -> bool {
        matches!(self, Self::Submit { .. } | Self::Plan { .. } | Self::Retry { .. } | Self::LookUp(_))
    }

    /// Whether it decides by the state of partitions what is to be done.
    pub(super) fn plans(&self) -> bool {
        matches!(self, Self::Submit { .. } | Self::Plan { .. } | Self::Retry { .. })
    }

    /// Answers that this process does not lead. A receiver that is gone does not want to know.
    pub(super) fn refuse(self) {
        match self {
            Self::Submit { reply, .. } | Self::Retry { reply, .. } => {
                _ = reply.send(Err(HandleError::NotLeading));
            }
            Self::Plan { reply, .. } => _ = reply.send(Err(HandleError::NotLeading)),
            Self::Cancel { reply, .. }
            | Self::Pause { reply, .. }
            | Self::Reprioritise { reply, .. }
            | Self::Throttle { reply, .. } => _ = reply.send(Err(HandleError::NotLeading)),
            // The sender of a look waits on a channel that the closure owns: dropping it is the answer.
            Self::Look(_) | Self::LookUp(_) => {}
        }
    }
}
