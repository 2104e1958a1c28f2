//! Waiting for something to become true.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::Instant;

/// Long enough for everything that happens by itself on a slow machine: a broker node that restarts takes most of this.
/// A test that fails waits this long.
pub const SOON: Duration = Duration::from_secs(60);

/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Asks `probe` until it gives a value, for no longer than `patience`.
///
/// # Errors
/// When the time is over; it says what was waited for.
pub async fn wait_for<T>(what: &str, patience: Duration, probe: impl AsyncFnMut() -> Option<T>) -> Result<T> {
    let became = within(patience, probe).await;
    became.with_context(|| format!("waited {} s in vain for {what}", patience.as_secs()))
}

/// As [`wait_for`], for what becomes of all work once faults have stopped. `patience` is so long that no slowness of the
/// machine explains the absence of it: something is lost. So the error is in other words, and `tests/run` makes no second
/// try.
///
/// # Errors
/// When the time is over; it says what is `missing`.
pub async fn must_become<T>(
    missing: &str,
    patience: Duration,
    probe: impl AsyncFnMut() -> Option<T>,
) -> Result<T> {
    let became = within(patience, probe).await;
    became.with_context(|| format!("LIVE: {missing} after {} s", patience.as_secs()))
}

async fn within<T>(patience: Duration, mut probe: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + patience;
    loop {
        let became = probe().await;
        if became.is_some() || Instant::now() > deadline {
            return became;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Waits for something that must happen soon.
///
/// # Errors
/// When it does not.
pub async fn soon<T>(future: impl Future<Output = T>) -> Result<T> {
    tokio::time::timeout(SOON, future).await.context("it did not happen in time")
}

/// Lets time pass, where the point of a test is that nothing happens in it. Everything else waits for an event.
pub async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}
