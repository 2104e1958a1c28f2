//! The state of one run: a handful of bitmaps per asset, and the moves between them.
//!
//! ```text
//!            upstream succeeded            dispatched             outcome
//!  waiting ─────────────────────▶ ready ────────────▶ in flight ─────────▶ succeeded
//!     │                             ▲                     │ │
//!     │ upstream failed             │   given back        │ └─────────────▶ failed
//!     ▼                             ├─────────────────────┤   no retries left
//!  skipped                          │ due                 │
//!                                   └────── delayed ◀─────┘   failed, will be retried
//!
//!  cancelled ◀── from waiting, ready and delayed at once; from in flight when the worker lets go
//! ```
//!
//! Every move takes a task out of exactly one set and puts it into exactly one other, which is why CONSERVE holds.
//! `held` is a mark on waiting tasks, not a state: their upstream partitions do not exist before an instant.
//! `delayed` counts as waiting towards the outside: it waits for time instead of for an upstream.

use backstitch_proto::partition::PartitionSubset;
use serde::{Deserialize, Serialize};

use super::level::Levels;
use super::plan::{AssetPlan, RunPlan};
use crate::ledger::{FinalCounts, PlannedAsset, RunRecord, RunStatus};

/// A run that is not terminal.
#[derive(Clone, Debug)]
pub(super) struct RunState {
    pub(super) record: RunRecord,
    pub(super) assets: Vec<AssetState>,
    pub(super) paused: bool,
    pub(super) cancelling: bool,
    /// When workers were last told of the cancellation, milliseconds of the engine's clock.
    pub(super) cancel_told_ms: Option<u64>,
    /// Position in the fair queue of its priority class: one more with each dispatch. A run that joins begins where the class is.
    pub(super) pass: u64,
    /// Dispatches made by this leader.
    pub(super) dispatched: u64,
    /// Dispatches in flight.
    pub(super) open_dispatches: u32,
    /// How many there may be although `max_parallel` is lower: those that were in flight when it was lowered, or when
    /// this leader began, and are still.
    pub(super) allowed_beyond_bound: u32,
}

/// The tasks of one asset of a run.
#[derive(Clone, Debug)]
pub(super) struct AssetState {
    pub(super) plan: AssetPlan,
    /// Positions of the assets of the run that need this one. May hold its own.
    pub(super) downstreams: Vec<usize>,
    pub(super) targeted: PartitionSubset,
    pub(super) waiting: PartitionSubset,
    /// Those of the waiting that wait for an instant too, whatever their upstream tasks do.
    pub(super) held: PartitionSubset,
    pub(super) delayed: PartitionSubset,
    pub(super) ready: PartitionSubset,
    pub(super) in_flight: PartitionSubset,
    pub(super) succeeded: PartitionSubset,
    pub(super) failed: PartitionSubset,
    pub(super) skipped: PartitionSubset,
    pub(super) cancelled: PartitionSubset,
    /// Ready or in flight, and lost with a worker before: dispatched alone, with an announced start.
    pub(super) suspects: PartitionSubset,
    /// Attempts that ended.
    pub(super) attempts: Levels,
    /// Attempts of these that were lost with their worker.
    pub(super) losses: Levels,
    /// When its last dispatch was made, milliseconds of the engine's clock.
    pub(super) dispatched_ms: Option<u64>,
}

/// How many tasks are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Counts {
    /// All of them.
    pub targeted: u64,
    /// Waiting for upstream tasks, for upstream partitions to exist, or for the delay before a retry.
    pub waiting: u64,
    /// Waiting for a worker.
    pub ready: u64,
    /// Sent to the broker or held by a worker.
    pub in_flight: u64,
    /// Materialized.
    pub succeeded: u64,
    /// Failed for good.
    pub failed: u64,
    /// Never started, because something upstream failed.
    pub skipped: u64,
    /// Cancelled.
    pub cancelled: u64,
}

