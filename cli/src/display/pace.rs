//! How fast something goes, and when it will be done.
//!
//! The rate is that of the last seconds: retries, slow assets and workers that come and go change it, and an
//! average since the beginning would promise what no longer holds.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The rate is measured over this long.
const WINDOW: Duration = Duration::from_secs(15);

/// Samples closer to each other than this say nothing new.
const GRAIN: Duration = Duration::from_millis(250);

/// Before this much time has passed a rate is a guess.
const FIRST: Duration = Duration::from_secs(1);

/// What was done when.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    samples: VecDeque<(Instant, u64)>,
}

impl Pace {
    /// `done` tasks have ended by `now`.
    pub(crate) fn note(&mut self, now: Instant, done: u64) {
        if self.samples.len() > 1
            && let Some(at) = self.samples.len().checked_sub(2).and_then(|before| self.samples.get(before))
            && now.duration_since(at.0) < GRAIN
        {
            self.samples.pop_back();
        }
        self.samples.push_back((now, done));
        while self.samples.get(1).is_some_and(|next| now.duration_since(next.0) > WINDOW) {
            self.samples.pop_front();
        }
    }

    /// Tasks per second; none while it is too early to tell.
    pub(crate) fn per_second(&self) -> Option<f64> {
        let ((first, before), (last, after)) = (self.samples.front()?, self.samples.back()?);
        let time = last.duration_since(*first);
        (time >= FIRST).then(|| after.saturating_sub(*before) as f64 / time.as_secs_f64())
    }

    /// Time that `left` tasks will take; none while it is too early to tell, or nothing moves.
    pub(crate) fn time_for(&self, left: u64) -> Option<Duration> {
        let rate = self.per_second().filter(|rate| *rate > 0.0)?;
        Duration::try_from_secs_f64(left as f64 / rate).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_follows_the_last_seconds_and_not_the_whole_run() {
        let start = Instant::now();
        let mut pace = Pace::default();
        for second in 0..=100 {
            pace.note(start + Duration::from_secs(second), second);
        }
        for second in 1..=20 {
            pace.note(start + Duration::from_secs(100 + second), 100 + second * 10);
        }
        assert_eq!(pace.per_second(), Some(10.0));
        assert_eq!(pace.time_for(50), Some(Duration::from_secs(5)));
        assert!(pace.samples.len() < 20);
    }

    #[test]
    fn nothing_is_promised_too_early_or_while_nothing_moves() {
        let start = Instant::now();
        let mut pace = Pace::default();
        pace.note(start, 0);
        pace.note(start + Duration::from_millis(400), 3);
        assert_eq!(pace.per_second(), None);
        pace.note(start + Duration::from_secs(2), 0);
        assert_eq!(pace.time_for(5), None);
    }
}
