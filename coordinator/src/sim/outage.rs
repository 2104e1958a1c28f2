//! A broker that is away for a while.
//!
//! When a broker goes, everything that nobody has acknowledged is delivered again once it is back, to whomever. It comes
//! back at one moment; workers find it again each at its own, and go on executing meanwhile.

use super::happened::Mishap;
use super::world::World;

/// The longest outage, milliseconds: four leases.
const OUTAGE_MS: u64 = 40_000;

/// The longest time that a worker takes to connect again, milliseconds, as the engine allows for it.
const RETURN_MS: u64 = 18_000;

/// An outage that a leader cannot tell from a slow line, milliseconds, and the longest time to connect again after one:
/// attempts were refused at once, and the delay between them grows with the outage.
const BLINK_MS: u64 = 3_000;
const RETURN_FROM_BLINK_MS: u64 = 5_000;

impl World {
    /// The broker takes nothing and gives nothing.
    pub(super) fn is_closed(&self) -> bool {
        self.closed_until_ms.is_some()
    }

    /// How long ago the broker came back, if it was ever away.
    pub(super) fn back_for_ms(&self) -> Option<u64> {
        self.back_ms.filter(|_| !self.is_closed()).map(|back_ms| self.now.mono_ms - back_ms)
    }

    /// Nothing gets from this worker to the broker or back.
    pub(super) fn is_cut_off(&self, at: usize) -> bool {
        self.is_closed() || (!self.calm && self.workers[at].cut_until_ms > self.now.mono_ms)
    }

    pub(super) fn close_broker(&mut self) {
        if self.is_closed() {
            return;
        }
        let away_ms = 1_000 + self.rng.below(OUTAGE_MS);
        let until_ms = self.now.mono_ms + away_ms;
        let return_ms = if away_ms > BLINK_MS { RETURN_MS } else { RETURN_FROM_BLINK_MS };
        self.closed_until_ms = Some(until_ms);
        self.count(Mishap::Outage);
        self.note(|| format!("the broker goes away until {until_ms} ms"));
        for at in 0..self.workers.len() {
            self.workers[at].cut_until_ms = until_ms + self.rng.below(return_ms);
            for delivery in self.workers[at].lose_deliveries() {
                self.broker.tasks.put(until_ms, delivery);
            }
        }
        let Self { leader, stale, broker, witness, .. } = self;
        for leader in std::iter::once(leader).chain(stale) {
            leader.engine_mut().broker_open(false);
            for report in leader.unacknowledged() {
                broker.reports.put(until_ms, report);
            }
            // It never learns whether these arrived, so it sends them again.
            for unconfirmed in &mut leader.unconfirmed {
                unconfirmed.arrived = false;
                witness.copy(unconfirmed.dispatch.id);
            }
        }
    }

    pub(super) fn open_broker_in_time(&mut self) {
        if self.closed_until_ms.is_some_and(|until_ms| self.calm || until_ms <= self.now.mono_ms) {
            self.closed_until_ms = None;
            self.back_ms = Some(self.now.mono_ms);
            self.note(|| "the broker is back".to_owned());
            for leader in std::iter::once(&mut self.leader).chain(&mut self.stale) {
                leader.engine_mut().broker_open(true);
            }
        }
    }
}
