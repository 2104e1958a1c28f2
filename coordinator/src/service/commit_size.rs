//! How many attempts one commit holds.
//!
//! Everything that a user asks for waits for the commit under way and then for its own, so a commit must be short; and
//! each costs the database a flush whatever is in it, so it must not be small either. What fits into the time that
//! people do not notice depends on the database, so it is measured: the bound follows the rows per second of the commits
//! before. Reports that find no room stay with the broker, dispatches stay open, and the windows fill up: that is how a
//! slow ledger slows the workers down.

use std::time::Duration;

/// Time that one commit should take. It spans several flushes, so longer commits gain little; an urgent request waits for
/// two of them.
const COMMIT_TARGET: Duration = Duration::from_millis(25);

/// Commits' worth of tasks that are kept in flight: those under way, on their way back, executing and on their way out.
/// More would wait for the ledger, and everything that is urgent behind them.
const COMMITS_IN_FLIGHT: f64 = 6.0;

/// Attempts of one commit at least: so many cost little more than the flush.
const ATTEMPTS_MIN: f64 = 250.0;

/// Attempts of one commit at most. Past some ten thousand a larger transaction is no faster, only longer.
const ATTEMPTS_MAX: f64 = 20_000.0;

/// Bytes of reports that one commit holds, about: what tasks print can be far more than what they did, and a transaction
/// that takes longer than its timeout would be tried again for ever.
const BYTES_MAX: usize = 16 << 20;

/// Commits of fewer attempts are not measured: the flush dominates their time.
const MEASURED_ATTEMPTS_MIN: usize = 100;

/// Weight of the newest commit: the bound follows a change within some ten commits.
const WEIGHT: f64 = 0.2;

/// The bound of attempts.
#[derive(Clone, Copy, Debug)]
pub(super) struct CommitSize {
    attempts: f64,
}

impl Default for CommitSize {
    fn default() -> Self {
        Self { attempts: 1_000.0 }
    }
}

impl CommitSize {
    /// Whether one more report may go into the batch that holds so many attempts, from reports of so many bytes.
    pub(super) fn admits(self, attempts: usize, bytes: usize) -> bool {
        (attempts as f64) < self.attempts && bytes < BYTES_MAX
    }

    /// Tasks in flight that keep the ledger busy: more would only wait for it.
    pub(super) fn in_flight_tasks_max(self) -> u32 {
        // Bounded far below u32::MAX.
        (self.attempts * COMMITS_IN_FLIGHT) as u32
    }

    /// A commit of so many attempts took this long.
    pub(super) fn committed(&mut self, attempts: usize, took: Duration) {
        if attempts < MEASURED_ATTEMPTS_MIN || took.is_zero() {
            return;
        }
        let fitting = attempts as f64 * COMMIT_TARGET.as_secs_f64() / took.as_secs_f64();
        self.attempts += WEIGHT * (fitting.clamp(ATTEMPTS_MIN, ATTEMPTS_MAX) - self.attempts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_follows_the_speed_of_the_database_within_its_bounds() {
        let after = |attempts: usize, took: Duration| {
            let mut size = CommitSize::default();
            (0..100).for_each(|_| size.committed(attempts, took));
            size
        };
        let usual = after(2_000, Duration::from_millis(50));
        assert!(usual.admits(990, 0) && !usual.admits(1_010, 0));
        assert!(!after(1_000, Duration::from_secs(60)).admits(260, 0));
        assert!(!after(100_000, Duration::from_millis(1)).admits(20_000, 0));
    }

    #[test]
    fn a_few_tasks_that_print_a_lot_fill_a_commit() {
        assert!(CommitSize::default().admits(10, BYTES_MAX - 1));
        assert!(!CommitSize::default().admits(10, BYTES_MAX));
    }

    #[test]
    fn small_commits_say_nothing() {
        let mut size = CommitSize::default();
        size.committed(1, Duration::from_secs(1));
        assert!(size.admits(999, 0));
    }
}