impl Counts {
    /// Sum of two.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            targeted: self.targeted + other.targeted,
            waiting: self.waiting + other.waiting,
            ready: self.ready + other.ready,
            in_flight: self.in_flight + other.in_flight,
            succeeded: self.succeeded + other.succeeded,
            failed: self.failed + other.failed,
            skipped: self.skipped + other.skipped,
            cancelled: self.cancelled + other.cancelled,
        }
    }

    /// Tasks that are terminal.
    pub fn terminal(self) -> u64 {
        self.succeeded + self.failed + self.skipped + self.cancelled
    }
}

impl AssetState {
    fn new(plan: AssetPlan, targets: PartitionSubset) -> Self {
        let held = plan.held.iter().fold(PartitionSubset::default(), |all, held| all.union(&held.tasks));
        Self {
            plan,
            downstreams: Vec::new(),
            held,
            waiting: targets.clone(),
            targeted: targets,
            delayed: PartitionSubset::default(),
            ready: PartitionSubset::default(),
            in_flight: PartitionSubset::default(),
            succeeded: PartitionSubset::default(),
            failed: PartitionSubset::default(),
            skipped: PartitionSubset::default(),
            cancelled: PartitionSubset::default(),
            suspects: PartitionSubset::default(),
            attempts: Levels::default(),
            losses: Levels::default(),
            dispatched_ms: None,
        }
    }

    pub(super) fn counts(&self) -> Counts {
        Counts {
            targeted: self.targeted.len(),
            waiting: self.waiting.len() + self.delayed.len(),
            ready: self.ready.len(),
            in_flight: self.in_flight.len(),
            succeeded: self.succeeded.len(),
            failed: self.failed.len(),
            skipped: self.skipped.len(),
            cancelled: self.cancelled.len(),
        }
    }

    /// From in flight to ready: the dispatch is gone, and the tasks have spent nothing.
    pub(super) fn give_back(&mut self, tasks: &PartitionSubset) {
        self.in_flight -= tasks;
        self.ready |= tasks;
    }

    /// Everything that is not in flight and not terminal to cancelled.
    fn cancel_idle(&mut self) {
        for set in [&mut self.waiting, &mut self.delayed, &mut self.ready] {
            self.cancelled |= &*set;
            *set = PartitionSubset::default();
        }
        self.suspects &= &self.in_flight;
    }
}

impl RunState {
    /// The state before anything happened: every targeted task waits.
    pub(super) fn new(plan: RunPlan) -> Self {
        let RunPlan { mut record, assets } = plan;
        // The targets live in the states from here on; a second copy would double what a large run costs.
        let planned = std::mem::take(&mut record.assets);
        let mut assets: Vec<AssetState> = assets
            .into_iter()
            .zip(planned)
            .map(|(plan, PlannedAsset { targets, .. })| AssetState::new(plan, targets))
            .collect();
        for index in 0..assets.len() {
            for edge in 0..assets[index].plan.upstreams.len() {
                let upstream = assets[index].plan.upstreams[edge].index;
                assets[upstream].downstreams.push(index);
            }
        }
        Self {
            record,
            assets,
            paused: false,
            cancelling: false,
            cancel_told_ms: None,
            pass: 0,
            dispatched: 0,
            open_dispatches: 0,
            allowed_beyond_bound: 0,
        }
    }

    /// Sorts the waiting tasks into those that can start, those that never will, and the rest.
    pub(super) fn settle(&mut self) {
        for index in 0..self.assets.len() {
            let doomed = self.assets[index].failed.union(&self.assets[index].skipped);
            self.skip_downstream(index, doomed);
        }
        for index in 0..self.assets.len() {
            let candidates = self.assets[index].waiting.clone();
            self.release_unblocked(index, &candidates);
        }
    }

    /// `tasks` of `asset` have succeeded: tasks that waited for nothing else become ready.
    pub(super) fn release_downstream(&mut self, asset: usize, tasks: &PartitionSubset) {
        for at in 0..self.assets[asset].downstreams.len() {
            let downstream = self.assets[asset].downstreams[at];
            let state = &self.assets[downstream];
            if state.waiting.is_empty() {
                continue;
            }
            let mut candidates = PartitionSubset::default();
            for edge in state.plan.upstreams.iter().filter(|edge| edge.index == asset) {
                candidates |= &edge.mapper.downstream_of(tasks);
            }
            candidates &= &state.waiting;
            self.release_unblocked(downstream, &candidates);
        }
    }

