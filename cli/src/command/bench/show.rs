//! `backstitch runs show` as a user meets it: a process that starts, asks the coordinator, prints and ends.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use backstitch_proto::id::RunId;
use tokio::process::Command;
use tokio::time::Instant;

use super::bed::Bed;

/// Shows a run, and says how long that took.
pub(super) async fn show(bed: &Bed, run: RunId) -> Result<Duration> {
    let mut command = Command::new(std::env::current_exe().context("looking for this program")?);
    command.args(["runs", "show", &run.to_string(), "--server", bed.server.url()]);
    command.stdin(Stdio::null()).kill_on_drop(true);
    let begin = Instant::now();
    let shown = command.output().await.context("starting `backstitch runs show`")?;
    let took = begin.elapsed();
    let said = String::from_utf8_lossy(&shown.stderr);
    ensure!(shown.status.success(), "`backstitch runs show` ended with {}: {said}", shown.status);
    Ok(took)
}
