//! `backstitch verify` at the end of a test: it counts only if it has looked at everything.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::process::backstitch;
use crate::wait::wait_for;

/// Long enough for a leader to be found again after its lines were mended.
const PATIENCE: Duration = Duration::from_secs(60);

/// Verifies the ledger, what the leader sees and what waits at the broker, and gives what was looked at. While nobody
/// leads, or the leader does not answer, it is asked again: its part would be left out.
///
/// # Errors
/// When an invariant is violated, or a part is never looked at.
pub async fn verify(project: &str, database: &str, broker: &str) -> Result<Value> {
    let arguments = [
        "verify",
        "--project",
        project,
        "--database-url",
        database,
        "--broker-url",
        broker,
        "--output",
        "json",
    ];
    let mut last = None;
    let verified = wait_for("ledger, leader and broker to be verified", PATIENCE, async || {
        let verified = once(&arguments).await;
        let whole = verified.as_ref().is_ok_and(is_whole);
        let broken = verified.as_ref().is_err_and(|error| error.to_string().contains(BROKEN));
        if whole || broken {
            return Some(verified);
        }
        last = Some(verified);
        None
    });
    verified.await.with_context(|| format!("the last that it said: {last:?}"))?
}

/// What `verify` found, as opposed to what it could not look at yet.
const BROKEN: &str = "Invariants are violated";

async fn once(arguments: &[&str]) -> Result<Value> {
    let output = backstitch(arguments)?.kill_on_drop(true).output().await?;
    let said = String::from_utf8_lossy(&output.stdout);
    // Its status for a violation, as opposed to being unable to look.
    if output.status.code() == Some(1)
        && let Ok(verified) = serde_json::from_str::<Value>(&said)
    {
        // That nobody leads may be over in a moment; the caller waits for no longer than that.
        ensure!(!finds_nothing(&verified), "nobody leads, or a leader is silent: {said}");
        bail!("{BROKEN}: {said}");
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "backstitch verify: {}\n{said}{errors}", output.status);
    serde_json::from_str(&said).with_context(|| format!("verify gave no JSON: {said}"))
}

fn finds_nothing(verified: &Value) -> bool {
    let found = [&verified["ledger"]["findings"], &verified["leader"], &verified["broker"]["findings"]];
    found.iter().all(|found| found.as_array().is_none_or(Vec::is_empty))
}

fn is_whole(verified: &Value) -> bool {
    ["ledger", "leader", "broker"].iter().all(|part| !verified[*part].is_null())
}
