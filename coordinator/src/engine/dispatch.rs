//! Which tasks go out next, and how many together.
//!
//! - Strict priority classes among runs; within a class the run that received the fewest dispatches goes first.
//!   A dispatch is about one unit of work whatever the size of its tasks, so this shares time, as long as tasks are shorter
//!   than that; longer ones are shared by count. It is stride scheduling with equal strides: a run that was idle joins at
//!   the pass of its class, so it is owed nothing.
//! - Within a run the asset of the highest priority goes first, then the one furthest downstream: what was begun
//!   is finished before more is begun. Where one with a whole dispatch ready can go, one with less waits for more, but
//!   not for long: else each step of a chain of tiny tasks would cut the dispatches of the step before into smaller ones.
//! - The window of a queue is a small multiple of its live slots. Without workers nothing is published. A
//!   higher priority class has one of its own.
//! - A pool, and a run's own bound, count dispatches in flight: a dispatch executes its tasks one after the other,
//!   so the number of running tasks is never larger, at any instant.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use backstitch_proto::id::{DispatchId, RunId};
use backstitch_proto::partition::PartitionSubset;

use super::candidates::Candidates;
use super::mutation::Mutation;
use super::open_dispatch::{Holder, OpenDispatch};
use super::retry::PROBATION_LOSSES;
use super::run::{AssetState, RunState};
use super::{Effect, Engine, Now};
use crate::ledger::DispatchRecord;

/// Dispatches per slot when tasks are long: one runs, one waits beside it, so that a slot never idles for the
/// length of a round trip.
const WINDOW_PER_SLOT: u32 = 2;

/// Dispatches per slot when tasks are tiny and cannot be packed: enough to cover a round trip.
const WINDOW_PER_SLOT_MAX: u32 = 512;

/// A round trip through ledger, broker, worker and back under load, microseconds; rough, and only used to size windows.
/// Most of it is commits: one before a message is published, one that records what it led to.
const ROUND_TRIP_US: f64 = 50_000.0;

/// What a dispatch costs a worker beside its tasks, and what a task costs beside the time that it reports, microseconds;
/// rough, and at the low end. Without them a task of no length would have a window without end.
const DISPATCH_COST_US: f64 = 50.0;
const TASK_COST_US: f64 = 4.0;

/// Dispatches that one call decides at most, so that one transaction stays bounded.
const DECISIONS_MAX: usize = 4_096;

/// How long an asset may wait for more of its tasks while others go, since its last dispatch: some round trips.
const LINGER_MS: u64 = 100;

/// How many dispatches' worth of ready tasks are looked through for those that fit together.
const LOOKAHEAD_DISPATCHES: u64 = 4;

/// Where a run stands in the fair queue: class, pass, age.
type Rank = (Reverse<i32>, u64, RunId);

impl Engine {
    /// Fills the windows.
    pub(super) fn dispatch(&mut self, now: Now) {
        if !self.broker_open {
            return;
        }
        let mut classes = self.open_by_class();
        self.class_pass.retain(|class, _| classes.contains_key(class));
        let mut queue: BTreeMap<Rank, Option<Candidates>> =
            self.runs.values().filter(|run| self.may_send(run)).map(|run| (rank(run), None)).collect();
        let mut decided = 0;
        while decided < DECISIONS_MAX
            && let Some(((Reverse(class), _, id), candidates)) = queue.pop_first()
        {
            let Some(run) = self.runs.get(&id) else { continue };
            let of_class = classes.range(class..).map(|(_, open)| open).sum();
            let mut candidates = candidates.unwrap_or_else(|| self.candidates(run, of_class, now));
            // Windows only fill up here: a run that has nothing to send, or no room for it, is not looked at again.
            let Some(asset) = self.choose(run, &mut candidates, of_class) else { continue };
            self.dispatch_next(id, asset, &mut candidates, now);
            decided += 1;
            *classes.entry(class).or_default() += 1;
            if let Some(run) = self.runs.get(&id).filter(|run| self.may_send(run)) {
                self.give_back(run, &mut candidates, asset, now);
                queue.insert(rank(run), Some(candidates));
            }
        }
    }

    /// Where a run that joins a class starts: level with those that wait, not ahead of them.
    pub(super) fn pass_of_class(&self, class: i32) -> u64 {
        self.class_pass.get(&class).copied().unwrap_or(0)
    }

    /// Dispatches in flight per priority class.
    fn open_by_class(&self) -> BTreeMap<i32, u32> {
        let mut classes = BTreeMap::new();
        for run in self.runs.values() {
            *classes.entry(run.record.priority).or_default() += run.open_dispatches;
        }
        classes
    }

