//! The clock of leases: it runs only while the leader can hear.
//!
//! A worker that is not heard of may be dead. Or the leader is deaf: its line to the broker is cut, the broker is
//! down or takes no messages, or the leader itself was frozen. Then nobody is heard of, and it would be wrong to give
//! up every task that runs. The leader finds out by listening to itself: it sends an echo through the queue that
//! brings heartbeats, once a second, and silence only counts from echo to echo. An echo comes back behind every
//! heartbeat that was sent before it, but those of workers of the release before, which have another queue.
//!
//! ```text
//!   echoes come back   | | | | |            deaf             | | | |
//!   clock of leases    1 2 3 4 5 ─────────────────────────▶ 5 5 5 5 ... 6      a gap above GAP_MS_MAX counts nothing
//! ```
//!
//! After a gap the clock stands still for a while: what made the leader deaf has thrown the workers out as well, and
//! they need as long to come back as it may have needed itself. However often it happens, it costs no lease.

use super::mutation::Mutation;
use super::open_dispatch::Holder;
use super::{Engine, Now};

/// The longest gap between echoes that counts, milliseconds. Three echoes: less than that is a slow line, not deafness.
const GAP_MS_MAX: u64 = 3_000;

/// How long a worker may take to connect again, milliseconds: its longest delay between two attempts (5 s), one
/// attempt that a booting broker does not answer (10 s), and one interval between heartbeats.
const RETURN_MS: u64 = 20_000;

/// How far the leader has heard.
#[derive(Clone, Copy, Debug)]
pub(super) struct LeaseClock {
    /// When the newest echo that came back was sent, milliseconds of the engine's clock.
    echoed_ms: u64,
    /// The clock of leases, milliseconds.
    clock_ms: u64,
    /// Until then the clock stands still, milliseconds of the engine's clock.
    resumes_ms: u64,
}

impl Engine {
    /// From now on leases run from echo to echo. Without this they run with the engine's clock, which is right where
    /// nothing lies between the leader and its workers.
    ///
    /// `back_for_ms`: the broker was away, and has been back for so many milliseconds. A leader that begins then finds
    /// workers that are still on their way back.
    pub fn listen(&mut self, now: Now, back_for_ms: Option<u64>) {
        let resumes_ms = back_for_ms.map_or(0, |back| (now.mono_ms + RETURN_MS).saturating_sub(back));
        self.lease_clock = Some(LeaseClock { echoed_ms: now.mono_ms, clock_ms: now.mono_ms, resumes_ms });
        self.wait_for_claims(resumes_ms, 0);
    }

    /// Postpones when a message at the broker counts as unclaimed: whoever took it could not be heard for `deaf_ms`, and
    /// may need until `returned_ms` (engine's clock) to connect again.
    fn wait_for_claims(&mut self, returned_ms: u64, deaf_ms: u64) {
        let since_returned_ms = returned_ms.saturating_sub(self.options.unclaimed_ms);
        for open in self.open_dispatches.values_mut() {
            if let Holder::Broker { since_ms } = &mut open.holder {
                *since_ms = since_returned_ms.max(*since_ms + deaf_ms);
            }
        }
    }

    /// An echo came back that was sent at `sent_ms` of the engine's clock.
    pub fn echo(&mut self, sent_ms: u64) {
        let deaf_time_counts = self.is_sabotaged(Mutation::DeafTimeCounts);
        let Some(clock) = &mut self.lease_clock else { return };
        let gap_ms = sent_ms.saturating_sub(clock.echoed_ms);
        let counted_ms = sent_ms.saturating_sub(clock.echoed_ms.max(clock.resumes_ms));
        clock.echoed_ms = clock.echoed_ms.max(sent_ms);
        let deaf_ms = gap_ms.saturating_sub(GAP_MS_MAX);
        if deaf_ms == 0 || deaf_time_counts {
            clock.clock_ms += counted_ms.min(GAP_MS_MAX);
        }
        if deaf_ms == 0 {
            return;
        }
        clock.resumes_ms = sent_ms + RETURN_MS;
        if deaf_time_counts {
            return;
        }
        self.wait_for_claims(sent_ms + RETURN_MS, deaf_ms);
    }

