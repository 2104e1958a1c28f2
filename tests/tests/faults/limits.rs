//! What has to hold at every instant, while coordinators die and runs compete.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use backstitch_tests::cluster::{Cluster, PATIENCE, Project, Shape};
use backstitch_tests::wait::{pass, wait_for};
use serde_json::json;

/// F21. Five hundred slots and a pool of three, under two coordinators of which the one that leads is killed or frozen
/// again and again. The journal of the tasks themselves is the witness.
#[tokio::test]
async fn a_pool_is_never_exceeded_while_coordinators_come_and_go() -> Result<()> {
    const LIMIT: usize = 3;
    let assets =
        "  a: {partitions: slices, pool: p, command: [sh, task.sh, sleep, \"0.1\"]}\npools: {p: 3}\n";
    let shape = Shape { coordinators: 2, workers: 50, slots: 10, ..Shape::default() };
    let mut cluster = Cluster::start(Project::new(200, 1, assets)?, shape).await?;
    let run = cluster.submit().await?;
    for (succeeded, freeze) in [(20, false), (60, true), (100, false), (140, true)] {
        cluster.until_succeeded(&run, succeeded).await?;
        let leading = cluster.until_one_leads().await?;
        let mut leader = cluster.coordinators.remove(leading);
        // Either may have led before.
        let (led, stood_by) = (leader.process.lines(), cluster.coordinators[0].process.lines());
        if freeze {
            leader.process.freeze()?;
        } else {
            leader.process.kill().await?;
        }
        cluster.coordinators[0].process.line_after(stood_by, "leading", PATIENCE).await?;
        if freeze {
            leader.process.thaw()?;
            leader.process.line_after(led, "back to standby", PATIENCE).await?;
            cluster.coordinators.push(leader);
        } else {
            cluster.add_coordinator().await?;
        }
    }
    cluster.finish_each_once(&run).await?;
    let most = cluster.project.journal()?.most_at_once(|_| true);
    ensure!(most <= LIMIT, "{most} tasks of a pool of {LIMIT} ran at the same instant");
    ensure!(most == LIMIT, "only {most} of {LIMIT} slots of the pool were ever used");
    Ok(())
}

/// F22. Small runs of a higher priority come while many large ones have every slot. What begins before them is what was
/// on its way already, a window of dispatches. A fair share among all runs would let each of the large ones go first.
#[tokio::test]
async fn a_small_run_of_higher_priority_never_waits_behind_large_ones() -> Result<()> {
    const SLOTS: usize = 2;
    // A dispatch is about a second of work.
    const TASKS_OF_A_DISPATCH: usize = 20;
    // Per slot one runs and one waits; and while the small run waits for one slot, the other may take one more.
    const BOUND: usize = 3 * SLOTS * TASKS_OF_A_DISPATCH;
    let assets = "  large: {partitions: slices, command: [sh, task.sh, sleep, \"0.05\"]}\n  \
                    small: {command: [sh, task.sh, sleep, \"0.01\"]}\n";
    let shape = Shape { workers: SLOTS, slots: 1, ..Shape::default() };
    let mut cluster = Cluster::start(Project::new(3_000, 1, assets)?, shape).await?;
    let mut large = Vec::new();
    for _ in 0..30 {
        large.push(cluster.submit_as(json!({ "assets": "large", "filter": "all" })).await?);
    }
    // Dispatches are of one task until it is known how long a task takes.
    cluster.until_begun(100).await?;
    for _ in 0..4 {
        let small = json!({ "assets": "small", "filter": "all", "priority": 10 });
        let small = cluster.submit_as(small).await?;
        let answered = cluster.project.journal()?.len();
        let before = wait_for("the small run to begin", PATIENCE, async || {
            cluster.project.journal().ok()?.after(answered).before("small")
        });
        let before = before.await?.begun();
        println!("{before} tasks of large runs began before the small run");
        ensure!(before <= BOUND, "the small run waited for {before} tasks of large runs");
        let ended = cluster.until_ended(&small).await?;
        ensure!(ended["status"] == "succeeded", "{ended:#}");
    }
    for run in &large {
        cluster.cancel(run).await?;
    }
    for run in &large {
        cluster.until_ended(run).await?;
    }
    cluster.audit().await
}

/// F20. From the answer on, what begins is of the run that was put first, but for what was on its way.
#[tokio::test]
async fn a_run_whose_priority_is_raised_is_the_one_that_goes_on() -> Result<()> {
    const SLOTS: usize = 2;
    // A dispatch is about a second of work.
    const TASKS_OF_A_DISPATCH: usize = 5;
    const BOUND: usize = 3 * SLOTS * TASKS_OF_A_DISPATCH;
    let asset = |name| format!("  {name}: {{partitions: slices, command: [sh, task.sh, sleep, \"0.2\"]}}\n");
    let shape = Shape { workers: SLOTS, slots: 1, ..Shape::default() };
    let project = Project::new(500, 2, &(asset("a") + &asset("b")))?;
    let mut cluster = Cluster::start(project, shape).await?;
    let runs = [
        cluster.submit_as(json!({ "assets": "a", "filter": "all" })).await?,
        cluster.submit_as(json!({ "assets": "b", "filter": "all" })).await?,
    ];
    cluster.until_begun(10).await?;
    for (raised, other, priority) in [("b", "a", 5), ("a", "b", 6)] {
        let run = &runs[usize::from(raised == "b")];
        cluster.change(run, json!({ "priority": priority })).await?;
        let answered = cluster.project.journal()?.len();
        let since = wait_for("the raised run to go on", PATIENCE, async || {
            let since = cluster.project.journal().ok()?.after(answered);
            (since.begun_of(raised) >= 2 * BOUND).then_some(since)
        });
        let before = since.await?.begun_of(other);
        println!("{before} tasks of {other} began after {raised} was put first");
        ensure!(before <= BOUND, "{before} tasks of {other} began after {raised} was put first");
    }
    for run in &runs {
        cluster.cancel(run).await?;
        cluster.until_ended(run).await?;
    }
    cluster.audit().await
}

