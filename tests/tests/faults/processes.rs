//! Processes that die, freeze and come back, at each step of a task's life.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use backstitch_proto::message::task_queue;
use backstitch_tests::cluster::{Cluster, Depth, Journal, PATIENCE, Project, Shape, WORKERS_LOST};
use backstitch_tests::relay::Side;
use backstitch_tests::wait::{pass, wait_for};
use serde_json::{Value, json};

/// After how long a worker that is silent is given up (`coordinator/src/engine/mod.rs`), seconds.
const LEASE_S: f64 = 10.0;

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
    let begun = cluster.project.journal()?.begun() as u64;
    ensure!(begun > cluster.project.tasks, "those that were killed were doing nothing");
    ensure!(cluster.metric(WORKERS_LOST).await.is_some_and(|lost| lost >= 1.0), "nobody was missed");
    Ok(())
}

/// F1. What it was running is missed after one lease, and runs again long before a second one would be over. The tasks
/// themselves say when. There is no other worker: a busy one could take them and let them wait.
#[tokio::test]
async fn what_a_killed_worker_was_running_begins_again_within_two_leases() -> Result<()> {
    let shape = Shape { workers: 1, ..Shape::default() };
    let (mut cluster, run) = Cluster::start_holding(2, shape).await?;
    let killed_s = Journal::now_s()?;
    cluster.workers[0].process.kill().await?;
    cluster.replace_ended_workers().await?;
    cluster.until_begun(2 + 2).await?;
    for again_s in cluster.project.journal()?.begun_again_s() {
        let after_s = again_s - killed_s;
        println!("a task of the killed worker began again after {after_s:.1} s");
        ensure!(after_s < 2.0 * LEASE_S, "a task of the killed worker began again after {after_s:.1} s");
    }
    cluster.project.open_gate()?;
    cluster.finish(&run).await
}

/// F1. Another worker runs what the killed one was running, within two leases, whether it is idle or has short tasks, or
/// is idle while the slots of a third are taken for long, which may get the tasks first.
#[tokio::test]
async fn what_a_killed_worker_was_running_begins_again_on_another_one() -> Result<()> {
    let assets = "  held: {partitions: {kind: static, keys: [p00000, p00001]}, command: [sh, task.sh, gate]}\n  \
                    long: {partitions: {kind: static, keys: [p00000, p00001]}, command: [sh, task.sh, gate]}\n  \
                    short: {partitions: slices, command: [sh, task.sh, sleep, \"0.2\"]}\n";
    for beside in [None, Some("short"), Some("long")] {
        let shape = Shape { workers: 1, ..Shape::default() };
        let mut cluster = Cluster::start(Project::new(300, 1, assets)?, shape).await?;
        let mut runs = vec![cluster.submit_as(json!({ "assets": "held", "filter": "all" })).await?];
        cluster.until_begun(2).await?;
        cluster.add_worker().await?;
        cluster.until_workers(2).await?;
        if let Some(asset) = beside {
            runs.push(cluster.submit_as(json!({ "assets": asset, "filter": "all" })).await?);
        }
        match beside {
            // Long enough that it is known how long they take, and many go into a dispatch.
            Some("short") => cluster.until_begun(2 + 20).await?,
            Some(_) => {
                cluster.until_begun(2 + 2).await?;
                cluster.add_worker().await?;
                cluster.until_workers(3).await?;
            }
            None => {}
        }
        let killed_s = Journal::now_s()?;
        cluster.workers.remove(0).process.kill().await?;
        let again = wait_for("what was lost to begin again", PATIENCE, async || {
            let journal = cluster.project.journal().ok()?;
            (journal.begun_of("held") == 2 + 2).then(|| journal.begun_again_s())
        });
        for again_s in again.await? {
            let after_s = again_s - killed_s;
            println!("beside {beside:?}: a task of the killed worker began again after {after_s:.1} s");
            ensure!(after_s < 2.0 * LEASE_S, "a task of the killed worker began again after {after_s:.1} s");
        }
        cluster.project.open_gate()?;
        for run in &runs {
            let ended = cluster.until_ended(run).await?;
            ensure!(ended["status"] == "succeeded", "{ended:#}");
        }
        cluster.audit().await?;
    }
    Ok(())
}

/// F1. Its report is committed, and it has not acknowledged its messages: others are given them, and do not run them.
#[tokio::test]
async fn a_worker_that_dies_between_report_and_acknowledgement_has_run_its_tasks() -> Result<()> {
    // A worker with more than one task would wait for the confirm of the first before it reports the second.
    let shape = Shape { slots: 1, ..Shape::default() };
    let (mut cluster, run) = Cluster::start_holding(3, shape).await?;
    // Its report is heard; that it is confirmed is not.
    cluster.workers[0].to_broker.half_open(Side::Server);
    cluster.project.open_gate()?;
    cluster.until_recorded(3).await?;
    let tasks = task_queue("default");
    cluster.until_depth(&tasks, |depth| depth == Depth { ready: 0, unacknowledged: 1 }).await?;
    cluster.workers.remove(0).process.kill().await?;
    cluster.until_depth(&tasks, |depth| depth.total() == 0).await?;
    cluster.finish_each_once(&run).await
}

