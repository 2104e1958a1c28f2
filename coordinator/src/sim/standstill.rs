//! A leader that stands still: its process is stopped, swapped out, or waits for a disk.
//!
//! Meanwhile everybody else goes on: workers execute and report, the broker keeps what nobody reads, users wait. When the
//! leader goes on, its clocks have moved and everything that came is there at once. If it stood still for longer than the
//! lease of leaders, a standby may have taken over; then it goes on where it was, beside its successor.

use super::happened::Mishap;
use super::leader::Standstill;
use super::world::World;

/// The longest standstill, milliseconds: more than three leases of workers.
const STANDSTILL_MS: u64 = 35_000;

/// The shortest, milliseconds: longer than the gap between echoes that a leader takes for a slow line.
const STANDSTILL_MS_MIN: u64 = 5_000;

/// A leader that was silent for so long may be replaced, milliseconds, as with the ledger in Postgres.
const LEADER_LEASE_MS: u64 = 4_000;

impl World {
    /// The leader does nothing.
    pub(super) fn leader_stands_still(&self) -> bool {
        self.leader.standstill.is_some()
    }

    pub(super) fn freeze_leader(&mut self) {
        if self.leader_stands_still() {
            return;
        }
        let since_ms = self.now.mono_ms;
        let until_ms = since_ms + STANDSTILL_MS_MIN + self.rng.below(STANDSTILL_MS - STANDSTILL_MS_MIN);
        self.leader.standstill = Some(Standstill { since_ms, until_ms });
        self.count(Mishap::LeaderFreeze);
        let epoch = self.leader.epoch;
        self.note(|| format!("leader {epoch} stands still until {until_ms} ms"));
    }

    /// It has been silent for so long that a standby counts it as dead.
    pub(super) fn may_be_replaced(&self) -> bool {
        self.leader.standstill.is_some_and(|still| self.now.mono_ms >= still.since_ms + LEADER_LEASE_MS)
    }

    /// Leaders that stood still go on when it is time.
    pub(super) fn end_standstills_in_time(&mut self) {
        let (calm, now_ms) = (self.calm, self.now.mono_ms);
        let is_over = |still: &mut Standstill| calm || still.until_ms <= now_ms;
        if self.leader.standstill.take_if(is_over).is_some() {
            let epoch = self.leader.epoch;
            self.note(|| format!("leader {epoch} goes on"));
            if self.rng.permille(500) {
                // It may read what came first, or do what it was about to do.
                self.take_heartbeats();
            }
        }
        if let Some(stale) = &mut self.stale
            && stale.standstill.take_if(is_over).is_some()
        {
            let epoch = stale.epoch;
            self.count(Mishap::LateReturn);
            self.note(|| format!("leader {epoch} goes on, and does not know that its term is over"));
        }
    }
}
