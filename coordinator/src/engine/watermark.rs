//! The watermark of confirms: every dispatch up to it was confirmed by the broker, and a new leader need not publish it
//! again.
//!
//! It is written once a second at most, because every version of it costs whoever reads its row. Under load it goes
//! with a commit that is made anyway. When nothing else happens for long (tasks that run for hours), a dispatch that was
//! confirmed since the last commit would still be published again by a new leader; so a watermark that has passed an
//! open dispatch is a reason for a commit of its own.

use std::ops::Bound;

use backstitch_proto::id::DispatchId;

use super::{Engine, Now};

/// Least time between two versions of the watermark, milliseconds.
const WATERMARK_INTERVAL_MS: u64 = 1_000;

/// What is written of the watermark, or is about to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watermark {
    through: DispatchId,
    /// When, milliseconds of the engine's clock.
    since_ms: u64,
}

impl Watermark {
    pub(super) fn new(through: DispatchId, since_ms: u64) -> Self {
        Self { through, since_ms }
    }

    fn due_ms(self) -> u64 {
        self.since_ms + WATERMARK_INTERVAL_MS
    }
}

impl Engine {
    /// Puts the watermark into the batch if it is time, and if there is a batch or a reason to make one.
    pub(super) fn write_watermark(&mut self, now: Now) {
        let through = self.confirmed_through();
        if now.mono_ms < self.watermark.due_ms() || through <= self.watermark.through {
            return;
        }
        if !self.batch.is_empty() || self.has_passed_an_open_dispatch() {
            self.batch.confirmed_through = through;
            self.watermark = Watermark::new(through, now.mono_ms);
        }
    }

    /// When it is time to write a watermark that nothing else will take along.
    pub(super) fn next_watermark_ms(&self) -> Option<u64> {
        self.has_passed_an_open_dispatch().then(|| self.watermark.due_ms())
    }

    /// A new leader would publish a dispatch again of which this one knows that it is confirmed.
    fn has_passed_an_open_dispatch(&self) -> bool {
        let through = self.confirmed_through();
        through > self.watermark.through
            && self
                .open_dispatches
                .range((Bound::Excluded(self.watermark.through), Bound::Included(through)))
                .next()
                .is_some()
    }

    fn confirmed_through(&self) -> DispatchId {
        match self.unconfirmed.first() {
            Some(first) => DispatchId(first.0 - 1),
            None => self.last_dispatch,
        }
    }
}

#[cfg(test)]
#[path = "watermark_tests.rs"]
mod tests;
