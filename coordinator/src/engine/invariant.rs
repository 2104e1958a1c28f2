//! The named invariants that the engine alone can check. One definition, for unit tests, simulation and the
//! running system (`backstitch verify` asks the coordinator for this check and adds what only the ledger knows).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::retry::LOSSES_MAX;
use super::run::{AssetState, RunState};
use super::{DispatchId, Engine, RunId};

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Name of the invariant: `CONSERVE`, `LIMIT` ...
    pub invariant: &'static str,
    /// Where, and by how much.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}

impl Engine {
    /// Everything that is wrong. Costs a pass over all bitmaps.
    pub fn violations(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        for run in self.runs.values() {
            for state in &run.assets {
                conserve(run, state, &mut found);
                budget(run, state, &mut found);
            }
            live(run, &mut found);
        }
        self.count(&mut found);
        self.limit(&mut found);
        self.bound(&mut found);
        self.order(&mut found);
        found
    }

    /// COUNT: what is in flight per asset is exactly what the dispatches hold.
    fn count(&self, found: &mut Vec<Violation>) {
        let mut dispatches: Vec<_> = self.open_dispatches.iter().collect();
        dispatches.sort_unstable_by_key(|(_, open)| (open.run, open.asset));
        let mut dispatches = dispatches.into_iter().peekable();
        for (id, run) in &self.runs {
            let mut counted = 0;
            for (index, state) in run.assets.iter().enumerate() {
                // Every dispatch takes its tasks out of what is in flight: none may be missing, none may be left.
                let mut rest = state.in_flight.clone();
                let mut twice = false;
                while let Some((_, open)) = dispatches.next_if(|(_, of)| (of.run, of.asset) <= (*id, index)) {
                    if open.run != *id {
                        found.push(violation("COUNT", format!("a dispatch of run {}, not live", open.run)));
                        continue;
                    }
                    counted += 1;
                    twice |= !rest.contains_all(&open.remaining);
                    rest -= &open.remaining;
                }
                if twice || !rest.is_empty() {
                    let what = format!(
                        "run {id}, asset {}: {} tasks in flight, {} in no dispatch, some in two or more: {twice}",
                        state.plan.name,
                        state.in_flight.len(),
                        rest.len()
                    );
                    found.push(violation("COUNT", what));
                }
            }
            if counted != run.open_dispatches {
                let what = format!("run {id}: {counted} dispatches, {} counted", run.open_dispatches);
                found.push(violation("COUNT", what));
            }
        }
        for (id, open) in dispatches {
            found.push(violation("COUNT", format!("dispatch {id} of run {}, not live", open.run)));
        }
    }

    /// LIMIT: pools and queues are counted right, and no pool or run is over its limit. Of a run that was throttled, what
    /// was in flight before may still be.
    fn limit(&self, found: &mut Vec<Violation>) {
        for (id, run) in &self.runs {
            let Some(bound) = run.record.max_parallel else { continue };
            let open = run.open_dispatches;
            if open > bound.max(run.allowed_beyond_bound) {
                let what = format!("run {id}: {open} dispatches in flight, of at most {bound}");
                found.push(violation("LIMIT", what));
            }
        }
        let mut pools: BTreeMap<Arc<str>, (u32, u32)> = BTreeMap::new();
        let mut queues: BTreeMap<Arc<str>, u32> = BTreeMap::new();
        for open in self.open_dispatches.values() {
            let Some(run) = self.runs.get(&open.run) else { continue };
            let plan = &run.assets[open.asset].plan;
            *queues.entry(Arc::clone(&plan.queue)).or_default() += 1;
            if let Some(pool) = &plan.pool {
                let (used, limit) = pools.entry(Arc::clone(&pool.name)).or_default();
                *used += pool.slots;
                *limit = pool.limit.max(*limit);
            }
        }
        for (name, (used, limit)) in &pools {
            if used > limit {
                found.push(violation("LIMIT", format!("pool {name}: {used} of {limit} slots are taken")));
            }
        }
        for (name, counted) in &self.pools {
            let used = pools.get(name).map_or(0, |(used, _)| *used);
            if used != *counted {
                found.push(violation(
                    "LIMIT",
                    format!("pool {name}: {used} slots are taken, {counted} counted"),
                ));
            }
        }
        for (name, counted) in &self.queues {
            let in_flight = queues.get(name).copied().unwrap_or(0);
            if in_flight != *counted {
                let what = format!("queue {name}: {in_flight} dispatches in flight, {counted} counted");
                found.push(violation("LIMIT", what));
            }
        }
    }

