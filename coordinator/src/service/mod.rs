//! The shell around the engine: the only part of the coordinator that does I/O on its behalf.
//!
//! ```text
//!  API, CLI ──▶ Handle ──commands──▶ ┌────────────┐ ──sealed batch──▶ committer ──▶ ledger
//!  broker ──▶ intake ──reports─────▶ │ leader loop│ ◀──committed─────    │
//!  workers ──▶ intake ─heartbeats──▶ │  (engine)  │ ──effects──▶ outbox ──▶ broker
//!                                    └────────────┘ ◀──confirms──
//! ```
//!
//! One task owns the engine; everything else reaches it through bounded channels. At most one commit is under
//! way. What happens meanwhile gathers for the next, so the loop needs no batching delay: under load batches grow,
//! at rest a single result is committed at once.
//!
//! Replies to users and acknowledgements of reports wait for the commit that makes them true.
//!
//! A process is a candidate first ([`Coordinator::run`]), a leader when the ledger says so, and a candidate again
//! when it was deposed. Nothing survives from one term to the next but the ledger.
//!
//! Reading order: `submission`, `command`, `handle` (what is asked); `planning`, `nonexistent`, `binding`, `pinned` (from a
//! submission or a row to a plan); `leader`, `committer`, `commit_size`, `catalog` (the loop); `intake`, `outbox`, `echo`
//! (the broker); `status`, `tasks`, `audit`, `order`, `retention`, `metrics`, `spans`.

mod audit;
mod binding;
mod catalog;
mod command;
mod commit_size;
mod committer;
mod echo;
mod handle;
mod intake;
mod leader;
mod metrics;
mod nonexistent;
mod order;
mod outbox;
mod pinned;
mod planning;
mod retention;
mod spans;
mod status;
mod submission;
mod tasks;

use std::sync::Arc;
use std::time::Duration;

use backstitch_broker::{Broker, BrokerError};
use backstitch_proto::definition::Definitions;
use thiserror::Error;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

pub use audit::audit;
pub use binding::bind;
pub use catalog::PartitionCounts;
pub use handle::{Handle, HandleError, RunFinished};
pub use outbox::UNCONFIRMED_MAX;
pub use planning::preview;
pub use retention::KeepHistory;
pub use status::{AssetStatusView, PartitionStatus, RANGES_MAX, StatusRange};
pub use submission::{
    Filter, PlanPreview, PlannedTasks, PlannedWait, Submission, SubmissionError, Submitted,
};
pub use tasks::tasks_of;

use crate::engine;
use crate::ledger::{Candidate, CommitError, Ledger, LedgerError};
use command::Command;

/// Requests that wait for the leader loop. Each is small; a client that is faster than this waits.
const COMMANDS_MAX: usize = 1_024;

/// Pause before a candidate that failed tries again.
const CANDIDACY_PAUSE: Duration = Duration::from_millis(500);

/// Settings of a coordinator.
#[derive(Clone, Debug)]
pub struct Options {
    /// Name of this process, for people: host or pod name.
    pub name: String,
    /// Where its API is reached; a standby sends clients there.
    pub api_address: String,
    /// Settings of the engine.
    pub engine: engine::Options,
    /// How long history is kept; for ever if none.
    pub keep_history: Option<KeepHistory>,
}

/// A coordinator that is not running yet.
pub struct Coordinator {
    options: Options,
    ledger: Arc<dyn Ledger>,
    broker: Arc<dyn Broker>,
    definitions: Arc<Definitions>,
    commands: tokio::sync::mpsc::Receiver<Command>,
    handle: Handle,
}

/// Why a term ended before it was asked to.
#[derive(Debug, Error)]
pub enum TermError {
    /// A later term has begun, or one has to.
    #[error("the term is over")]
    Deposed,
    /// The ledger could not be read, or another process has it.
    #[error(transparent)]
    Ledger(LedgerError),
    /// The ledger refuses a batch, and would refuse it again.
    #[error("a batch cannot be committed")]
    Commit(#[source] CommitError),
    /// Queues could not be declared or consumed.
    #[error("setting up the broker")]
    Broker(#[source] BrokerError),
}

impl Coordinator {
    /// A coordinator of the assets in `definitions`.
    pub fn new(
        options: Options,
        definitions: Arc<Definitions>,
        ledger: Arc<dyn Ledger>,
        broker: Arc<dyn Broker>,
    ) -> Self {
        let (sender, commands) = tokio::sync::mpsc::channel(COMMANDS_MAX);
        let handle = Handle::new(sender, Arc::clone(&ledger), Arc::clone(&broker), Arc::clone(&definitions));
        Self { options, ledger, broker, definitions, commands, handle }
    }

    /// For whoever wants something from this coordinator. Cheap to clone.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Leads whenever it may, until `shutdown` fires. What it was told is durable by then; nothing else matters.
    ///
    /// # Errors
    /// Only what waiting does not mend: an embedded ledger that another process has.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), TermError> {
        let candidate =
            Candidate { name: self.options.name.clone(), api_address: self.options.api_address.clone() };
        let ledger = Arc::clone(&self.ledger);
        while !shutdown.is_cancelled() {
            let term = tokio::select! {
                () = shutdown.cancelled() => break,
                () = self.refuse_commands() => break,
                term = ledger.lead(&candidate) => term,
            };
            let ended = match term {
                Ok(term) => {
                    info!(epoch = %term.epoch(), "leading");
                    let keep_history = self.options.keep_history;
                    let ended = tokio::select! {
                        ended = leader::lead(&mut self, &term, &shutdown) => ended,
                        never = retention::keep(ledger.as_ref(), keep_history) => match never {},
                    };
                    self.handle.leading(None);
                    term.resign().await;
                    ended
                }
                Err(source) => Err(TermError::Ledger(source)),
            };
            match ended {
                Ok(()) => break,
                Err(error @ TermError::Ledger(LedgerError::InUse { .. })) => return Err(error),
                Err(TermError::Deposed) => warn!("the term is over: back to standby"),
                Err(error) => {
                    error!(error = &error as &dyn std::error::Error, "the term ended; trying again");
                    tokio::select! {
                        () = shutdown.cancelled() => break,
                        () = tokio::time::sleep(CANDIDACY_PAUSE) => {}
                    }
                }
            }
        }
        Ok(())
    }

    /// While another coordinator leads, requests are answered with that. Ends when nobody is left to ask.
    async fn refuse_commands(&mut self) {
        while let Some(command) = self.commands.recv().await {
            command.refuse();
        }
    }
}
