//! Commands that go wrong in every way in which a program can. Each is one attempt in the ledger that says how, with
//! what it printed, cut to a bound; the others are not harmed. The same on real servers and in one process.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use backstitch_tests::cluster::{Cluster, Project, Shape};
use backstitch_tests::process::backstitch;
use serde_json::Value;

use crate::world::{run, run_json};

/// One that succeeds, and five that do not.
const ASSETS: &str = r#"
  fine: {command: [sh, task.sh, sleep, "0"]}
  not_found: {command: [no-such-program]}
  killed: {command: [sh, -c, "echo before; kill -KILL $$"]}
  hangs: {command: [sh, -c, "echo waiting; sleep 600"], timeout: 1s, grace: 1s}
  not_text: {command: [sh, -c, "printf 'a\\377b\\n'; exit 3"]}
  floods: {command: [sh, -c, "echo first; head -c 100000000 /dev/zero | tr '\\0' x; echo last; exit 1"]}
"#;

/// Bytes that `floods` prints: what it floods with, and its first and last lines.
const FLOOD_BYTES: u64 = 100_000_000 + 6 + 5;

/// What an attempt may keep of them, and room for the line that says how much is left out.
const OUTPUT_BYTES: u64 = 64 << 10;
const LEFT_OUT_LINE_BYTES: u64 = 100;

/// Asset, class of the failure and its code, what its message holds, what is kept of its output if that is short.
const FAILURES: [(&str, &str, &str, Option<&str>); 5] = [
    ("floods", "exit 1", "exited with status 1", None),
    ("hangs", "timeout", "longer than its timeout of 1 s", Some("waiting\n")),
    ("killed", "signal 9", "ended by SIGKILL (9)", Some("before\n")),
    ("not_found", "not_started", "`no-such-program` was not found: is it installed on the worker", None),
    ("not_text", "exit 3", "exited with status 3", Some("a\u{fffd}b\n")),
];

/// `shown` is what `runs show --failed --logs` prints: a run that failed with exactly these attempts.
fn check(shown: &Value) -> Result<()> {
    let counts = &shown["counts"];
    ensure!(shown["status"] == "failed", "{shown:#}");
    ensure!(counts["succeeded"] == 1 && counts["failed"] == 5 && counts["targeted"] == 6, "{counts}");
    let attempts = shown["attempts"].as_array().context("attempts")?;
    ensure!(attempts.len() == FAILURES.len(), "{} attempts failed", attempts.len());
    for (asset, class, message, output) in FAILURES {
        let attempt = attempts.iter().find(|attempt| attempt["asset"] == asset).context(asset)?;
        let text = attempt["output"].as_str().unwrap_or_default();
        // A flood is not for a message.
        let kind = attempt["failure_kind"].as_str().context("a kind of failure")?;
        let found = attempt["failure_code"].as_i64().map_or(kind.to_owned(), |code| format!("{kind} {code}"));
        let told = format!("{asset}: {found}, {}, {}", attempt["failure_message"], text.len());
        ensure!(attempt["outcome"] == "failed" && attempt["terminal"] == true, "{told}");
        ensure!(found == class, "{told}");
        ensure!(attempt["attempt"] == 1, "{told}");
        ensure!(attempt["failure_message"].as_str().is_some_and(|said| said.contains(message)), "{told}");
        let omitted = attempt["output_omitted_bytes"].as_u64().context("a number of bytes")?;
        if asset == "floods" {
            ensure!(text.starts_with("first\nx") && text.ends_with("xlast\n"), "{told}");
            ensure!(text.contains(&format!("{omitted} bytes left out")), "{told}");
            ensure!(text.len() as u64 <= OUTPUT_BYTES + LEFT_OUT_LINE_BYTES, "{told}");
            ensure!(omitted == FLOOD_BYTES - OUTPUT_BYTES, "{told}: {omitted} bytes are left out");
        } else {
            ensure!(omitted == 0 && text == output.unwrap_or_default(), "{told}: {text:?}");
        }
    }
    Ok(())
}

/// Only what succeeded is materialized.
fn check_made(listed: &[(&str, Value)]) -> Result<()> {
    let made: BTreeSet<&str> = listed
        .iter()
        .filter(|(_, made)| made.as_array().is_some_and(|made| !made.is_empty()))
        .map(|(asset, _)| *asset)
        .collect();
    ensure!(made == BTreeSet::from(["fine"]), "{made:?} are materialized");
    Ok(())
}

fn assets() -> impl Iterator<Item = &'static str> {
    FAILURES.into_iter().map(|(asset, ..)| asset).chain(["fine"])
}

#[tokio::test]
async fn commands_that_go_wrong_fail_the_run_with_exactly_what_they_did() -> Result<()> {
    let shape = Shape { workers: 1, ..Shape::default() };
    let mut cluster = Cluster::start(Project::new(1, 6, ASSETS)?, shape).await?;
    let run = cluster.submit().await?;
    cluster.until_ended(&run).await?;
    let url = cluster.coordinators[0].url.clone();
    let json = ["--server", &url, "--output", "json"];
    let shown = cluster.run(&[&["runs", "show", &run, "--failed", "--logs"], &json[..]].concat()).await?;
    check(&serde_json::from_str(&shown)?)?;
    let mut made = Vec::new();
    for asset in assets() {
        let listed = cluster.run(&[&["materializations", asset], &json[..]].concat()).await?;
        made.push((asset, serde_json::from_str(&listed)?));
    }
    check_made(&made)?;
    cluster.audit_with_metrics().await
}

#[tokio::test]
async fn commands_that_go_wrong_in_one_process_are_told_in_the_same_way() -> Result<()> {
    let project = Project::new(1, 6, ASSETS)?;
    let folder = project.path();
    let ended = backstitch(["backfill", "--all", "--project", folder])?.output().await?;
    ensure!(ended.status.code() == Some(1), "{ended:?}");
    let said = String::from_utf8(ended.stdout)?;
    ensure!(said.contains("5 of 6 tasks failed"), "{said}");
    let shown =
        run_json(["runs", "show", "latest", "--failed", "--logs", "--project", folder, "--output", "json"]);
    check(&shown.await?)?;
    let mut made = Vec::new();
    for asset in assets() {
        made.push((
            asset,
            run_json(["materializations", asset, "--project", folder, "--output", "json"]).await?,
        ));
    }
    check_made(&made)?;
    run(["verify", "--project", folder]).await.map(drop)
}
