//! Dispatches that a living worker has stopped listing, and of which no report came.
//!
//! A worker lists a dispatch until its last report is confirmed by the broker. So the report is on its way, however
//! long it takes: the ledger may be away, and reports wait at the broker meanwhile. But a broker can lose what it has
//! confirmed (a purged queue, a lost disk), and a report that cannot be read is dead-lettered. Then nobody would ever
//! speak of the dispatch again, and its worker lives, so that no lease runs out.
//!
//! Time alone cannot tell the two apart. What tells is an intake without work: once no report has been waiting for
//! many echoes, there is none on its way, and the dispatch is lost. If that is wrong after all, the fence drops the
//! late report.

use backstitch_proto::id::{DispatchId, WorkerId};
use backstitch_proto::message::Held;

use super::lease::Fate;
use super::mutation::Mutation;
use super::open_dispatch::Holder;
use super::{Engine, Now};

/// Echoes that have to find the intake idle, after which nothing can be on its way; they come once a second.
const IDLE_ECHOES: u64 = 30;

/// A dispatch whose worker no longer lists it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unlisted {
    dispatch: DispatchId,
    worker: WorkerId,
    /// Echoes that had found the intake idle when this was noticed.
    noticed: u64,
}

impl Engine {
    /// A worker that listed `before` lists `now_held` instead; both are in the order of ids.
    pub(super) fn unlist(&mut self, worker: WorkerId, before: &[Held], now_held: &[Held]) {
        let gone = before
            .iter()
            .filter(|held| now_held.binary_search_by_key(&held.dispatch, |listed| listed.dispatch).is_err());
        for Held { dispatch, .. } in gone {
            if self.open_dispatches.get(dispatch).is_some_and(|open| open.holder == Holder::Worker(worker)) {
                let noticed = self.idle_echoes;
                self.unlisted.push_back(Unlisted { dispatch: *dispatch, worker, noticed });
            }
        }
        // Most are closed soon, and an intake that is busy for days looks at none of them.
        if self.unlisted.len() > 2 * self.open_dispatches.len() {
            self.unlisted.retain(|unlisted| self.open_dispatches.contains_key(&unlisted.dispatch));
        }
    }

    /// An echo came back while no report was waiting to be taken.
    pub fn intake_is_idle(&mut self, now: Now) {
        if self.is_sabotaged(Mutation::NoUnlisted) {
            return;
        }
        self.idle_ms = Some(now.mono_ms);
        self.idle_echoes += 1;
        let idle_echoes = self.idle_echoes;
        let over = |unlisted: &mut Unlisted| unlisted.noticed + IDLE_ECHOES <= idle_echoes;
        while let Some(Unlisted { dispatch, worker, .. }) = self.unlisted.pop_front_if(over) {
            let is_held =
                self.open_dispatches.get(&dispatch).is_some_and(|open| open.holder == Holder::Worker(worker));
            if is_held && !self.fleet.lists(worker, dispatch) {
                self.give_up(dispatch, Fate::Lost, now);
            }
        }
    }
}