/// F20. Each request is answered at once and holds at once, and nothing is stranded.
#[tokio::test]
async fn pausing_throttling_and_cancelling_hold_while_workers_die() -> Result<()> {
    // Three workers of two slots, of whom each executes a dispatch and holds another; a dispatch is a second of work.
    const ON_THEIR_WAY: usize = 3 * 2 * 2 * 20;
    // What workers that know of a cancel still begin: nothing; but it takes a moment until they do.
    const BEFORE_IT_IS_HEARD: usize = 3 * 2 * 5;
    // Many times what a leader takes to dispatch what is ready.
    const MOMENT: Duration = Duration::from_secs(3);
    let mut cluster = Cluster::start(Project::chain(400, "0.05")?, Shape::default()).await?;
    let run = cluster.submit().await?;
    cluster.until_succeeded(&run, 20).await?;
    cluster.change(&run, json!({ "paused": true })).await?;
    let at_answer = cluster.project.journal()?.begun();
    cluster.workers[0].process.kill().await?;
    cluster.replace_ended_workers().await?;
    wait_for("everything in flight to land", PATIENCE, async || {
        (cluster.counts(&run).await?["in_flight"] == 0).then_some(())
    })
    .await?;
    let (at_rest, lines) = (cluster.project.journal()?.begun(), cluster.project.journal()?.len());
    let after = at_rest - at_answer;
    println!("{after} tasks began after the pause was answered");
    ensure!(after <= ON_THEIR_WAY, "{after} tasks began after the pause was answered");
    // That nothing happens is the point.
    pass(MOMENT).await;
    ensure!(cluster.project.journal()?.begun() == at_rest, "a paused run went on");
    cluster.change(&run, json!({ "priority": 5, "max_parallel": 1 })).await?;
    pass(MOMENT).await;
    ensure!(cluster.project.journal()?.begun() == at_rest, "a paused run went on when it was changed");

    cluster.change(&run, json!({ "paused": false })).await?;
    cluster.until_begun(at_rest + 20).await?;
    let throttled = cluster.project.journal()?.after(lines);
    let most = throttled.most_at_once(|_| true);
    ensure!(most == 1, "{most} tasks of a run that was throttled to one ran at the same instant");
    cluster.change(&run, json!({ "max_parallel": 0 })).await?;
    cluster.workers[0].process.kill().await?;
    cluster.replace_ended_workers().await?;
    cluster.until_begun(at_rest + 60).await?;
    let lines = cluster.project.journal()?.len();
    wait_for("all slots to be used again", PATIENCE, async || {
        let since = cluster.project.journal().ok()?.after(lines);
        (since.most_at_once(|_| true) > 1).then_some(())
    })
    .await?;
    cluster.cancel(&run).await?;
    let at_answer = cluster.project.journal()?.begun();
    let ended = cluster.until_ended_within(&run, Duration::from_secs(60)).await?;
    ensure!(ended["status"] == "cancelled", "{ended:#}");
    let at_end = cluster.project.journal()?.begun();
    let after = at_end - at_answer;
    println!("{after} tasks began after the cancel was answered");
    ensure!(after <= BEFORE_IT_IS_HEARD, "{after} tasks began after the cancel was answered");
    // Once no queue holds a message, nothing can begin any more.
    cluster.audit().await?;
    ensure!(cluster.project.journal()?.begun() == at_end, "a cancelled run went on after its end");

    // What was cancelled can be finished by another run.
    let rest = cluster.submit_as(json!({ "assets": "*" })).await?;
    let ended = cluster.until_ended(&rest).await?;
    ensure!(ended["status"] == "succeeded", "{ended:#}");
    cluster.audit_with_metrics().await
}

/// F2, F20. Nothing is ever expanded: a million partitions are one row, for the next leader too.
#[tokio::test]
async fn a_million_partitions_survive_their_leader_and_are_cancelled_at_once() -> Result<()> {
    // A bound for a machine that does much else; it takes a second.
    const CANCELLED_WITHIN: Duration = Duration::from_secs(30);
    // Three workers of two slots, a window of two dispatches each, a dispatch of a second of work.
    const ON_THEIR_WAY: usize = 3 * 2 * 2 * 10;
    const MEMORY_MB: u64 = 150;
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
    cluster.cancel(&run).await?;
    let at_answer = cluster.project.journal()?.begun();
    let ended = cluster.until_ended_within(&run, CANCELLED_WITHIN).await?;
    let after = cluster.project.journal()?.begun() - at_answer;
    ensure!(after <= ON_THEIR_WAY, "{after} tasks began after the cancel was answered");
    ensure!(ended["status"] == "cancelled" && ended["counts"]["targeted"] == 1_000_000, "{ended:#}");
    let peak_mb = cluster.coordinators[0].process.memory_peak_mb()?;
    println!("a leader of a million partitions had {peak_mb} MB");
    ensure!(peak_mb <= MEMORY_MB, "a leader of a million partitions had {peak_mb} MB");
    cluster.audit().await
}