    /// Neither the user nor the run's own bound forbids it.
    fn may_send(&self, run: &RunState) -> bool {
        let bound = run.record.max_parallel.unwrap_or(u32::MAX);
        let paused = run.paused && !self.is_sabotaged(Mutation::PauseIgnored);
        !paused && !run.cancelling && run.open_dispatches < bound
    }

    /// A whole dispatch is ready, or enough time has passed since the last one.
    pub(super) fn is_due(&self, state: &AssetState, now: Now) -> bool {
        state.ready.len() >= self.in_whole_calls(state, self.tasks_per_dispatch(state))
            || state.dispatched_ms.is_none_or(|dispatched| now.mono_ms >= dispatched + LINGER_MS)
    }

    fn tasks_per_dispatch(&self, state: &AssetState) -> u32 {
        let slots = self.fleet.slots(&state.plan.queue);
        // Before the first measurement one execution per dispatch.
        self.pace.get(&state.plan.name).map_or(1, |pace| pace.tasks_per_dispatch(slots, &self.options))
    }

    pub(super) fn has_ready(&self, state: &AssetState) -> bool {
        let withheld = self.withheld(state);
        // A part of what is ready.
        withheld.len() < state.ready.len()
    }

    /// The ready tasks that must wait for suspects in flight. A task on probation runs beside no other suspect, on
    /// whatever worker: if its worker dies, it is the cause. A suspect with fewer losses may be the true cause: its first
    /// start may have killed its worker before anybody heard of it, so that it counts one less than those beside it.
    fn withheld(&self, state: &AssetState) -> PartitionSubset {
        let beside = self.suspects.beside(&state.plan.queue, &self.fleet);
        if beside.suspects == 0 {
            return PartitionSubset::default();
        }
        let on_probation = state.losses.at_least(PROBATION_LOSSES);
        let mut withheld =
            on_probation.map(|on_probation| state.ready.intersection(on_probation)).unwrap_or_default();
        if beside.on_probation > 0 {
            withheld |= &state.ready.intersection(&state.suspects);
        }
        withheld
    }

    /// `of_class`: dispatches in flight of runs of the same class or a higher one, on whatever queue.
    ///
    /// What lower classes have in flight does not keep a run out of the window, or it would wait until the ledger has
    /// the outcome of one of theirs. So the broker holds a window for each class at most.
    pub(super) fn window_has_room(&self, state: &AssetState, of_class: u32) -> bool {
        let slots = self.fleet.slots(&state.plan.queue);
        let in_flight = self.queues.get(&state.plan.queue).copied().unwrap_or(0);
        let window = slots.saturating_mul(self.window_per_slot(state, slots));
        if in_flight.min(of_class) >= window && !self.is_sabotaged(Mutation::NoWindow) {
            return false;
        }
        state.plan.pool.as_ref().is_none_or(|pool| {
            let used = self.pools.get(&pool.name).copied().unwrap_or(0);
            used + pool.slots <= pool.limit
        })
    }

    fn window_per_slot(&self, state: &AssetState, slots: u32) -> u32 {
        let Some(pace) = self.pace.get(&state.plan.name) else { return WINDOW_PER_SLOT };
        let tasks = pace.tasks_per_dispatch(slots, &self.options);
        let covering = ROUND_TRIP_US / (DISPATCH_COST_US + (TASK_COST_US + pace.mean_us) * f64::from(tasks));
        let flowing = self.options.in_flight_tasks_max / slots.max(1) / tasks;
        (covering as u32).min(flowing).clamp(WINDOW_PER_SLOT, WINDOW_PER_SLOT_MAX)
    }

    /// Tasks of an asset that the next dispatch carries at most: near the end of the run, of which so many tasks are
    /// `ready` for the same workers, a share for every slot.
    fn tasks_max(&self, state: &AssetState, ready: u64) -> u64 {
        let share = ready.div_ceil(u64::from(self.fleet.slots(&state.plan.queue).max(1)));
        // The smaller of the two is a u32.
        let tasks = share.min(u64::from(self.tasks_per_dispatch(state))).max(1) as u32;
        self.in_whole_calls(state, tasks)
    }

    /// `tasks`, rounded up so that each call of the asset gets as many as it takes.
    fn in_whole_calls(&self, state: &AssetState, tasks: u32) -> u64 {
        let batch_size = state.plan.invocation.batch_size.clamp(1, self.options.dispatch_max_tasks);
        u64::from(tasks.next_multiple_of(batch_size).min(self.options.dispatch_max_tasks))
    }