    /// ORDER: nothing is ready or in flight before all that it needs inside its run has succeeded.
    fn order(&self, found: &mut Vec<Violation>) {
        for (id, run) in &self.runs {
            for state in run.assets.iter().filter(|state| !state.plan.upstreams.is_empty()) {
                let mut begun = state.ready.clone();
                begun |= &state.in_flight;
                begun |= &state.delayed;
                if begun.is_empty() {
                    continue;
                }
                for edge in &state.plan.upstreams {
                    let upstream = &run.assets[edge.index];
                    let open = upstream.targeted.difference(&upstream.succeeded);
                    if open.is_empty() {
                        continue;
                    }
                    let unfinished = edge.mapper.upstream_of(&begun).subset.intersection(&open);
                    if !unfinished.is_empty() {
                        let what = format!(
                            "run {id}: {} went ahead of {} tasks of {}",
                            state.plan.name,
                            unfinished.len(),
                            upstream.plan.name
                        );
                        found.push(violation("ORDER", what));
                    }
                }
            }
        }
    }

    /// The dispatch that currently holds a task: FENCE compares it with who wrote a row.
    pub fn holder_of(&self, run: RunId, asset: usize, task: u32) -> Option<DispatchId> {
        self.open_dispatches
            .iter()
            .find(|(_, open)| open.run == run && open.asset == asset && open.remaining.contains(task))
            .map(|(id, _)| *id)
    }
}

/// CONSERVE: every targeted task is in exactly one state.
fn conserve(run: &RunState, state: &AssetState, found: &mut Vec<Violation>) {
    let sets = [
        &state.waiting,
        &state.delayed,
        &state.ready,
        &state.in_flight,
        &state.succeeded,
        &state.failed,
        &state.skipped,
        &state.cancelled,
    ];
    // Every state takes its tasks out of those that are targeted: none may be missing, none may be left.
    let mut rest = state.targeted.clone();
    let mut twice = false;
    for set in sets.into_iter().filter(|set| !set.is_empty()) {
        twice |= !rest.contains_all(set);
        rest -= set;
    }
    if twice || !rest.is_empty() {
        let sum: u64 = sets.iter().map(|set| set.len()).sum();
        let what = format!(
            "run {}, asset {}: {} targeted, {} in no state, {sum} in states",
            run.record.id,
            state.plan.name,
            state.targeted.len(),
            rest.len()
        );
        found.push(violation("CONSERVE", what));
    }
}

/// BUDGET: no task has failed or been lost more often than it may.
fn budget(run: &RunState, state: &AssetState, found: &mut Vec<Violation>) {
    if state.attempts.is_empty() {
        return;
    }
    // Whoever has not counted once has spent nothing.
    for task in state.attempts.counted().union(&state.losses.counted()).iter() {
        let (attempts, losses) = (state.attempts.get(task), state.losses.get(task));
        let failures = u32::from(attempts.saturating_sub(losses));
        if failures > state.plan.retry.max_retries + 1 || losses > LOSSES_MAX {
            let what = format!(
                "run {}, asset {}, task {task}: {failures} failures, {losses} losses",
                run.record.id, state.plan.name
            );
            found.push(violation("BUDGET", what));
        }
    }
}

/// LIVE: a run that is not terminal has something that will make it move.
fn live(run: &RunState, found: &mut Vec<Violation>) {
    let moving = run.assets.iter().any(|state| {
        let held = state.held.intersects(&state.waiting);
        held || !state.ready.is_empty() || !state.in_flight.is_empty() || !state.delayed.is_empty()
    });
    if !moving {
        let what = format!(
            "run {}: {} tasks wait for nothing that will happen",
            run.record.id,
            run.counts().waiting
        );
        found.push(violation("LIVE", what));
    }
}

pub(super) fn violation(invariant: &'static str, what: String) -> Violation {
    Violation { invariant, what }
}

#[cfg(test)]
#[path = "invariant_tests.rs"]
mod tests;
