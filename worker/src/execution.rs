//! One execution: some tasks of one dispatch, given to an executor together.

use std::path::Path;
use std::sync::Arc;

use backstitch_proto::message::{Dispatch, Executor, Outcome, TaskSpec, TraceContext, Verdict};

use crate::command::capture::Capture;
use crate::command::{self, Watchdog};
use crate::native::{self, Registry};
use crate::stop::{Stop, StopSignal};

/// What an executor is given.
#[derive(Debug)]
pub(crate) struct Execution<'a> {
    /// The dispatch that the tasks belong to.
    pub(crate) dispatch: &'a Arc<Dispatch>,
    /// The tasks of this execution: at most `batch_size` of the dispatch's. Never empty.
    pub(crate) tasks: &'a [TaskSpec],
    /// Index of the first of them in the dispatch.
    pub(crate) first: usize,
    /// Where the execution stands in the trace.
    pub(crate) trace: Option<TraceContext>,
    /// Absolute path of the project's folder.
    pub(crate) project_dir: &'a Arc<Path>,
    /// Tells it to end early.
    pub(crate) stop: &'a mut StopSignal,
}

/// What an executor gives back.
#[derive(Debug)]
pub(crate) struct Executed {
    /// One per task that has an outcome: all, unless the execution was interrupted or abandoned.
    pub(crate) outcomes: Vec<Outcome>,
    /// The execution ended because it was told to.
    pub(crate) stopped: Option<Stop>,
}

/// What tasks printed together is kept once: with the first failure, where people look for it, else with the first task.
pub(crate) fn keep_output(outcomes: &mut [Outcome], capture: &Capture) {
    let place =
        outcomes.iter().position(|outcome| matches!(outcome.verdict, Verdict::Failed(_))).unwrap_or(0);
    if let Some(outcome) = outcomes.get_mut(place) {
        outcome.output = capture.output();
    }
}

/// Everything that executors share in one worker.
#[derive(Debug)]
pub(crate) struct Executors {
    /// Native functions by asset.
    pub(crate) native: Registry,
    /// Ends children of a worker that was killed.
    pub(crate) watchdog: Watchdog,
}

impl Executors {
    /// Tasks of `dispatch` that are executed together at most. A function of one partition is called for each by itself,
    /// whatever the asset allows: so each outcome is reported at once, and the rest can be handed back in between.
    pub(crate) fn batch_size(&self, dispatch: &Dispatch) -> usize {
        match dispatch.invocation.executor {
            Executor::Native if self.native.takes_one(&dispatch.asset) => 1,
            _ => dispatch.invocation.batch_size.max(1) as usize,
        }
    }

    /// Executes the tasks. Never panics and never fails: whatever goes wrong is an outcome.
    pub(crate) async fn execute(&self, mut execution: Execution<'_>) -> Executed {
        match &execution.dispatch.invocation.executor {
            Executor::Native => native::execute(&mut execution, &self.native).await,
            Executor::Command { command, env } => {
                // Boxed: the future of a child process is large, and a native task need not carry it.
                Box::pin(command::execute(&mut execution, command, env, &self.watchdog)).await
            }
        }
    }
}
