//! LIMIT and BOUND, counted where they matter: executions on workers, and dispatches against slots that there are.

use std::collections::BTreeMap;

use backstitch_proto::id::{DispatchId, RunId};
use backstitch_proto::message::Dispatch;

use super::ledger::violation;
use super::worker::SimWorker;
use super::world::World;
use crate::ledger::Batch;

/// Dispatches per slot that may be in flight for runs of one class and those above it, when tasks are long.
const LONG_PER_SLOT: u64 = 2;

/// The same when tasks take no time, or seem to, because a clock jumped.
const TINY_PER_SLOT: u64 = 512;

impl World {
    /// A task begins on a worker: no pool and no run may execute more than its limit.
    pub(super) fn check_executions(&mut self, begun: &Dispatch, first: u64, worker: u64) {
        let is_doubled = first != worker && self.workers.iter().any(|living| living.number == first);
        if is_doubled && self.counts_once(begun) {
            let what = format!("workers {first} and {worker} both execute {}", begun.id);
            self.violations.push(violation("LIMIT", what));
        }
        let mut pools: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
        let mut runs: BTreeMap<RunId, u32> = BTreeMap::new();
        for dispatch in self.executed().values() {
            let Some(run) = self.ledger.runs.get(&dispatch.run) else { continue };
            *runs.entry(dispatch.run).or_default() += 1;
            let plan = run.plan.assets.iter().find(|plan| *plan.name == *dispatch.asset);
            if let Some(pool) = plan.and_then(|plan| plan.pool.as_ref()) {
                let (used, limit) = pools.entry(&pool.name).or_default();
                *used += pool.slots;
                *limit = pool.limit;
            }
        }
        let found = &mut self.violations;
        for (name, (used, limit)) in pools {
            if used > limit {
                found.push(violation("LIMIT", format!("pool {name}: tasks run on {used} of {limit} slots")));
            }
        }
        for (id, running) in runs {
            let bound =
                self.wishes.get(&id).filter(|wish| !wish.was_throttled).and_then(|wish| wish.max_parallel);
            if bound.is_some_and(|bound| running > bound) {
                found.push(violation(
                    "LIMIT",
                    format!("run {id}: {running} dispatches execute, at most {bound:?}"),
                ));
            }
        }
    }

    /// The dispatches that workers execute now and that count: those that are open; and those that are closed too,
    /// where nothing could have closed them under their worker.
    fn executed(&self) -> BTreeMap<DispatchId, &Dispatch> {
        let running = self.workers.iter().flat_map(SimWorker::running).map(|(dispatch, _)| dispatch);
        let counts = |dispatch: &&Dispatch| {
            self.ledger.dispatches.contains_key(&dispatch.id) || self.counts_once(dispatch)
        };
        running.filter(counts).map(|dispatch| (dispatch.id, dispatch)).collect()
    }

    /// Nothing that happens in this world excuses a second execution of a dispatch, or one that goes on when it is
    /// closed: nobody was silent who lives, no message is there twice, and nobody cancelled the run.
    fn counts_once(&self, dispatch: &Dispatch) -> bool {
        self.faults.executes_once(self.listens)
            && !self.witness.is_copied(dispatch.id)
            && !self.cancels.contains(&dispatch.run)
    }

    /// BOUND: what is in flight follows the slots. A worker that is gone still counts: its leader may not know yet.
    pub(super) fn check_window(&mut self, batch: &Batch) {
        let per_slot = if self.clock_jumped || self.task_us == 0 { TINY_PER_SLOT } else { LONG_PER_SLOT };
        let window = self.slots_ever * per_slot;
        let class = |run| self.wishes.get(run).map(|wish| wish.priority);
        for dispatch in &batch.dispatches {
            let of_class = class(&dispatch.run);
            let open =
                self.ledger.dispatches.values().filter(|open| class(&open.run) >= of_class).count() as u64;
            if open > window {
                let what = format!("{open} dispatches in flight, for {} slots", self.slots_ever);
                self.violations.push(violation("BOUND", what));
                return;
            }
        }
    }
}
