//! What has to hold at every instant, while coordinators die and runs compete.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use backstitch_tests::cluster::{Cluster, PATIENCE, Project, Shape};
use backstitch_tests::wait::wait_for;
use serde_json::json;

/// F21. Two coordinators, and the one that leads is killed or frozen again and again. The journal of the tasks
/// themselves is the witness.
#[tokio::test]
async fn a_pool_is_never_exceeded_while_coordinators_come_and_go() -> Result<()> {
    const LIMIT: usize = 3;
    let assets =
        "  a: {partitions: slices, pool: p, command: [sh, task.sh, sleep, \"0.1\"]}\npools: {p: 3}\n";
    let shape = Shape { coordinators: 2, workers: 4, slots: 4, ..Shape::default() };
    let mut cluster = Cluster::start(Project::new(200, 1, assets)?, shape).await?;
    let run = cluster.submit().await?;
    for (succeeded, freeze) in [(20, false), (60, true), (100, false), (140, true)] {
        cluster.until_succeeded(&run, succeeded).await?;
        let mut leader = cluster.coordinators.remove(0);
        if freeze {
            leader.process.freeze()?;
        } else {
            leader.process.kill().await?;
        }
        cluster.coordinators[0].process.line("leading", PATIENCE).await?;
        if freeze {
            leader.process.thaw()?;
            leader.process.line("back to standby", PATIENCE).await?;
            cluster.coordinators.push(leader);
        } else {
            cluster.add_coordinator().await?;
        }
    }
    cluster.finish(&run).await?;
    let most = cluster.project.journal()?.most_at_once("a");
    ensure!(most <= LIMIT, "{most} tasks of a pool of {LIMIT} ran at the same instant");
    ensure!(most == LIMIT, "only {most} of {LIMIT} slots of the pool were ever used");
    Ok(())
}

/// F22. Small runs of a higher priority come while a large one has every slot. What is in front of them is one
/// window of dispatches, not the large run.
#[tokio::test]
async fn a_small_run_of_higher_priority_never_waits_behind_a_large_one() -> Result<()> {
    let assets = "  large: {partitions: slices, command: [sh, task.sh, sleep, \"0.05\"]}\n  \
                    small: {command: [sh, task.sh, sleep, \"0.01\"]}\n";
    let mut cluster = Cluster::start(Project::new(600, 1, assets)?, Shape::default()).await?;
    let large = cluster.submit_as(json!({ "assets": "large", "filter": "all" })).await?;
    for round in 1..=5 {
        cluster.until_succeeded(&large, round * 60).await?;
        let small = json!({ "assets": "small", "filter": "all", "priority": 10 });
        let small = cluster.submit_as(small).await?;
        let ended = cluster.until_ended(&small).await?;
        ensure!(ended["status"] == "succeeded", "{ended:#}");
        let counts = cluster.counts(&large).await.context("the large run")?;
        let succeeded = counts["succeeded"].as_u64().context("a count")?;
        // Two dispatches per slot and what came in while we looked; the rest of the large run is far more.
        ensure!(succeeded < 600, "the small run waited until the large one had ended: {counts}");
    }
    cluster.project.tasks = 600;
    cluster.finish(&large).await
}

/// F20. Each request is answered at once and holds at once, and nothing is stranded.
#[tokio::test]
async fn pausing_throttling_and_cancelling_hold_while_workers_die() -> Result<()> {
    let mut cluster = Cluster::start(Project::chain(150, "0.05")?, Shape::default()).await?;
    let run = cluster.submit().await?;
    let change = async |cluster: &Cluster, body| {
        let path = format!("/api/runs/{run}");
        cluster.leader_says("PATCH", &path, Some(&body)).await.context("a change was refused")
    };
    cluster.until_succeeded(&run, 20).await?;
    change(&cluster, json!({ "paused": true })).await?;
    cluster.workers[0].process.kill().await?;
    cluster.replace_ended_workers().await?;
    wait_for("everything in flight to land", PATIENCE, async || {
        (cluster.counts(&run).await?["in_flight"] == 0).then_some(())
    })
    .await?;
    let at_rest = cluster.project.journal()?.begun();
    change(&cluster, json!({ "priority": 5, "max_parallel": 1 })).await?;
    ensure!(cluster.project.journal()?.begun() == at_rest, "a paused run went on");

    change(&cluster, json!({ "paused": false })).await?;
    cluster.until_begun(at_rest + 20).await?;
    change(&cluster, json!({ "max_parallel": 0 })).await?;
    cluster.workers[0].process.kill().await?;
    cluster.replace_ended_workers().await?;
    cluster.until_begun(at_rest + 60).await?;
    cluster
        .leader_says("POST", &format!("/api/runs/{run}/cancel"), None)
        .await
        .context("a cancel was refused")?;
    let ended = tokio::time::timeout(Duration::from_secs(60), cluster.until_ended(&run)).await??;
    ensure!(ended["status"] == "cancelled", "{ended:#}");
    cluster.audit().await?;

    // What was cancelled can be finished by another run.
    let rest = cluster.submit_as(json!({ "assets": "*" })).await?;
    let ended = cluster.until_ended(&rest).await?;
    ensure!(ended["status"] == "succeeded", "{ended:#}");
    cluster.audit().await
}

/// F2, F20. Nothing is ever expanded: a million partitions are one row, for the next leader too.
#[tokio::test]
async fn a_million_partitions_survive_their_leader_and_are_cancelled_at_once() -> Result<()> {
    let hours = "  a:\n    partitions:\n      kind: multi\n      dimensions:\n        slice: {kind: static, keys: [KEYS]}\n        \
                      hour: {kind: daily, start: 2000-01-01, end: 2002-09-27, timezone: UTC}\n    \
                      command: [sh, task.sh, sleep, \"0.1\"]\n";
    let keys: Vec<String> = (0..1_000).map(|number| format!("k{number}")).collect();
    let project = Project::new(1, 1, &hours.replace("KEYS", &keys.join(", ")))?;
    let mut cluster = Cluster::start(project, Shape { coordinators: 2, ..Shape::default() }).await?;
    let run = cluster.submit().await?;
    cluster.coordinators.remove(0).process.kill().await?;
    cluster.coordinators[0].process.line("leading", PATIENCE).await?;
    cluster.until_succeeded(&run, 20).await?;
    let counts = cluster.counts(&run).await.context("counts")?;
    ensure!(counts["targeted"] == 1_000_000, "{counts}");
    cluster
        .leader_says("POST", &format!("/api/runs/{run}/cancel"), None)
        .await
        .context("a cancel was refused")?;
    let ended = tokio::time::timeout(Duration::from_secs(60), cluster.until_ended(&run)).await??;
    ensure!(ended["status"] == "cancelled" && ended["counts"]["targeted"] == 1_000_000, "{ended:#}");
    cluster.audit().await
}
