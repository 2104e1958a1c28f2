//! How long to wait before the next attempt: doubling, bounded, and spread, so that a fleet of workers does not come
//! back to a restarted broker in one wave.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// The delays of one series of failures. It never ends: a broker may be away for a night.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The delay before the next attempt: between half and all of the doubled one.
    pub(super) fn next_delay(&mut self) -> Duration {
        let delay = FIRST.saturating_mul(2_u32.saturating_pow(self.failures)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        delay.mul_f64(rand::random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_a_bound_and_never_end() {
        let mut backoff = Backoff::default();
        for failures in 0..100 {
            let full = FIRST.saturating_mul(1 << failures.min(20)).min(LONGEST);
            let delay = backoff.next_delay();
            assert!(full / 2 <= delay && delay <= full, "{failures}: {delay:?}");
        }
    }
}
