//! The named invariants, as the simulated ledger can check them without believing the engine.

use std::collections::BTreeMap;

use backstitch_proto::id::{DispatchId, RunId};
use backstitch_proto::message::Dispatch;
use backstitch_proto::partition::PartitionSubset;

use super::faults::Faults;
use super::ledger::{LedgerRun, SimLedger, violation};
use super::project::Behaviour;
use crate::engine::{Engine, LOSSES_MAX, Violation};
use crate::ledger::{AttemptResult, Batch, FinalCounts, RunStatus};

impl SimLedger {
    /// LIMIT: the dispatches that are open after a batch that opened some.
    pub(super) fn check_limits(&self, batch: &Batch, found: &mut Vec<Violation>) {
        let mut pools: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
        let mut open: BTreeMap<RunId, u32> = BTreeMap::new();
        for dispatch in self.dispatches.values() {
            let Some(run) = self.runs.get(&dispatch.run) else { continue };
            *open.entry(dispatch.run).or_default() += 1;
            if let Some(pool) = &run.plan.assets[usize::from(dispatch.asset_index)].pool {
                let (used, limit) = pools.entry(&pool.name).or_default();
                *used += pool.slots;
                *limit = pool.limit;
            }
        }
        for (name, (used, limit)) in pools {
            if used > limit {
                found.push(violation("LIMIT", format!("pool {name}: {used} of {limit} slots are taken")));
            }
        }
        for dispatch in &batch.dispatches {
            let bound = self.runs.get(&dispatch.run).and_then(|run| run.record.max_parallel);
            let open = open.get(&dispatch.run).copied().unwrap_or(0);
            if bound.is_some_and(|bound| open > bound) {
                let what = format!("run {}: {open} dispatches, at most {bound:?}", dispatch.run);
                found.push(violation("LIMIT", what));
            }
        }
    }

    /// ORDER: everything that `task` needs inside its run has succeeded, durably, when it begins.
    pub(super) fn check_order(&self, id: RunId, asset: &str, task: u32, found: &mut Vec<Violation>) {
        let Some(run) = self.runs.get(&id) else {
            found.push(violation("ORDER", format!("{asset} task {task} began before its run was durable")));
            return;
        };
        let Some(plan) = run.plan.assets.iter().find(|plan| &*plan.name == asset) else { return };
        for edge in &plan.upstreams {
            let mut missing = edge.mapper.upstream_of(&PartitionSubset::from_ordinals([task])).subset;
            missing &= &run.record.assets[edge.index].targets;
            missing -= &run.progress[edge.index].succeeded;
            if !missing.is_empty() {
                let what = format!("{asset} task {task} began before {} tasks that it needs", missing.len());
                found.push(violation("ORDER", what));
            }
        }
    }

    /// OUTBOX: what is published is what a row says that was durable before, of tasks that are left of it.
    pub(super) fn check_published(&self, message: &Dispatch, found: &mut Vec<Violation>) {
        let id = message.id;
        let Some(row) = self.outbox.get(&id) else {
            found.push(violation("OUTBOX", format!("{id} is published before its row is durable")));
            return;
        };
        let plan = self.runs.get(&row.run).and_then(|run| run.plan.assets.get(usize::from(row.asset_index)));
        let agrees = message.run == row.run
            && plan.is_some_and(|plan| *plan.name == *message.asset)
            && (message.attempt, message.announce_start, message.created_us)
                == (row.attempt, row.announce_start, row.created_us)
            && !message.tasks.is_empty()
            && message.tasks.iter().all(|task| row.ordinals.contains(task.ordinal));
        if !agrees {
            found
                .push(violation("OUTBOX", format!("{id} is published as {message:?}, its row says {row:?}")));
        }
    }

    /// LIVE: nobody is told to drop a dispatch that is open: it would never be reported, while the lease of its worker
    /// never ends.
    pub(super) fn check_abandoned(&self, dispatches: &[DispatchId], found: &mut Vec<Violation>) {
        for id in dispatches.iter().filter(|id| self.dispatches.contains_key(id)) {
            found.push(violation("LIVE", format!("workers are told to drop {id}, which is open")));
        }
    }