    /// Moves those of the waiting `candidates` to ready that need nothing unfinished inside the run.
    fn release_unblocked(&mut self, asset: usize, candidates: &PartitionSubset) {
        if candidates.is_empty() {
            return;
        }
        let mut free = candidates.difference(&self.assets[asset].held);
        for edge in &self.assets[asset].plan.upstreams {
            let upstream = &self.assets[edge.index];
            if edge.mapper.needs_everything() && upstream.succeeded.len() < upstream.targeted.len() {
                return;
            }
            // Only what the candidates need is looked at, so the cost follows the candidates, not the run.
            let mut unfinished = edge.mapper.upstream_of(candidates).subset;
            unfinished &= &upstream.targeted;
            unfinished -= &upstream.succeeded;
            if !unfinished.is_empty() {
                free -= &edge.mapper.downstream_of(&unfinished);
            }
        }
        let state = &mut self.assets[asset];
        state.waiting -= &free;
        state.ready |= &free;
    }

    /// What `tasks` of `asset` were held for has come.
    pub(super) fn release_held(&mut self, asset: usize, tasks: &PartitionSubset) {
        let state = &mut self.assets[asset];
        state.held -= tasks;
        let candidates = state.waiting.intersection(tasks);
        self.release_unblocked(asset, &candidates);
    }

    /// `tasks` of `asset` will never succeed: what waits for them is skipped, and what waits for that.
    pub(super) fn skip_downstream(&mut self, asset: usize, tasks: PartitionSubset) {
        let mut doomed = vec![(asset, tasks)];
        while let Some((asset, tasks)) = doomed.pop() {
            if tasks.is_empty() {
                continue;
            }
            for at in 0..self.assets[asset].downstreams.len() {
                let downstream = self.assets[asset].downstreams[at];
                let state = &mut self.assets[downstream];
                let mut skipped = PartitionSubset::default();
                for edge in state.plan.upstreams.iter().filter(|edge| edge.index == asset) {
                    skipped |= &edge.mapper.downstream_of(&tasks);
                }
                skipped &= &state.waiting;
                state.waiting -= &skipped;
                state.skipped |= &skipped;
                doomed.push((downstream, skipped));
            }
        }
    }

    /// Cancels every task that is not in flight.
    pub(super) fn cancel_idle(&mut self) {
        for state in &mut self.assets {
            state.cancel_idle();
        }
    }

    pub(super) fn counts(&self) -> Counts {
        self.assets.iter().map(AssetState::counts).fold(Counts::default(), Counts::plus)
    }

    /// No task is waiting, ready or in flight.
    pub(super) fn is_done(&self) -> bool {
        self.assets.iter().all(|state| {
            state.waiting.is_empty()
                && state.delayed.is_empty()
                && state.ready.is_empty()
                && state.in_flight.is_empty()
        })
    }

    pub(super) fn status(&self) -> RunStatus {
        let ended = |counts: Counts| {
            if self.cancelling {
                RunStatus::Cancelled
            } else if counts.failed + counts.skipped > 0 {
                RunStatus::Failed
            } else {
                RunStatus::Succeeded
            }
        };
        if self.is_done() {
            ended(self.counts())
        } else if self.cancelling {
            RunStatus::Cancelling
        } else if self.paused {
            RunStatus::Paused
        } else {
            RunStatus::Running
        }
    }

    pub(super) fn final_counts(&self) -> Vec<FinalCounts> {
        // Ordinals are u32, so no count of one asset is larger.
        let count = |set: &PartitionSubset| set.len() as u32;
        let per_asset = |state: &AssetState| FinalCounts {
            succeeded: count(&state.succeeded),
            failed: count(&state.failed),
            skipped: count(&state.skipped),
            cancelled: count(&state.cancelled),
        };
        self.assets.iter().map(per_asset).collect()
    }
}
