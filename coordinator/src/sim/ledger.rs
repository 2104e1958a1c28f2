//! A ledger that believes nothing: it keeps what is committed and checks it against the invariants.

use std::collections::BTreeMap;

use backstitch_proto::id::{DispatchId, Epoch, RunId};
use backstitch_proto::partition::PartitionSubset;

use crate::engine::{RunPlan, Violation};
use crate::ledger::{
    AttemptRecord, AttemptResult, Batch, DispatchRecord, FinalCounts, LiveAsset, LiveRun, LiveState,
    RunChange, RunRecord, RunStatus, Spent,
};

/// A run, and what is recorded of its tasks.
#[derive(Clone, Debug)]
pub(super) struct LedgerRun {
    pub(super) record: RunRecord,
    pub(super) plan: RunPlan,
    pub(super) paused: bool,
    pub(super) cancel_requested: bool,
    pub(super) finished: Option<(RunStatus, Vec<FinalCounts>)>,
    /// Per asset: every attempt of every task, by task and number.
    pub(super) attempts: Vec<BTreeMap<(u32, u16), Attempt>>,
    /// Per asset: what the attempts come to. `spent` is left empty here.
    pub(super) progress: Vec<LiveAsset>,
    /// Per asset: the dispatch that was made last for each task.
    pub(super) current: Vec<BTreeMap<u32, DispatchId>>,
}

/// A row of history.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub(super) dispatch: DispatchId,
    pub(super) result: AttemptResult,
    finished_us: i64,
    /// The leader that wrote it.
    pub(super) written_by: Epoch,
}

/// Everything that is durable.
#[derive(Clone, Debug)]
pub(super) struct SimLedger {
    epoch: Epoch,
    pub(super) runs: BTreeMap<RunId, LedgerRun>,
    /// Those that are not closed.
    pub(super) dispatches: BTreeMap<DispatchId, DispatchRecord>,
    /// All that there have ever been: the rows of the outbox.
    pub(super) outbox: BTreeMap<DispatchId, DispatchRecord>,
    confirmed_through: DispatchId,
    /// Plans of runs whose submission is on its way: the model of definitions pinned by fingerprint.
    pinned: BTreeMap<RunId, RunPlan>,
}

/// The batch was refused.
#[derive(Debug)]
pub(super) struct Deposed;

impl SimLedger {
    pub(super) fn new() -> Self {
        Self {
            epoch: Epoch(0),
            runs: BTreeMap::new(),
            dispatches: BTreeMap::new(),
            outbox: BTreeMap::new(),
            confirmed_through: DispatchId::default(),
            pinned: BTreeMap::new(),
        }
    }

    pub(super) fn new_term(&mut self) -> Epoch {
        self.epoch = Epoch(self.epoch.0 + 1);
        self.epoch
    }

    pub(super) fn is_led_by(&self, epoch: Epoch) -> bool {
        self.epoch == epoch
    }

    pub(super) fn pin(&mut self, plan: &RunPlan) {
        self.pinned.insert(plan.record.id, plan.clone());
    }

    /// One transaction, checked.
    pub(super) fn commit(
        &mut self,
        epoch: Epoch,
        batch: &Batch,
        found: &mut Vec<Violation>,
    ) -> Result<(), Deposed> {
        if epoch != self.epoch {
            return Err(Deposed);
        }
        self.confirmed_through = self.confirmed_through.max(batch.confirmed_through);
        for record in &batch.runs {
            let Some(plan) = self.pinned.remove(&record.id) else { continue };
            let assets = record.assets.len();
            let run = LedgerRun {
                record: record.clone(),
                plan,
                paused: false,
                cancel_requested: false,
                finished: None,
                attempts: vec![BTreeMap::new(); assets],
                progress: vec![LiveAsset::default(); assets],
                current: vec![BTreeMap::new(); assets],
            };
            self.runs.insert(record.id, run);
        }
        // Attempts before dispatches: a batch that gives a task a new dispatch may hold the outcome of the old one.
        for attempt in &batch.attempts {
            match self.runs.get_mut(&attempt.run) {
                Some(run) => run.attempt(attempt, epoch, found),
                None => found.push(violation("ONCE", format!("an attempt of run {}", attempt.run))),
            }
        }
        for record in &batch.dispatches {
            let Some(run) = self.runs.get_mut(&record.run) else { continue };
            for task in record.ordinals.iter() {
                let current = run.current[usize::from(record.asset_index)].entry(task).or_insert(record.id);
                *current = record.id.max(*current);
            }
            self.dispatches.insert(record.id, record.clone());
            self.outbox.insert(record.id, record.clone());
        }
        for id in &batch.closed {
            self.dispatches.remove(id);
        }
        for (id, change) in &batch.changes {
            match self.runs.get_mut(id) {
                Some(run) => run.change(change, found),
                None => found.push(violation("CONSERVE", format!("a change of {id}, never submitted"))),
            }
        }
        if !batch.dispatches.is_empty() {
            self.check_limits(batch, found);
        }
        Ok(())
    }