    /// Packs ready tasks into a dispatch and sends it on its way.
    fn dispatch_next(&mut self, run_id: RunId, asset: usize, candidates: &mut Candidates, now: Now) {
        let Some(state) = self.runs.get(&run_id).map(|run| &run.assets[asset]) else { return };
        let withheld = self.withheld(state);
        let tasks_max = self.tasks_max(state, candidates.ready(&state.plan.queue));
        let Some(run) = self.runs.get_mut(&run_id) else { return };
        let state = &mut run.assets[asset];
        state.dispatched_ms = Some(now.mono_ms);
        state.ready -= &withheld;
        let tasks = pack(state, tasks_max);
        state.ready |= &withheld;
        state.in_flight |= &tasks;
        candidates.take(&state.plan.queue, tasks.len());
        let Some(first) = tasks.first() else { return };
        let announce_start = state.suspects.contains(first);
        let attempt = state.attempts.get(first) + 1;
        let on_probation = state.losses.get(first) >= PROBATION_LOSSES;
        let class_pass = self.class_pass.entry(run.record.priority).or_default();
        // Whoever could not send for a while has no claim to what others got meanwhile.
        *class_pass = run.pass.max(*class_pass);
        run.pass = *class_pass + 1;
        run.dispatched += 1;
        let id = self.last_dispatch.next();
        self.last_dispatch = id;
        self.unconfirmed.insert(id);
        self.batch.dispatches.push(DispatchRecord {
            id,
            run: run_id,
            // A project has at most 10,000 assets.
            asset_index: asset as u16,
            attempt,
            announce_start,
            created_us: now.wall_us,
            ordinals: tasks.clone(),
        });
        self.effects.push(Effect::Publish(id));
        let open = OpenDispatch {
            run: run_id,
            asset,
            attempt,
            announce_start,
            on_probation,
            remaining: tasks,
            started: false,
            has_outcome: false,
            holder: Holder::Outbox,
            created_us: now.wall_us,
        };
        self.open(id, open);
    }

    /// A dispatch is open from now on: it takes its place in the window, its pool and its run.
    pub(super) fn open(&mut self, id: DispatchId, dispatch: OpenDispatch) {
        if let Some(run) = self.runs.get_mut(&dispatch.run) {
            run.open_dispatches += 1;
            let plan = &run.assets[dispatch.asset].plan;
            self.suspects.add(&plan.queue, &dispatch);
            *self.queues.entry(Arc::clone(&plan.queue)).or_default() += 1;
            if let Some(pool) = &plan.pool {
                *self.pools.entry(Arc::clone(&pool.name)).or_default() += pool.slots;
            }
        }
        self.open_dispatches.insert(id, dispatch);
    }

    /// Closes a dispatch: its window, pool and run get their room back, and its id is fenced from now on.
    pub(super) fn close(&mut self, id: DispatchId) -> Option<OpenDispatch> {
        let open = self.open_dispatches.remove(&id)?;
        // Nothing outside of tests: see mutation.rs.
        self.sabotage_note_closed(id, &open);
        self.unconfirmed.remove(&id);
        self.inherited.remove(id);
        self.batch.closed.push(id);
        if let Some(run) = self.runs.get_mut(&open.run) {
            run.open_dispatches -= 1;
            run.allowed_beyond_bound = run.allowed_beyond_bound.min(run.open_dispatches);
            let plan = &run.assets[open.asset].plan;
            self.suspects.remove(&plan.queue, &open);
            if let Some(in_flight) = self.queues.get_mut(&plan.queue) {
                *in_flight -= 1;
            }
            if let Some(pool) = &plan.pool
                && let Some(used) = self.pools.get_mut(&pool.name)
            {
                *used -= pool.slots;
            }
        }
        Some(open)
    }
}

fn rank(run: &RunState) -> Rank {
    (Reverse(run.record.priority), run.pass, run.record.id)
}

/// Takes the ready tasks that go out together, `tasks_max` at most: all of the same attempt, in order of their ordinals.
fn pack(state: &mut AssetState, tasks_max: u64) -> PartitionSubset {
    let Some(first) = state.ready.first() else { return PartitionSubset::default() };
    if state.suspects.contains(first) {
        return state.ready.take_first(1);
    }
    if state.attempts.is_empty() && state.suspects.is_empty() {
        return state.ready.take_first(tasks_max);
    }
    // What is far behind is not looked at: there may be millions. The first is always among those that are chosen.
    let mut front = state.ready.take_first(tasks_max.saturating_mul(LOOKAHEAD_DISPATCHES));
    let unsuspected = front.difference(&state.suspects);
    let chosen = state.attempts.same_as(&unsuspected, first).take_first(tasks_max);
    front -= &chosen;
    state.ready |= &front;
    chosen
}

#[cfg(test)]
#[path = "dispatch_tests.rs"]
mod tests;
