//! The workers that are alive, as their heartbeats tell it.

use std::collections::{BTreeMap, BTreeSet};

use backstitch_proto::id::{DispatchId, WorkerId};
use backstitch_proto::message::{Heartbeat, Held};

/// A worker that was heard of within its lease.
#[derive(Clone, Debug)]
pub struct WorkerState {
    /// Its newest heartbeat.
    pub heartbeat: Heartbeat,
    /// When that came, milliseconds of the clock of leases.
    pub seen_ms: u64,
    /// When the worker was first heard of, microseconds since the Unix epoch.
    pub since_us: i64,
}

/// All workers that are alive.
#[derive(Clone, Debug, Default)]
pub(super) struct Fleet {
    workers: BTreeMap<WorkerId, WorkerState>,
    /// Slots per queue; derived, rebuilt when a worker comes, goes or changes.
    slots: BTreeMap<String, u32>,
}

impl Fleet {
    /// Takes a heartbeat. Gives what the one before it listed; `None` if this one is older than that.
    pub(super) fn hear(&mut self, heartbeat: &Heartbeat, now_ms: u64, wall_us: i64) -> Option<Vec<Held>> {
        let known = self.workers.get(&heartbeat.worker);
        if known.is_some_and(|known| known.heartbeat.sequence >= heartbeat.sequence) {
            return None;
        }
        let since_us = known.map_or(wall_us, |known| known.since_us);
        let changed = known.is_none_or(|known| {
            known.heartbeat.slots != heartbeat.slots
                || known.heartbeat.queues != heartbeat.queues
                || known.heartbeat.draining != heartbeat.draining
        });
        let state = WorkerState { heartbeat: heartbeat.clone(), seen_ms: now_ms, since_us };
        let before = self.workers.insert(heartbeat.worker, state);
        if changed {
            self.count_slots();
        }
        Some(before.map(|before| before.heartbeat.held).unwrap_or_default())
    }

    /// Whether the newest heartbeat of the worker names the dispatch.
    pub(super) fn lists(&self, worker: WorkerId, dispatch: DispatchId) -> bool {
        let state = self.workers.get(&worker);
        state.is_some_and(|state| state.heartbeat.held.iter().any(|held| held.dispatch == dispatch))
    }

    /// Removes and returns the workers that have been silent since before `deadline_ms`, with what they said last.
    pub(super) fn take_silent(&mut self, deadline_ms: u64) -> Vec<(WorkerId, Heartbeat)> {
        let silent: Vec<_> = self
            .workers
            .extract_if(.., |_, state| state.seen_ms < deadline_ms)
            .map(|(id, state)| (id, state.heartbeat))
            .collect();
        if !silent.is_empty() {
            self.count_slots();
        }
        silent
    }

    /// When the worker that has been silent the longest was last heard of.
    pub(super) fn longest_silence_since_ms(&self) -> Option<u64> {
        self.workers.values().map(|state| state.seen_ms).min()
    }

    pub(super) fn contains(&self, worker: WorkerId) -> bool {
        self.workers.contains_key(&worker)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &WorkerState> {
        self.workers.values()
    }

    /// Slots of the workers that take tasks from `queue`.
    pub(super) fn slots(&self, queue: &str) -> u32 {
        self.slots.get(queue).copied().unwrap_or(0)
    }

    /// Whether some worker may hold dispatches of both queues.
    pub(super) fn shares_worker(&self, one: &str, other: &str) -> bool {
        self.workers.values().any(|state| {
            let takes = |queue: &str| state.heartbeat.queues.iter().any(|name| name == queue);
            takes(one) && takes(other)
        })
    }

    fn count_slots(&mut self) {
        self.slots.clear();
        for state in self.workers.values().filter(|state| !state.heartbeat.draining) {
            // A name that is there twice is one queue.
            for queue in state.heartbeat.queues.iter().collect::<BTreeSet<_>>() {
                *self.slots.entry(queue.clone()).or_default() += state.heartbeat.slots;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::heartbeat;

    #[test]
    fn a_worker_that_names_a_queue_twice_brings_its_slots_once() {
        let mut fleet = Fleet::default();
        let twice = Heartbeat { queues: ["a", "b", "a"].map(str::to_owned).into(), ..heartbeat(&[]) };
        fleet.hear(&twice, 0, 0);
        assert_eq!((fleet.slots("a"), fleet.slots("b"), fleet.slots("c")), (2, 2, 0));
    }
}
