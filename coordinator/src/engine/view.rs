//! What the engine shows: the same numbers to API, CLI and metrics.

use backstitch_proto::id::{DispatchId, RunId};
use backstitch_proto::message::{Dispatch, TaskSpec, Window};
use backstitch_proto::partition::{PartitionSubset, Partitions};

use super::Engine;
use super::fleet::WorkerState;
use super::run::{AssetState, Counts, RunState};
use crate::ledger::{RunRecord, RunStatus};

/// Counters since this leader took office.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Tasks that succeeded.
    pub succeeded: u64,
    /// Tasks that failed for good.
    pub failed: u64,
    /// Outcomes and returns that the fence rejected.
    pub stale_outcomes: u64,
    /// Attempts that were lost with their worker.
    pub lost_attempts: u64,
    /// Workers whose lease ran out before they had drained.
    pub lost_workers: u64,
    /// Messages that were published again because nobody claimed them.
    pub republished: u64,
}

/// A live run.
#[derive(Clone, Debug)]
pub struct RunSnapshot {
    /// The submission, without its targets.
    pub record: RunRecord,
    /// Where it stands.
    pub status: RunStatus,
    /// Per asset, in the order of the plan.
    pub assets: Vec<AssetSnapshot>,
}

/// One asset of a live run.
#[derive(Clone, Debug)]
pub struct AssetSnapshot {
    /// Name of the asset.
    pub asset: String,
    /// Tasks per state.
    pub counts: Counts,
}

impl Engine {
    /// A live run.
    pub fn run(&self, id: RunId) -> Option<RunSnapshot> {
        self.runs.get(&id).map(snapshot)
    }

    /// All live runs, oldest first.
    pub fn runs(&self) -> impl Iterator<Item = RunSnapshot> + '_ {
        self.runs.values().map(snapshot)
    }

    /// The ids of all live runs, oldest first.
    pub fn run_ids(&self) -> impl Iterator<Item = RunId> + '_ {
        self.runs.keys().copied()
    }

    /// Tasks per state of one asset of a live run, by its position in the plan.
    pub fn counts_of(&self, run: RunId, asset: usize) -> Option<Counts> {
        self.runs.get(&run)?.assets.get(asset).map(AssetState::counts)
    }

    /// Live runs, and their tasks per state.
    pub fn totals(&self) -> (u64, Counts) {
        let counts = self.runs.values().map(RunState::counts).fold(Counts::default(), Counts::plus);
        (self.runs.len() as u64, counts)
    }

    /// The id of the run that was submitted under this key: a live one, or one that ended a moment ago.
    pub fn run_by_client_key(&self, key: &str) -> Option<RunId> {
        let live = self.runs.values().find(|run| run.record.client_key.as_deref() == Some(key));
        let ended = || self.ended_keys.iter().find(|(ended, _)| ended == key);
        live.map(|run| run.record.id).or_else(|| ended().map(|(_, run)| *run))
    }

    /// Partitions of an asset that live runs are working on or will: targeted and not terminal.
    pub fn in_progress(&self, asset: &str) -> impl Iterator<Item = (Partitions, PartitionSubset)> + '_ {
        let asset = asset.to_owned();
        self.runs.values().flat_map(|run| &run.assets).filter(move |state| *state.plan.name == *asset).map(
            |state| {
                let open = state.waiting.union(&state.delayed).union(&state.ready).union(&state.in_flight);
                (state.plan.partitions.clone(), open)
            },
        )
    }

    /// Workers within their lease.
    pub fn workers(&self) -> impl Iterator<Item = &WorkerState> + '_ {
        self.fleet.iter()
    }

    /// Counters since this leader took office.
    pub fn statistics(&self) -> Statistics {
        self.statistics
    }

    /// Dispatches that are not closed.
    pub fn dispatches_in_flight(&self) -> usize {
        self.open_dispatches.len()
    }

    /// The worker queue and the message of a dispatch; `None` once it is closed.
    ///
    /// Messages are made when they are published, so that what waits in the outbox costs a bitmap and no text.
    pub fn message(&self, id: DispatchId) -> Option<(&str, Dispatch)> {
        let open = self.open_dispatches.get(&id)?;
        let plan = &self.runs.get(&open.run)?.assets.get(open.asset)?.plan;
        let task = |ordinal| TaskSpec {
            ordinal,
            key: plan.partitions.key(ordinal).unwrap_or_default(),
            window: plan.partitions.window(ordinal).map(|window| Window {
                start_us: window.start.timestamp_micros(),
                end_us: window.end.timestamp_micros(),
            }),
        };
        let dispatch = Dispatch {
            id,
            run: open.run,
            asset: plan.name.to_string(),
            attempt: open.attempt,
            announce_start: open.announce_start,
            created_us: open.created_us,
            invocation: plan.invocation.clone(),
            tasks: open.remaining.iter().map(task).collect(),
        };
        Some((&plan.queue, dispatch))
    }

    /// When the dispatch was made, microseconds since the Unix epoch; `None` once it has an outcome or is closed.
    pub fn unreported_since_us(&self, id: DispatchId) -> Option<i64> {
        self.open_dispatches.get(&id).filter(|open| !open.has_outcome).map(|open| open.created_us)
    }

    /// The `traceparent` of the run that a dispatch belongs to, and how many dispatches this leader has made for it.
    pub fn root_of(&self, id: DispatchId) -> (Option<&str>, u64) {
        let run = self.open_dispatches.get(&id).and_then(|open| self.runs.get(&open.run));
        run.map_or((None, 0), |run| (run.record.traceparent.as_deref(), run.dispatched))
    }
}

fn snapshot(run: &RunState) -> RunSnapshot {
    let asset =
        |state: &AssetState| AssetSnapshot { asset: state.plan.name.to_string(), counts: state.counts() };
    RunSnapshot {
        record: run.record.clone(),
        status: run.status(),
        assets: run.assets.iter().map(asset).collect(),
    }
}
