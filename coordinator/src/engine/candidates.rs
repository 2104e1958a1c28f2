//! Which assets of a run could send something, best first.
//!
//! While dispatches are decided, tasks only stop being ready, and windows and pools only fill up. So the assets of a run,
//! of which there may be ten thousand, are looked at once for all of its dispatches, and an asset that is out is out.

use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use super::run::{AssetState, RunState};
use super::{Engine, Now};

/// Where an asset stands among those of its run: its priority, whether it is due, how far downstream it is.
type Standing = (i32, bool, usize);

/// What a run could send.
#[derive(Debug)]
pub(super) struct Candidates {
    assets: BinaryHeap<Standing>,
    /// Ready tasks of the run, per worker queue.
    ready: BTreeMap<Arc<str>, u64>,
}

impl Candidates {
    /// Ready tasks of the run for the workers of `queue`.
    pub(super) fn ready(&self, queue: &str) -> u64 {
        self.ready.get(queue).copied().unwrap_or(0)
    }

    /// So many of them are ready no more.
    pub(super) fn take(&mut self, queue: &str, tasks: u64) {
        if let Some(ready) = self.ready.get_mut(queue) {
            *ready -= tasks;
        }
    }

    fn add_ready(&mut self, state: &AssetState) {
        let (queue, tasks) = (&state.plan.queue, state.ready.len());
        match self.ready.get_mut(queue) {
            Some(ready) => *ready += tasks,
            None => _ = self.ready.insert(Arc::clone(queue), tasks),
        }
    }
}

impl Engine {
    /// Every asset of `run` that has something ready, and room for it. `of_class` as for
    /// [`window_has_room`](Self::window_has_room).
    pub(super) fn candidates(&self, run: &RunState, of_class: u32, now: Now) -> Candidates {
        let with_ready = || run.assets.iter().enumerate().filter(|(_, state)| !state.ready.is_empty());
        let with_room = with_ready().filter(|(_, state)| self.window_has_room(state, of_class));
        let assets = with_room.map(|(index, state)| self.standing(state, index, now)).collect();
        let mut candidates = Candidates { assets, ready: BTreeMap::new() };
        // Most of many live runs have no room.
        if !candidates.assets.is_empty() {
            with_ready().for_each(|(_, state)| candidates.add_ready(state));
        }
        candidates
    }

    /// The best candidate that has something to send, and room for it. It is none any more, unless it is
    /// [given back](Self::give_back).
    pub(super) fn choose(&self, run: &RunState, candidates: &mut Candidates, of_class: u32) -> Option<usize> {
        let fits = |index: usize| {
            let state = &run.assets[index];
            self.has_ready(state) && self.window_has_room(state, of_class)
        };
        std::iter::from_fn(|| candidates.assets.pop()).map(|(_, _, index)| index).find(|index| fits(*index))
    }

    /// An asset that was chosen may be chosen again.
    pub(super) fn give_back(&self, run: &RunState, candidates: &mut Candidates, index: usize, now: Now) {
        candidates.assets.push(self.standing(&run.assets[index], index, now));
    }

    fn standing(&self, state: &AssetState, index: usize, now: Now) -> Standing {
        (state.plan.priority, self.is_due(state, now), index)
    }
}