    /// What the clock of leases shows.
    pub(super) fn lease_clock_ms(&self, now: Now) -> u64 {
        self.lease_clock.map_or(now.mono_ms, |clock| clock.clock_ms)
    }

    /// Nobody can be heard.
    pub(super) fn is_deaf(&self, now: Now) -> bool {
        !self.broker_open
            || self.lease_clock.is_some_and(|clock| now.mono_ms.saturating_sub(clock.echoed_ms) > GAP_MS_MAX)
    }

    /// Workers may still be on their way back.
    pub(super) fn is_awaiting_return(&self, now: Now) -> bool {
        self.lease_clock.is_some_and(|clock| now.mono_ms < clock.resumes_ms)
    }

    /// Whatever was said before this time of the engine's clock has come in, if it ever does.
    pub(super) fn has_heard_until(&self, time_ms: u64) -> bool {
        self.lease_clock.is_none_or(|clock| clock.echoed_ms >= time_ms)
    }

    /// When a lease or a claim runs out by itself; an echo that comes back is looked at anyway.
    pub(super) fn next_silence_ms(&self) -> Option<u64> {
        if self.lease_clock.is_some() || !self.broker_open {
            return None;
        }
        let unheard = self.unidentified.front().map(|(since_ms, _)| *since_ms);
        let silent = [self.fleet.longest_silence_since_ms(), unheard].into_iter().flatten().min();
        let lease = silent.map(|since| since + self.options.lease_ms + 1);
        [lease, self.next_unclaimed_ms(), self.next_cancelled_ms()].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use backstitch_proto::id::Epoch;

    use super::*;
    use crate::engine::Options;
    use crate::engine::testing::{LEASE_MS, at, heartbeat};

    /// An engine that has heard of one worker at 0.
    fn engine() -> Engine {
        let mut engine = Engine::new(Epoch(1), Options { lease_ms: LEASE_MS, ..Options::default() });
        engine.listen(at(0), None);
        engine.heartbeat(&heartbeat(&[]), at(0));
        engine
    }

    #[test]
    fn a_worker_that_is_silent_while_the_leader_hears_itself_loses_its_lease() {
        let mut engine = engine();
        for second in 1..=10 {
            engine.echo(second * 1_000);
            engine.seal(at(second * 1_000));
            assert_eq!(engine.workers().count(), 1, "after {second} s");
        }
        engine.echo(11_000);
        engine.seal(at(11_000));
        assert_eq!(engine.workers().count(), 0);
    }

    #[test]
    fn an_hour_of_deafness_takes_no_lease_away() {
        let mut engine = engine();
        engine.seal(at(3_600_000));
        engine.echo(3_600_000);
        engine.seal(at(3_600_000));
        assert_eq!(engine.workers().count(), 1);
        assert_eq!(engine.next_deadline_ms(), None, "nothing to look at until the next echo");
    }

    #[test]
    fn after_deafness_a_worker_has_time_to_come_back_and_then_a_lease() {
        let mut engine = engine();
        let back_ms = 60_000 + RETURN_MS;
        for now_ms in (60_000..=back_ms + LEASE_MS).step_by(1_000) {
            engine.echo(now_ms);
            engine.seal(at(now_ms));
            assert_eq!(engine.workers().count(), 1, "at {now_ms} ms");
        }
        engine.echo(back_ms + LEASE_MS + 1_000);
        engine.seal(at(back_ms + LEASE_MS + 1_000));
        assert_eq!(engine.workers().count(), 0);
    }

    #[test]
    fn a_broker_that_goes_and_comes_takes_no_lease_away_however_often() {
        let mut engine = engine();
        for minute in 1..=60 {
            // Back for five seconds, which is less than a worker may need to connect again.
            for second in 0..5 {
                engine.echo(minute * 60_000 + second * 1_000);
            }
            engine.seal(at(minute * 60_000 + 5_000));
            assert_eq!(engine.workers().count(), 1, "after {minute} minutes");
        }
    }

    #[test]
    fn a_closed_broker_leaves_nothing_that_is_due_again_and_again() {
        let mut engine = Engine::new(Epoch(1), Options::default());
        engine.broker_open(false);
        engine.seal(at(3_600_000));
        assert_eq!(engine.next_deadline_ms(), None);
    }
}
