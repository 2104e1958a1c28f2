//! What really happened to tasks on their workers, as the world saw it: the engine only knows what it was told.

use std::collections::{BTreeMap, BTreeSet};

use backstitch_proto::id::DispatchId;

/// How one execution of a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Succeeded,
    Failed { retryable: bool },
    Cancelled,
}

/// Every execution of a history.
#[derive(Debug, Default)]
pub(super) struct Witness {
    /// Tasks that came to their turn on a worker: their start was announced, they began, or all before them had ended.
    /// A worker that dies then may have died of them.
    turns: BTreeSet<(DispatchId, u32)>,
    /// When each execution ended (milliseconds of the world's clock), and how. Copies of a message make several.
    ends: BTreeMap<(DispatchId, u32), Vec<(u64, End)>>,
    /// The worker that began each dispatch first, by its number.
    begun_by: BTreeMap<DispatchId, u64>,
    /// Dispatches of which a fault may have left two messages that both look like the first.
    copied: BTreeSet<DispatchId>,
    /// When each was delivered last, milliseconds of the world's clock.
    delivered_ms: BTreeMap<DispatchId, u64>,
}

impl Witness {
    pub(super) fn turn(&mut self, dispatch: DispatchId, task: u32) {
        self.turns.insert((dispatch, task));
    }

    /// Gives the worker that had begun it before.
    pub(super) fn begins(&mut self, dispatch: DispatchId, task: u32, worker: u64) -> u64 {
        self.turn(dispatch, task);
        *self.begun_by.entry(dispatch).or_insert(worker)
    }

    pub(super) fn ends(&mut self, dispatch: DispatchId, task: u32, at_ms: u64, end: End) {
        self.ends.entry((dispatch, task)).or_default().push((at_ms, end));
    }

    pub(super) fn delivered(&mut self, dispatch: DispatchId, at_ms: u64) {
        self.delivered_ms.insert(dispatch, at_ms);
    }

    pub(super) fn is_delivered_at(&self, dispatch: DispatchId, at_ms: u64) -> bool {
        self.delivered_ms.get(&dispatch) == Some(&at_ms)
    }

    pub(super) fn copy(&mut self, dispatch: DispatchId) {
        self.copied.insert(dispatch);
    }

    pub(super) fn is_copied(&self, dispatch: DispatchId) -> bool {
        self.copied.contains(&dispatch)
    }

    pub(super) fn came_to_its_turn(&self, dispatch: DispatchId, task: u32) -> bool {
        self.turns.contains(&(dispatch, task))
    }

    /// When an execution first ended like this.
    pub(super) fn first_end_ms(&self, dispatch: DispatchId, task: u32, end: End) -> Option<u64> {
        let ends = self.ends.get(&(dispatch, task))?;
        ends.iter().filter(|(_, seen)| *seen == end).map(|(at_ms, _)| *at_ms).min()
    }
}
