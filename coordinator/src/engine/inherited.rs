//! Messages that the leader before had confirmed, and that no worker has listed yet.
//!
//! Most wait in their queue. But where a worker died together with the leader, nobody is left to tell who had what: no
//! heartbeat ever named it to this leader, so no lease runs out, and a message that was acknowledged does not come again.
//! A queue is first in, first out: when a worker has listed what this leader published for as long as a lease, all that
//! was there before has been taken, and whoever took it has had time to say so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use backstitch_proto::id::DispatchId;

use super::{Engine, Now};

/// Messages of the leader before.
#[derive(Debug, Default)]
pub(super) struct Inherited {
    /// Those that no worker has listed.
    dispatches: BTreeSet<DispatchId>,
    /// When a dispatch of this term was first listed, of each queue; milliseconds of the engine's clock.
    passed_ms: BTreeMap<Arc<str>, u64>,
}

impl Inherited {
    pub(super) fn insert(&mut self, id: DispatchId) {
        self.dispatches.insert(id);
    }

    /// It was listed, closed or published anew.
    pub(super) fn remove(&mut self, id: DispatchId) {
        self.dispatches.remove(&id);
    }
}

impl Engine {
    /// A worker lists this dispatch, which is open.
    pub(super) fn note_listed(&mut self, id: DispatchId, now: Now) {
        if self.inherited.dispatches.is_empty() {
            return;
        }
        self.inherited.remove(id);
        if id.epoch() == self.last_dispatch.epoch()
            && let Some(open) = self.open_dispatches.get(&id)
            && let Some(run) = self.runs.get(&open.run)
        {
            let queue = &run.assets[open.asset].plan.queue;
            self.inherited.passed_ms.entry(Arc::clone(queue)).or_insert(now.mono_ms);
        }
    }

    /// It is an inherited message that is no longer in `queue`, and nobody alive has it.
    pub(super) fn is_passed(&self, id: DispatchId, queue: &str, now: Now) -> bool {
        let passed_ms = self.inherited.passed_ms.get(queue);
        self.inherited.dispatches.contains(&id)
            && passed_ms.is_some_and(|passed| now.mono_ms >= passed + self.options.lease_ms)
    }
}
