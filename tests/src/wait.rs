//! Waiting for something to become true.

use std::time::Duration;

use anyhow::{Context, Result, bail};
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
pub async fn wait_for<T>(
    what: &str,
    patience: Duration,
    mut probe: impl AsyncFnMut() -> Option<T>,
) -> Result<T> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(value) = probe().await {
            return Ok(value);
        }
        if Instant::now() > deadline {
            bail!("waited {} s in vain for {what}", patience.as_secs());
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
