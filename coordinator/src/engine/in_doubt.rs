//! What a new leader does not know: whether the last one had published a dispatch.
//!
//! Confirms are remembered as a watermark that is a second old ([`super::watermark`]), so a new leader finds dispatches
//! above it that may be on their way, in somebody's hands, or nowhere. To publish them all at once would be harmless for
//! the ledger and wrong for pools: the copy would run beside the one that runs already. Workers answer the announcement
//! of the new leader at once with what they hold, so it waits for these answers, hears them, and publishes what nobody
//! has.
//!
//! What this leaves: a message that still waits at the broker is there twice, and both copies run if two workers get
//! to them at the same time.

use backstitch_proto::id::{DispatchId, RunId};
use backstitch_proto::message::Control;

use super::open_dispatch::Holder;
use super::{Effect, Engine, Now};

/// How long a new leader waits for answers, milliseconds. A worker answers within a tenth of it.
const DOUBT_MS: u64 = 1_000;

/// Dispatches of the last leader that are perhaps not published.
#[derive(Clone, Debug, Default)]
pub(super) struct InDoubt {
    dispatches: Vec<DispatchId>,
    /// Known once the announcement is on its way.
    until_ms: Option<u64>,
}

impl Engine {
    /// The last leader may have published this one.
    pub(super) fn mark_in_doubt(&mut self, id: DispatchId) {
        self.in_doubt.dispatches.push(id);
    }

    /// The broker was away, so an announcement that was made may be lost, or its answers: it is made again, and the time
    /// for answers begins anew.
    pub(super) fn restart_in_doubt(&mut self) {
        if self.in_doubt.until_ms.take().is_some() && !self.in_doubt.dispatches.is_empty() {
            self.effects.push(Effect::Broadcast(Control::Announce { epoch: self.last_dispatch.epoch() }));
        }
    }

    /// Whether somebody is still to execute what this run has dispatched.
    pub(super) fn is_wanted(&self, run: RunId) -> bool {
        self.runs.get(&run).is_some_and(|run| !run.cancelling)
    }

    /// Publishes what nobody has listed when it is time, and when what was said until then has been heard.
    pub(super) fn resolve_in_doubt(&mut self, now: Now) {
        if self.in_doubt.dispatches.is_empty() {
            return;
        }
        let until_ms = *self.in_doubt.until_ms.get_or_insert(now.mono_ms + DOUBT_MS);
        let may_answer = now.mono_ms < until_ms || self.is_awaiting_return(now) || self.is_deaf(now);
        if may_answer || !self.has_heard_until(until_ms) {
            return;
        }
        for id in std::mem::take(&mut self.in_doubt.dispatches) {
            if let Some(open) = self.open_dispatches.get(&id)
                && open.holder == Holder::Outbox
                && self.is_wanted(open.run)
            {
                self.effects.push(Effect::Publish(id));
            }
        }
    }

    /// When the waiting ends by itself; where the leader listens, an echo that comes back is looked at anyway.
    pub(super) fn next_in_doubt_ms(&self) -> Option<u64> {
        let waits = !self.in_doubt.dispatches.is_empty() && self.lease_clock.is_none() && self.broker_open;
        self.in_doubt.until_ms.filter(|_| waits)
    }
}
