//! The two clocks that the engine is told.

use std::time::{Duration, Instant};

use chrono::Utc;

use crate::engine::Now;

/// The two clocks of the engine.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    start: Instant,
}

impl Default for Clock {
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock {
    pub(super) fn now(&self) -> Now {
        // Half a billion years fit.
        let mono_ms = self.start.elapsed().as_millis() as u64;
        Now { mono_ms, wall_us: Utc::now().timestamp_micros() }
    }

    /// Sleeps until the engine's clock shows `deadline_ms`; for ever if there is no deadline.
    pub(super) async fn at(&self, deadline_ms: Option<u64>) {
        match deadline_ms {
            Some(deadline_ms) => {
                let at = self.start + Duration::from_millis(deadline_ms);
                tokio::time::sleep_until(at.into()).await;
            }
            None => std::future::pending().await,
        }
    }
}