    /// COUNT: an engine all of whose changes are durable counts what the rows say.
    pub(super) fn check_counts(&self, engine: &Engine, found: &mut Vec<Violation>) {
        for (id, run) in self.runs.iter().filter(|(_, run)| run.finished.is_none()) {
            for (index, progress) in run.progress.iter().enumerate() {
                let counts = engine.counts_of(*id, index);
                let counted = counts.map(|counts| (counts.succeeded, counts.failed));
                let rows = (progress.succeeded.len(), progress.failed.len());
                if counted != Some(rows) {
                    let what = format!("run {id}: the engine counts {counted:?}, rows say {rows:?}");
                    found.push(violation("COUNT", what));
                }
            }
        }
    }
}

impl LedgerRun {
    /// BUDGET of a task that has one more attempt.
    pub(super) fn check_budget(&self, asset: usize, task: u32, found: &mut Vec<Violation>) {
        let (failures, losses) = self.spent(asset, task);
        let plan = &self.plan.assets[asset];
        if failures > plan.retry.max_retries + 1 || losses > u32::from(LOSSES_MAX) {
            let what = format!("{} task {task}: {failures} failures, {losses} losses", plan.name);
            found.push(violation("BUDGET", what));
        }
    }

    /// Failures and losses of a task.
    pub(super) fn spent(&self, asset: usize, task: u32) -> (u32, u32) {
        self.spent_before(asset, task, u16::MAX)
    }

    /// Failures and losses of a task before attempt number `next`.
    pub(super) fn spent_before(&self, asset: usize, task: u32, next: u16) -> (u32, u32) {
        let of_task = self.attempts[asset].range((task, 0)..(task, next));
        of_task.fold((0, 0), |(failures, losses), (_, attempt)| match attempt.result {
            AttemptResult::Failed { .. } => (failures + 1, losses),
            AttemptResult::Lost { .. } => (failures, losses + 1),
            AttemptResult::Succeeded | AttemptResult::Cancelled => (failures, losses),
        })
    }

    /// COUNT and CONSERVE of a finished run: its counters are what its rows say, and hold every task.
    pub(super) fn check_final_counts(
        &self,
        status: RunStatus,
        counts: &[FinalCounts],
        found: &mut Vec<Violation>,
    ) {
        let run = self.record.id;
        for ((planned, counts), progress) in self.record.assets.iter().zip(counts).zip(&self.progress) {
            let FinalCounts { succeeded, failed, skipped, cancelled } = *counts;
            let rows = (progress.succeeded.len(), progress.failed.len());
            if rows != (u64::from(succeeded), u64::from(failed)) {
                let what = format!("run {run}, {}: counted {counts:?}, rows say {rows:?}", planned.asset);
                found.push(violation("COUNT", what));
            }
            let sum: u64 = [succeeded, failed, skipped, cancelled].map(u64::from).iter().sum();
            if sum != planned.targets.len() {
                let what = format!("run {run}, {}: ended with {sum} tasks", planned.asset);
                found.push(violation("CONSERVE", what));
            }
            if status == RunStatus::Succeeded && u64::from(succeeded) != planned.targets.len() {
                found.push(violation(
                    "COUNT",
                    format!("run {run} succeeded without all of {}", planned.asset),
                ));
            }
        }
    }
}

impl LedgerRun {
    /// LIVE: a run that nobody cancelled ends as its tasks are. What cannot fail has succeeded, unless its workers
    /// died under it too often; without any faults everything has.
    pub(super) fn check_verdicts(&self, faults: &Faults, found: &mut Vec<Violation>) {
        if self.finished.as_ref().is_none_or(|(status, _)| *status == RunStatus::Cancelled) {
            return;
        }
        let (id, assets) = (self.record.id, &self.record.assets);
        for (index, planned) in assets.iter().enumerate() {
            if !self.plan.assets[index].upstreams.is_empty() {
                continue;
            }
            let missing = planned.targets.difference(&self.progress[index].succeeded);
            for task in missing.iter() {
                let good = Behaviour::of(faults, id, &planned.asset, task);
                let good = matches!(good, Behaviour::Succeeds | Behaviour::Hangs);
                if good && self.spent(index, task).1 < u32::from(LOSSES_MAX) {
                    let what =
                        format!("run {id}: {} task {task} cannot fail, and did not succeed", planned.asset);
                    found.push(violation("LIVE", what));
                }
            }
        }
    }
}
