//! Dispatches that workers hold and nobody waits for.
//!
//! A worker that was given up and comes back executes what others were given since; it is told to abandon that. It goes on
//! listing what it is about to end, and every broadcast goes to all workers: so each dispatch is named once in a while, and
//! all that are named at one time share a broadcast.

use std::collections::{BTreeMap, BTreeSet};

use backstitch_proto::id::DispatchId;
use backstitch_proto::message::Control;

use super::{Effect, Engine, Now};

/// Time before a dispatch that is still listed is named again, milliseconds: broadcasts can be lost.
const REPEAT_MS: u64 = 5_000;

/// Dispatches in one broadcast: far below the limit of a message.
const NAMED_MAX: usize = 10_000;

#[derive(Clone, Debug, Default)]
pub(super) struct Unwanted {
    /// To be named with the next effects.
    new: BTreeSet<DispatchId>,
    /// When each was named last.
    named_ms: BTreeMap<DispatchId, u64>,
}

impl Engine {
    /// A worker lists a dispatch that nobody waits for.
    pub(super) fn note_unwanted(&mut self, id: DispatchId) {
        if !self.unwanted.named_ms.contains_key(&id) {
            self.unwanted.new.insert(id);
        }
    }

    /// Tells workers to abandon what nobody waits for.
    pub(super) fn tell_unwanted(&mut self, now: Now) {
        let Unwanted { new, named_ms } = &mut self.unwanted;
        named_ms.retain(|_, named_ms| now.mono_ms < *named_ms + REPEAT_MS);
        let new: Vec<DispatchId> = std::mem::take(new).into_iter().collect();
        named_ms.extend(new.iter().map(|id| (*id, now.mono_ms)));
        for dispatches in new.chunks(NAMED_MAX) {
            self.effects.push(Effect::Broadcast(Control::Abandon { dispatches: dispatches.to_vec() }));
        }
    }
}