    /// What a new leader is told.
    pub(super) fn load_live(&self) -> (LiveState, BTreeMap<RunId, RunPlan>) {
        let live = || self.runs.values().filter(|run| run.finished.is_none());
        let plan = |run: &LedgerRun| {
            let plan = RunPlan { record: run.record.clone(), assets: run.plan.assets.clone() };
            (run.record.id, plan)
        };
        let dispatches = self.dispatches.values().cloned().collect();
        let runs = live().map(LedgerRun::live).collect();
        let confirmed_through = self.confirmed_through;
        (LiveState { runs, dispatches, confirmed_through }, live().map(plan).collect())
    }
}

impl LedgerRun {
    fn attempt(&mut self, attempt: &AttemptRecord, epoch: Epoch, found: &mut Vec<Violation>) {
        let (asset, task) = (usize::from(attempt.asset_index), attempt.ordinal);
        let name = || format!("{} task {task} attempt {}", attempt.asset, attempt.attempt);
        if let Some(known) = self.attempts[asset].get(&(task, attempt.attempt)) {
            // Only the repetition of an ambiguous commit may write the same row.
            if known.dispatch != attempt.dispatch || known.result != attempt.result {
                let what = format!("{} was recorded by {} and {}", name(), known.dispatch, attempt.dispatch);
                found.push(violation("ONCE", what));
            }
            return;
        }
        let current = self.current[asset].get(&task);
        if current != Some(&attempt.dispatch) {
            let holder = current.map_or("nothing".to_owned(), DispatchId::to_string);
            let what = format!("{}: written by {}, held by {holder}", name(), attempt.dispatch);
            found.push(violation("FENCE", what));
        }
        let progress = &mut self.progress[asset];
        let terminal = progress.succeeded.contains(task)
            || progress.failed.contains(task)
            || progress.cancelled.contains(task);
        if terminal {
            found.push(violation("ONCE", format!("{}: the task was terminal before", name())));
        }
        match &attempt.result {
            AttemptResult::Succeeded => _ = progress.succeeded.insert(task),
            AttemptResult::Cancelled => _ = progress.cancelled.insert(task),
            AttemptResult::Failed { terminal: true, .. } | AttemptResult::Lost { terminal: true } => {
                progress.failed.insert(task);
            }
            AttemptResult::Failed { .. } | AttemptResult::Lost { .. } => {}
        }
        let row = Attempt {
            dispatch: attempt.dispatch,
            result: attempt.result.clone(),
            finished_us: attempt.finished_us,
            written_by: epoch,
        };
        self.attempts[asset].insert((task, attempt.attempt), row);
        self.check_budget(asset, task, found);
    }

    fn change(&mut self, change: &RunChange, found: &mut Vec<Violation>) {
        match change {
            RunChange::Paused(paused) => self.paused = *paused,
            RunChange::Priority(priority) => self.record.priority = *priority,
            RunChange::MaxParallel(bound) => self.record.max_parallel = *bound,
            RunChange::CancelRequested { .. } => self.cancel_requested = true,
            RunChange::Finished { status, counts, .. } => {
                self.check_final_counts(*status, counts, found);
                self.finished = Some((*status, counts.clone()));
            }
        }
    }

    fn live(&self) -> LiveRun {
        LiveRun {
            record: self.record.clone(),
            paused: self.paused,
            cancel_requested: self.cancel_requested,
            assets: (0..self.progress.len()).map(|asset| self.live_asset(asset)).collect(),
        }
    }

    fn live_asset(&self, asset: usize) -> LiveAsset {
        let mut live = self.progress[asset].clone();
        let mut spent: BTreeMap<u32, Spent> = BTreeMap::new();
        for (&(task, number), attempt) in &self.attempts[asset] {
            let entry = spent.entry(task).or_insert(Spent {
                tasks: PartitionSubset::from_ordinals([task]),
                attempts: 0,
                losses: 0,
                last_was_lost: false,
                last_finished_us: 0,
            });
            entry.attempts = number;
            entry.last_was_lost = matches!(attempt.result, AttemptResult::Lost { .. });
            entry.losses += u16::from(entry.last_was_lost);
            entry.last_finished_us = attempt.finished_us;
        }
        let terminal = live.succeeded.union(&live.failed).union(&live.cancelled);
        live.spent = spent.into_values().filter(|spent| !terminal.intersects(&spent.tasks)).collect();
        live
    }
}

pub(super) fn violation(invariant: &'static str, what: String) -> Violation {
    Violation { invariant, what }
}
