//! A server of ours from its start until it serves.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use crate::child::{Group, log_to, tail};
use crate::wait::wait_for;

/// Starts `command` into `server`, and waits until it is `ready`. What it prints goes to `log`.
///
/// # Errors
/// When there is one already, or it ends, or is never ready; the end of its log is part of the error.
pub(crate) async fn start(
    server: &mut Option<Group>,
    (what, mut command): (&str, Command),
    log: &Path,
    patience: Duration,
    ready: impl AsyncFn() -> bool,
) -> Result<()> {
    ensure!(server.is_none(), "{what} is running");
    log_to(&mut command, log)?;
    let server = server.insert(Group::spawn(&mut command)?);
    let start = format!("{what} to start");
    let started = wait_for(&start, patience, async || match server.ended() {
        Some(status) => Some(Err(anyhow::anyhow!("{what} ended at once: {status}"))),
        None => ready().await.then_some(Ok(())),
    });
    let started = started.await.and_then(|started| started);
    started.with_context(|| format!("the end of its log:\n{}", tail(log)))
}
