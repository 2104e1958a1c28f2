//! How long tasks take, and so how many of them make a message.

use super::Options;

/// How long a task of an asset takes, as measured.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// 0 before the first measurement.
    pub(super) mean_us: f64,
}

impl Pace {
    /// Weight of the newest sample: the mean follows a change within some twenty reports.
    const WEIGHT: f64 = 0.1;

    /// Takes the mean of some tasks that ended together.
    pub(super) fn observe(&mut self, mean_us: f64) {
        self.mean_us = if self.mean_us == 0.0 {
            mean_us.max(1.0)
        } else {
            self.mean_us + Self::WEIGHT * (mean_us - self.mean_us)
        };
    }

    /// Enough to fill the target, and at most one slot's share of what the ledger absorbs: more would queue there, ahead of
    /// the outcomes of others.
    pub(super) fn tasks_per_dispatch(self, slots: u32, options: &Options) -> u32 {
        let fitting = options.dispatch_target_us as f64 / self.mean_us.max(1.0);
        (fitting as u32).min(options.in_flight_tasks_max / slots.max(1)).clamp(1, options.dispatch_max_tasks)
    }
}
