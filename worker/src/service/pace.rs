//! How long dispatches keep a slot, and how many more deliveries that is worth.
//!
//! A few deliveries that wait beside those that run are enough while a dispatch takes longer than a round trip to the
//! broker. Where it takes microseconds the slots would wait for deliveries most of the time: what was executed stays
//! unacknowledged until its report is confirmed, and fills the prefetch. Then, and only then, more are taken, for as
//! long as dispatches stay that short: they keep nothing from an idle worker for longer than a moment.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// From the end of an execution until its delivery is acknowledged, with a busy broker.
const ROUND_TRIP: Duration = Duration::from_millis(50);

/// Below this mean more deliveries are taken; they stop above twice as much, so that it does not change back and forth.
const SHORT: Duration = Duration::from_millis(5);

/// Deliveries beyond the ordinary ones at most.
const EXTRA_MAX: u64 = 1_024;

/// Weight of the newest dispatch in the mean, as one part of this many.
const WEIGHT: u64 = 16;

/// The mean time that a dispatch keeps its slot, in nanoseconds; 0 before the first one.
#[derive(Debug, Default)]
pub(crate) struct Pace(AtomicU64);

impl Pace {
    /// A dispatch has kept its slot for so long.
    pub(crate) fn observe(&self, took: Duration) {
        // 500 years fit. Two that end together may lose one of them: it is a mean.
        let took = (took.as_nanos() as u64).max(1);
        let mean = self.0.load(Ordering::Relaxed);
        let newer = if mean == 0 { took } else { mean - mean / WEIGHT + took / WEIGHT };
        self.0.store(newer.max(1), Ordering::Relaxed);
    }

    /// How many more deliveries to take with so many slots; none if dispatches are not short.
    pub(crate) fn extra(&self, slots: u32) -> Option<u16> {
        let mean = self.0.load(Ordering::Relaxed);
        let short = mean > 0 && mean < SHORT.as_nanos() as u64;
        let worth = || (ROUND_TRIP.as_nanos() as u64 / mean).saturating_mul(u64::from(slots)).min(EXTRA_MAX);
        // At most EXTRA_MAX.
        short.then(|| worth() as u16)
    }

    /// Dispatches are no longer short.
    pub(crate) fn is_long(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 2 * SHORT.as_nanos() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_short_dispatches_are_worth_more_deliveries_and_the_shorter_the_more() {
        let after = |took: Duration| {
            let pace = Pace::default();
            pace.observe(took);
            pace
        };
        assert_eq!(Pace::default().extra(2), None);
        assert_eq!(after(Duration::from_secs(1)).extra(2), None);
        assert_eq!(after(Duration::from_millis(2)).extra(2), Some(50));
        assert_eq!(after(Duration::from_micros(3)).extra(2), Some(EXTRA_MAX as u16));
        assert!(after(Duration::from_secs(1)).is_long() && !after(Duration::from_millis(7)).is_long());
    }

    #[test]
    fn the_mean_follows_a_change_within_some_dozens_of_dispatches() {
        let pace = Pace::default();
        pace.observe(Duration::from_micros(10));
        (0..64).for_each(|_| pace.observe(Duration::from_millis(100)));
        assert!(pace.is_long());
        (0..128).for_each(|_| pace.observe(Duration::from_micros(10)));
        assert!(pace.extra(1).is_some());
    }
}
