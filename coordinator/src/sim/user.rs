//! Users: what they ask for, and what they were told is durable.
//!
//! A request is acknowledged once the batch that holds it is committed. From then on the world remembers it, apart from
//! every row and every engine, and INTENT demands that rows and engines agree with it: after each commit of a request,
//! after each takeover, and whenever something is dispatched or ends.

use std::collections::BTreeMap;

use backstitch_proto::id::RunId;

use super::happened::Mishap;
use super::ledger::{LedgerRun, violation};
use super::project::Behaviour;
use super::worker::SimWorker;
use super::world::{World, run_number};
use crate::engine::{RequestError, Violation};
use crate::ledger::{AttemptResult, Batch, RunChange, RunRecord, RunStatus};

/// What a user asks of a run.
#[derive(Clone, Copy, Debug)]
pub(super) enum Request {
    Cancel,
    Pause(bool),
    Throttle(Option<u32>),
    Reprioritise(i32),
}

/// What its users want of a run, as far as they were told that it is durable.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    cancelled: bool,
    paused: bool,
    pub(super) max_parallel: Option<u32>,
    pub(super) priority: i32,
    /// Its bound was another before: what was dispatched under that may still run.
    pub(super) was_throttled: bool,
}

impl Wish {
    pub(super) fn new(record: &RunRecord) -> Self {
        let RunRecord { max_parallel, priority, .. } = *record;
        Self { cancelled: false, paused: false, max_parallel, priority, was_throttled: false }
    }

    fn grant(&mut self, request: Request) {
        match request {
            Request::Cancel => self.cancelled = true,
            Request::Pause(paused) => self.paused = paused,
            Request::Throttle(bound) => (self.max_parallel, self.was_throttled) = (bound, true),
            Request::Reprioritise(priority) => self.priority = priority,
        }
    }

    fn status(&self) -> RunStatus {
        match self {
            Self { cancelled: true, .. } => RunStatus::Cancelling,
            Self { paused: true, .. } => RunStatus::Paused,
            _ => RunStatus::Running,
        }
    }
}

/// What all users want.
pub(super) type Wishes = BTreeMap<RunId, Wish>;

impl World {
    /// A user asks. It counts once it is acknowledged.
    pub(super) fn ask(&mut self, run: RunId, request: Request) -> Result<(), RequestError> {
        let now = self.now;
        let engine = self.leader.engine_mut();
        match request {
            Request::Cancel => engine.cancel(run, now),
            Request::Pause(paused) => engine.pause(run, paused),
            Request::Throttle(bound) => engine.throttle(run, bound),
            Request::Reprioritise(priority) => engine.reprioritise(run, priority),
        }?;
        self.leader.asked.push((run, request));
        if matches!(request, Request::Cancel) {
            self.cancels.insert(run);
        }
        Ok(())
    }

    /// The requests of the batch that was sealed are durable, as their users are told.
    pub(super) fn acknowledge(&mut self) {
        if !self.ledger.is_led_by(self.leader.epoch) {
            // What changed nothing is answered without a commit, by whomever.
            return;
        }
        let asked = &self.leader.asked_sealed;
        for (run, request) in asked {
            self.wishes.entry(*run).and_modify(|wish| wish.grant(*request));
        }
        for (run, _) in asked {
            if let (Some(wish), Some(row)) = (self.wishes.get(run), self.ledger.runs.get(run)) {
                row.check_intent(wish, &mut self.violations);
            }
        }
    }

    /// INTENT: what a batch that was committed did is what users wanted then.
    pub(super) fn check_wishes(&mut self, batch: &Batch) {
        let found = &mut self.violations;
        for dispatch in &batch.dispatches {
            if let Some(wish) = self.wishes.get(&dispatch.run)
                && wish.status() != RunStatus::Running
            {
                let what = format!("{} went out, of a run that is {:?}", dispatch.id, wish.status());
                found.push(violation("INTENT", what));
            }
        }
        let is_cancelled = |run| self.wishes.get(run).is_some_and(|wish: &Wish| wish.cancelled);
        for (run, change) in &batch.changes {
            if let RunChange::Finished { status, .. } = change
                && (*status == RunStatus::Cancelled) != is_cancelled(run)
            {
                let what = format!("run {run} ended {status:?}; cancelled by a user: {}", is_cancelled(run));
                found.push(violation("INTENT", what));
            }
        }
        for attempt in &batch.attempts {
            if attempt.result == AttemptResult::Cancelled && !is_cancelled(&attempt.run) {
                let what = format!("a task of run {} was cancelled, and nobody asked for it", attempt.run);
                found.push(violation("INTENT", what));
            }
        }
    }

    /// INTENT: a new leader knows what users want.
    pub(super) fn check_leader_knows_wishes(&mut self) {
        for (run, wish) in &self.wishes {
            // It may have ended, or was never durable.
            let Some(view) = self.leader.engine().run(*run) else { continue };
            let known = (view.status, view.record.priority, view.record.max_parallel);
            let wanted = (wish.status(), wish.priority, wish.max_parallel);
            if known != wanted {
                let what = format!("run {run}: users want {wanted:?}, the new leader knows {known:?}");
                self.violations.push(violation("INTENT", what));
            }
        }
    }

    /// A user does what comes to mind.
    pub(super) fn whim(&mut self) {
        let live = self.live_runs();
        if live.is_empty() || self.leader_stands_still() {
            return;
        }
        let run = live[self.rng.index(live.len())];
        let (choice, value) = (self.rng.below(6), self.rng.below(5));
        let (request, mishap) = match choice {
            0 => (Request::Cancel, Mishap::Cancel),
            1 => (Request::Pause(true), Mishap::Pause),
            2 | 3 => (Request::Pause(false), Mishap::Resume),
            4 => (Request::Throttle((value > 0).then_some(value as u32)), Mishap::Throttle),
            _ => (Request::Reprioritise(value as i32), Mishap::Reprioritise),
        };
        self.count(mishap);
        let done = self.ask(run, request);
        debug_assert!(done.is_ok(), "a live run takes requests");
        self.note(|| format!("a user asks of run {}: {request:?}", run_number(run)));
    }

    /// A user cancels a run of which a task hangs, if there is one.
    pub(super) fn give_up(&mut self) {
        if self.leader_stands_still() {
            return;
        }
        let Some(run) = self.hanging_run() else { return };
        // It may have ended, or its submission was lost with a leader.
        if self.ask(run, Request::Cancel).is_ok() {
            self.count(Mishap::GiveUp);
            self.note(|| format!("a user gives up run {}, which hangs", run_number(run)));
        }
    }

    fn hanging_run(&self) -> Option<RunId> {
        let mut running = self.workers.iter().flat_map(SimWorker::running);
        let hangs = running.find(|(dispatch, task)| {
            Behaviour::of(&self.faults, dispatch.run, &dispatch.asset, *task) == Behaviour::Hangs
        });
        hangs.map(|(dispatch, _)| dispatch.run)
    }
}

impl LedgerRun {
    /// INTENT: the row of a run says what its users were told.
    fn check_intent(&self, wish: &Wish, found: &mut Vec<Violation>) {
        let written = (self.cancel_requested, self.paused, self.record.priority, self.record.max_parallel);
        let wanted = (wish.cancelled, wish.paused, wish.priority, wish.max_parallel);
        if written != wanted {
            let what = format!("run {}: users were told {wanted:?}, rows say {written:?}", self.record.id);
            found.push(violation("INTENT", what));
        }
    }
}
