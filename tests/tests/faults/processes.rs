//! Processes that die, freeze and come back, at each step of a task's life.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use backstitch_tests::cluster::{Cluster, PATIENCE, Project, Shape};
use backstitch_tests::relay::Side;
use backstitch_tests::wait::{pass, wait_for};
use serde_json::json;

/// F1. Before a task is claimed, in the middle of tasks, and while results are on their way.
#[tokio::test]
async fn workers_killed_at_every_step_lose_nothing_and_make_no_task_fail() -> Result<()> {
    let mut cluster = Cluster::start(Project::chain(150, "0.05")?, Shape::default()).await?;
    let run = cluster.submit().await?;
    for succeeded in [0, 60, 120, 180, 240] {
        cluster.until_succeeded(&run, succeeded).await?;
        cluster.workers[0].process.kill().await?;
        ensure!(cluster.replace_ended_workers().await? == 1);
    }
    cluster.finish(&run).await?;
    let outcomes = cluster.outcomes().await?;
    ensure!(!outcomes.contains_key("failed"), "a killed worker made tasks fail: {outcomes:?}");
    Ok(())
}

/// F1. The step that nobody sees from outside: everything is done, and nothing of it was said.
#[tokio::test]
async fn a_worker_that_dies_between_effect_and_report_leaves_its_tasks_to_run_again() -> Result<()> {
    let shape = Shape { workers: 1, ..Shape::default() };
    let mut cluster = Cluster::start(Project::gated(2)?, shape).await?;
    let run = cluster.submit().await?;
    cluster.until_begun(2).await?;
    cluster.workers[0].to_broker.silence();
    cluster.project.open_gate()?;
    wait_for("the effects", PATIENCE, async || {
        (cluster.project.journal().ok()?.ended().len() == 2).then_some(())
    })
    .await?;
    cluster.workers[0].process.kill().await?;
    cluster.replace_ended_workers().await?;
    cluster.finish(&run).await?;
    ensure!(cluster.project.journal()?.begun() == 4, "each of two tasks has to run twice");
    Ok(())
}

/// F2. A coordinator dies with an answer, a confirm, a commit or an acknowledgement on its way.
#[tokio::test]
async fn coordinators_killed_at_every_step_leave_no_gap_and_no_duplicate() -> Result<()> {
    let shape = Shape { coordinators: 2, ..Shape::default() };
    let mut cluster = Cluster::start(Project::chain(200, "0.05")?, shape).await?;
    let run = cluster.submit().await?;
    // The submission is durable and nothing of it has been published, or little.
    replace_leader(&mut cluster).await?;

    // Dispatches reach workers; their confirms, and every result, do not reach the leader.
    cluster.until_succeeded(&run, 40).await?;
    cluster.coordinators[0].to_broker.half_open(Side::Server);
    let begun = cluster.project.journal()?.begun();
    cluster.until_begun(begun + 4).await?;
    replace_leader(&mut cluster).await?;

    // Results are committed; the acknowledgements, and new dispatches, do not reach the broker.
    cluster.until_succeeded(&run, 120).await?;
    cluster.coordinators[0].to_broker.half_open(Side::Program);
    let ended = cluster.project.journal()?.ended().len();
    wait_for("results that cannot be acknowledged", PATIENCE, async || {
        (cluster.project.journal().ok()?.ended().len() > ended).then_some(())
    })
    .await?;
    replace_leader(&mut cluster).await?;

    // Commits reach the database; that they are done does not reach the leader.
    cluster.until_succeeded(&run, 200).await?;
    let before = cluster.outcomes().await?;
    cluster.coordinators[0].to_ledger.half_open(Side::Server);
    wait_for("a commit without an answer", PATIENCE, async || {
        (cluster.outcomes().await.ok()? != before).then_some(())
    })
    .await?;
    replace_leader(&mut cluster).await?;

    cluster.finish(&run).await
}

/// Kills the leader, which is the first; the standby leads, and a new one stands by.
async fn replace_leader(cluster: &mut Cluster) -> Result<()> {
    cluster.coordinators.remove(0).process.kill().await?;
    cluster.coordinators[0].process.line("leading", PATIENCE).await?;
    cluster.add_coordinator().await.map(drop)
}

/// F5.
#[tokio::test]
async fn a_frozen_worker_that_comes_back_after_its_lease_is_fenced_and_counted() -> Result<()> {
    let mut cluster = Cluster::start(Project::gated(6)?, Shape::default()).await?;
    let run = cluster.submit().await?;
    cluster.until_begun(6).await?;
    cluster.workers[0].process.freeze()?;
    wait_for("the lease to run out", PATIENCE, async || {
        (cluster.metric("backstitch_workers_lost_total").await >= 1.0).then_some(())
    })
    .await?;
    // The commands of the frozen worker end too; it reports them when it is late.
    cluster.project.open_gate()?;
    cluster.until_succeeded(&run, 6).await?;
    cluster.workers[0].process.thaw()?;
    wait_for("late results to be rejected", PATIENCE, async || {
        (cluster.metric("backstitch_outcomes_stale_total").await >= 1.0).then_some(())
    })
    .await?;
    cluster.finish(&run).await?;
    ensure!(cluster.outcomes().await?["succeeded"] == 6);
    Ok(())
}

