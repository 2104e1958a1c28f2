//! What users ask for: runs, and changes of runs while they run.
//!
//! Each is O(ranges): no request touches tasks one by one.

use std::sync::Arc;

use backstitch_proto::id::RunId;
use backstitch_proto::message::Control;
use thiserror::Error;

use super::mutation::Mutation;
use super::plan::RunPlan;
use super::run::RunState;
use super::{Effect, Engine, Now};
use crate::ledger::RunChange;

/// Idempotency keys that are remembered after their run has ended. Whoever submits asks the ledger first, so this only
/// has to cover runs that end between that question and its arrival here.
const ENDED_KEYS: usize = 1_000;

/// A request cannot be carried out.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RequestError {
    /// No run with this id is live.
    #[error("run {0} is not live: it is unknown or has ended")]
    NotLive(RunId),
}

impl Engine {
    /// Accepts a run. It is durable, and its submitter may be told, once the next batch is committed.
    pub fn submit(&mut self, plan: RunPlan, definitions_json: Arc<str>, now: Now) {
        let id = plan.record.id;
        self.batch.definitions.push((plan.record.definitions.clone(), definitions_json));
        self.batch.runs.push(plan.record.clone());
        let mut run = RunState::new(self.sabotage_plan(plan));
        run.settle();
        run.pass = self.pass_of_class(run.record.priority);
        self.runs.insert(id, run);
        self.hold(id, now);
        self.finish_if_done(id, now);
    }

    /// Cancels a run: nothing more starts; what is in the hands of workers is ended.
    ///
    /// # Errors
    /// When no such run is live.
    pub fn cancel(&mut self, id: RunId, now: Now) -> Result<(), RequestError> {
        let run = self.runs.get_mut(&id).ok_or(RequestError::NotLive(id))?;
        if run.cancelling {
            return Ok(());
        }
        run.cancelling = true;
        run.cancel_told_ms = Some(now.mono_ms);
        run.cancel_idle();
        self.change(id, RunChange::CancelRequested { at_us: now.wall_us });
        self.effects.push(Effect::Broadcast(Control::CancelRun { run: id }));
        self.close_unclaimed_of(id, now);
        self.finish_if_done(id, now);
        Ok(())
    }

    /// Stops (`true`) or resumes (`false`) dispatching of a run. What is in flight goes on.
    ///
    /// # Errors
    /// When no such run is live.
    pub fn pause(&mut self, id: RunId, paused: bool) -> Result<(), RequestError> {
        let run = self.runs.get_mut(&id).ok_or(RequestError::NotLive(id))?;
        if run.paused != paused {
            run.paused = paused;
            self.change(id, RunChange::Paused(paused));
        }
        Ok(())
    }

    /// Moves a run to another priority class.
    ///
    /// # Errors
    /// When no such run is live.
    pub fn reprioritise(&mut self, id: RunId, priority: i32) -> Result<(), RequestError> {
        let pass_of_class = self.pass_of_class(priority);
        let run = self.runs.get_mut(&id).ok_or(RequestError::NotLive(id))?;
        if run.record.priority != priority {
            run.record.priority = priority;
            run.pass = pass_of_class;
            self.allow_in_flight(|class| class == priority);
            self.change(id, RunChange::Priority(priority));
        }
        Ok(())
    }

    /// Changes how many tasks of a run may execute at once.
    ///
    /// # Errors
    /// When no such run is live.
    pub fn throttle(&mut self, id: RunId, max_parallel: Option<u32>) -> Result<(), RequestError> {
        let run = self.runs.get_mut(&id).ok_or(RequestError::NotLive(id))?;
        if run.record.max_parallel != max_parallel {
            run.record.max_parallel = max_parallel;
            run.allowed_beyond_bound = run.open_dispatches;
            self.change(id, RunChange::MaxParallel(max_parallel));
        }
        Ok(())
    }

    /// Puts a user's change into the next batch.
    fn change(&mut self, id: RunId, change: RunChange) {
        let unwritten = match change {
            RunChange::CancelRequested { .. } => self.is_sabotaged(Mutation::CancelUnwritten),
            RunChange::Paused(_) => self.is_sabotaged(Mutation::PauseUnwritten),
            RunChange::Priority(_) => self.is_sabotaged(Mutation::PriorityUnwritten),
            RunChange::MaxParallel(_) | RunChange::Finished { .. } => false,
        };
        if !unwritten {
            self.batch.changes.push((id, change));
        }
    }

    /// Ends a run whose every task is terminal.
    pub(super) fn finish_if_done(&mut self, id: RunId, now: Now) {
        let Some(run) = self.runs.get(&id) else { return };
        if !run.is_done() {
            return;
        }
        let status = run.status();
        let finished = RunChange::Finished { status, at_us: now.wall_us, counts: run.final_counts() };
        self.batch.changes.push((id, finished));
        self.effects.push(Effect::Finished { run: id, status });
        if let Some(key) = self.runs.remove(&id).and_then(|run| run.record.client_key) {
            self.ended_keys.push_back((key, id));
            if self.ended_keys.len() > ENDED_KEYS {
                self.ended_keys.pop_front();
            }
        }
    }
}