/// F1. The step that nobody sees from outside: everything is done, and nothing of it was said.
#[tokio::test]
async fn a_worker_that_dies_between_effect_and_report_leaves_its_tasks_to_run_again() -> Result<()> {
    let shape = Shape { workers: 1, ..Shape::default() };
    let (mut cluster, run) = Cluster::start_holding(2, shape).await?;
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

/// F2. A coordinator dies at each step of a dispatch: decided, published, confirmed, reported, recorded, acknowledged.
#[tokio::test]
async fn coordinators_killed_at_every_step_leave_no_gap_and_no_duplicate() -> Result<()> {
    let shape = Shape { coordinators: 2, ..Shape::default() };
    let mut cluster = Cluster::start(Project::gated(6)?, shape).await?;
    let tasks = task_queue("default");

    // Dispatches are committed, and not one of them is published.
    cluster.coordinators[0].to_broker.half_open(Side::Program);
    let run = cluster.submit().await?;
    wait_for("committed dispatches", PATIENCE, async || {
        (cluster.open_dispatches().await.ok()? >= 6).then_some(())
    })
    .await?;
    ensure!(cluster.depth(&tasks).await?.total() == 0, "they were not to be published");
    replace_leader(&mut cluster).await?;
    cluster.until_begun(6).await?;
    let_end(&cluster, &run).await?;

    // They are published, and no confirm comes back.
    cluster.coordinators[0].to_broker.half_open(Side::Server);
    let run = cluster.submit().await?;
    cluster.until_begun(2 * 6).await?;
    replace_leader(&mut cluster).await?;
    let_end(&cluster, &run).await?;

    // They are confirmed, and the ledger does not hear of it.
    cluster.coordinators[0].to_broker.half_open(Side::Server);
    let run = cluster.submit().await?;
    cluster.until_begun(3 * 6).await?;
    cluster.coordinators[0].to_ledger.half_open_from(Side::Program, "COMMIT");
    cluster.coordinators[0].to_broker.restore();
    cluster.until_the_mark_of_a_confirm_hangs(6).await?;
    replace_leader(&mut cluster).await?;
    let_end(&cluster, &run).await?;

    // Reports are taken, and what they tell is not committed.
    let run = cluster.submit().await?;
    cluster.until_begun(4 * 6).await?;
    cluster.until_confirms_are_marked().await?;
    let recorded = cluster.outcomes().await?;
    cluster.coordinators[0].to_ledger.half_open_from(Side::Program, "COMMIT");
    cluster.project.open_gate()?;
    cluster.until_reports_are_taken_and_not_committed().await?;
    ensure!(cluster.outcomes().await? == recorded, "it was not to commit");
    replace_leader(&mut cluster).await?;
    let_end(&cluster, &run).await?;

    // Results are committed, and not one of their reports is acknowledged.
    let run = cluster.submit().await?;
    cluster.until_begun(5 * 6).await?;
    cluster.coordinators[0].to_broker.half_open(Side::Program);
    cluster.project.open_gate()?;
    cluster.until_recorded_and_not_acknowledged(5 * 6).await?;
    replace_leader(&mut cluster).await?;
    cluster.until_metric("backstitch_outcomes_stale_total", 6.0).await?;
    let_end(&cluster, &run).await?;

    // A commit is done, and the leader does not hear of it.
    let run = cluster.submit().await?;
    cluster.until_begun(6 * 6).await?;
    cluster.coordinators[0].to_ledger.half_open_from(Side::Server, "COMMIT");
    cluster.project.open_gate()?;
    cluster.until_recorded(5 * 6 + 1).await?;
    replace_leader(&mut cluster).await?;
    cluster.finish(&run).await?;
    ensure!(cluster.project.journal()?.begun() == 6 * 6, "tasks were run a second time");
    Ok(())
}

/// Lets the tasks of `run` end, and makes those of the next one wait.
async fn let_end(cluster: &Cluster, run: &str) -> Result<()> {
    cluster.project.open_gate()?;
    let ended = cluster.until_ended(run).await?;
    ensure!(ended["status"] == "succeeded", "{ended:#}");
    cluster.project.close_gate()
}

/// Kills the leader, which is the first; the standby leads, and a new one stands by.
async fn replace_leader(cluster: &mut Cluster) -> Result<()> {
    cluster.coordinators.remove(0).process.kill().await?;
    cluster.coordinators[0].process.line("leading", PATIENCE).await?;
    cluster.add_coordinator().await?;
    cluster.until_workers(cluster.workers.len()).await
}

/// F5.
#[tokio::test]
async fn a_frozen_worker_that_comes_back_after_its_lease_is_fenced_and_counted() -> Result<()> {
    let (mut cluster, run) = Cluster::start_holding(6, Shape::default()).await?;
    cluster.workers[0].process.freeze()?;
    cluster.until_metric(WORKERS_LOST, 1.0).await?;
    // The commands of the frozen worker end too; it reports them when it is late.
    cluster.project.open_gate()?;
    cluster.until_succeeded(&run, 6).await?;
    cluster.workers[0].process.thaw()?;
    wait_for("late results to be rejected", PATIENCE, async || {
        (cluster.metric("backstitch_outcomes_stale_total").await? >= 1.0).then_some(())
    })
    .await?;
    cluster.finish(&run).await?;
    ensure!(cluster.outcomes().await?["succeeded"] == 6);
    Ok(())
}

/// F6. It is frozen in the middle of a commit, whose words get through when another leads.
#[tokio::test]
async fn a_frozen_leader_that_comes_back_finds_another_and_writes_nothing() -> Result<()> {
    let shape = Shape { coordinators: 2, ..Shape::default() };
    let (mut cluster, run) = Cluster::start_holding(6, shape).await?;
    cluster.coordinators[0].to_ledger.half_open_from(Side::Program, "COMMIT");
    cluster.project.open_gate()?;
    cluster.until_a_commit_hangs().await?;
    cluster.coordinators[0].process.freeze()?;
    ensure!(cluster.outcomes().await?.is_empty(), "it was not to commit");
    cluster.coordinators[1].process.line("leading", PATIENCE).await?;
    cluster.coordinators[0].to_ledger.restore();
    cluster.until_no_commit_hangs().await?;
    ensure!(cluster.outcomes().await?.is_empty(), "the commit of a leader of before was done");
    cluster.coordinators[0].process.thaw()?;
    cluster.coordinators[0].process.line("back to standby", PATIENCE).await?;
    cluster.finish_each_once(&run).await
}

/// F6. What a frozen leader still consumes, nobody else gets, until the broker gives its connection up.
#[tokio::test]
async fn a_frozen_leader_swallows_no_sign_of_life() -> Result<()> {
    let shape = Shape { coordinators: 2, workers: 2, ..Shape::default() };
    let (mut cluster, run) = Cluster::start_holding(4, shape).await?;
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
    let (mut cluster, run) = Cluster::start_holding(6, Shape::default()).await?;
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
    let shape = Shape { workers: 1, slots: 98, ..Shape::default() };
    let mut cluster = Cluster::start(Project::new(TASKS, 1, &asset)?, shape).await?;
    let run = cluster.submit().await?;
    // All of them run when it dies for the first time.
    cluster.until_begun(98).await?;
    ensure!(cluster.project.journal()?.ended().is_empty());
    // And it has been given two more.
    cluster.until_depth(&task_queue("default"), |depth| depth.unacknowledged == 100).await?;
    cluster.project.open_gate()?;
    let mut deaths = 0;
    let shown = wait_for("the run to end", PATIENCE, async || {
        match cluster.replace_ended_workers().await {
            Ok(ended) => deaths += ended,
            Err(error) => return Some(Err(error)),
        }
        let shown = cluster.leader_says("GET", &format!("/api/runs/{run}"), None).await?;
        (shown["status"] != "running" || deaths >= 20).then_some(Ok(shown))
    });
    let shown = shown.await??;
    ensure!(deaths < 20, "one task has killed {deaths} workers");
    ensure!(shown["counts"]["failed"] == 1, "{shown:#}");
    ensure!(shown["counts"]["succeeded"] == TASKS - 1, "{shown:#}");
    let attempts = cluster.leader_says("GET", &format!("/api/runs/{run}/attempts?failed=true"), None).await;
    let attempts = attempts.context("the attempts")?;
    let given_up = attempts["items"].as_array().context("a list")?;
    let given_up = given_up.iter().filter(|attempt| attempt["terminal"] == true);
    let given_up: Vec<&Value> = given_up.map(|attempt| &attempt["partition"]).collect();
    ensure!(given_up == [&json!(poison)], "{attempts:#}");
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
    // At last nobody is left.
    for (begun, told) in [(10, 3), (40, 3), (70, 3), (100, 4)] {
        cluster.until_begun(begun).await?;
        let stopped = cluster.project.journal()?.stopped_of(&run);
        for worker in &mut cluster.workers[..told] {
            worker.process.terminate()?;
        }
        for worker in &mut cluster.workers[..told] {
            let status = worker.process.wait(PATIENCE).await?;
            ensure!(status.success(), "a worker that was told to stop ended with {status}");
        }
        let interrupted = cluster.project.journal()?.stopped_of(&run) - stopped;
        println!("{told} workers were told to stop: {interrupted} tasks were interrupted");
        ensure!(interrupted > 0, "everything ended within the grace: nothing was interrupted");
        ensure!(cluster.replace_ended_workers().await? == told);
    }
    cluster.finish(&run).await?;
    let outcomes = cluster.outcomes().await?;
    ensure!(outcomes.len() == 1, "interrupted tasks have spent attempts: {outcomes:?}");
    Ok(())
}