/// F6.
#[tokio::test]
async fn a_frozen_leader_that_comes_back_finds_another_and_writes_nothing() -> Result<()> {
    let shape = Shape { coordinators: 2, ..Shape::default() };
    let mut cluster = Cluster::start(Project::chain(150, "0.05")?, shape).await?;
    let run = cluster.submit().await?;
    cluster.until_succeeded(&run, 60).await?;
    cluster.coordinators[0].process.freeze()?;
    cluster.coordinators[1].process.line("leading", PATIENCE).await?;
    cluster.coordinators[0].process.thaw()?;
    cluster.coordinators[0].process.line("back to standby", PATIENCE).await?;
    cluster.finish(&run).await
}

/// F6. What a frozen leader still consumes, nobody else gets, until the broker gives its connection up.
#[tokio::test]
async fn a_frozen_leader_swallows_no_sign_of_life() -> Result<()> {
    let shape = Shape { coordinators: 2, workers: 2, ..Shape::default() };
    let mut cluster = Cluster::start(Project::gated(4)?, shape).await?;
    let run = cluster.submit().await?;
    cluster.until_begun(4).await?;
    cluster.coordinators[0].process.freeze()?;
    cluster.coordinators[1].process.line("leading", PATIENCE).await?;
    // Longer than a lease: that nothing happens is the point.
    pass(Duration::from_secs(14)).await;
    cluster.project.open_gate()?;
    cluster.coordinators.swap(0, 1);
    cluster.until_succeeded(&run, 4).await?;
    cluster.finish_each_once(&run).await
}

/// F6, with nobody to take over: the silence was its own.
#[tokio::test]
async fn a_leader_that_was_frozen_itself_takes_no_lease_away() -> Result<()> {
    let mut cluster = Cluster::start(Project::gated(6)?, Shape::default()).await?;
    let run = cluster.submit().await?;
    cluster.until_begun(6).await?;
    cluster.coordinators[0].process.freeze()?;
    // Longer than a lease. Nothing can be waited for: that nothing happens is the point.
    pass(Duration::from_secs(14)).await;
    cluster.coordinators[0].process.thaw()?;
    cluster.until_workers(3).await?;
    cluster.project.open_gate()?;
    cluster.finish_each_once(&run).await
}

/// F12. The worker holds a hundred deliveries when one of its tasks kills it, again and again.
#[tokio::test]
async fn of_a_hundred_prefetched_tasks_only_the_one_that_kills_workers_is_given_up() -> Result<()> {
    const TASKS: u32 = 150;
    let poison = backstitch_tests::cluster::key(42);
    let asset = format!("  a: {{partitions: slices, command: [sh, task.sh, poison, {poison}]}}\n");
    // The prefetch is two more than the slots.
    let shape = Shape { workers: 1, slots: 98, ..Shape::default() };
    let mut cluster = Cluster::start(Project::new(TASKS, 1, &asset)?, shape).await?;
    let run = cluster.submit().await?;
    let mut deaths = 0;
    loop {
        deaths += cluster.replace_ended_workers().await?;
        let shown =
            cluster.leader_says("GET", &format!("/api/runs/{run}"), None).await.context("a leader")?;
        if shown["status"] != "running" {
            ensure!(shown["counts"]["failed"] == 1, "{shown:#}");
            ensure!(shown["counts"]["succeeded"] == TASKS - 1, "{shown:#}");
            break;
        }
        ensure!(deaths < 20, "one task has killed {deaths} workers");
        tokio::task::yield_now().await;
    }
    let attempts = cluster.leader_says("GET", &format!("/api/runs/{run}/attempts?failed=true"), None).await;
    let attempts = attempts.context("the attempts")?;
    let given_up = attempts["items"].as_array().context("a list")?;
    let mut given_up = given_up.iter().filter(|attempt| attempt["terminal"] == true);
    ensure!(given_up.all(|attempt| attempt["partition"] == json!(poison)), "{attempts:#}");
    cluster.audit().await
}

/// F18.
#[tokio::test]
async fn a_storm_of_terminations_spends_no_attempt_and_loses_no_task() -> Result<()> {
    let variables = vec![("BACKSTITCH_DRAIN_GRACE", "1s".to_owned())];
    let mut cluster = Cluster::start(
        // Longer than the grace: most of what runs is interrupted.
        Project::chain(40, "1.5")?,
        Shape { workers: 4, slots: 6, variables, ..Shape::default() },
    )
    .await?;
    let run = cluster.submit().await?;
    for begun in [10, 40, 70, 100] {
        cluster.until_begun(begun).await?;
        for worker in &mut cluster.workers[..3] {
            worker.process.terminate()?;
        }
        for worker in &mut cluster.workers[..3] {
            let status = worker.process.wait(PATIENCE).await?;
            ensure!(status.success(), "a worker that was told to stop ended with {status}");
        }
        ensure!(cluster.replace_ended_workers().await? == 3);
    }
    cluster.finish(&run).await?;
    let outcomes = cluster.outcomes().await?;
    ensure!(outcomes.len() == 1, "interrupted tasks have spent attempts: {outcomes:?}");
    Ok(())
}
