//! Messages of other versions, and messages that nobody of ours has written.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use backstitch_broker::Target;
use backstitch_proto::message::{
    CONTROL_FANOUT, Dispatch, HEARTBEAT_QUEUE, Invocation, Message, REPORT_QUEUE, task_queue,
};
use backstitch_tests::cluster::{Broker, Cluster, PATIENCE, Project, Shape};
use backstitch_tests::stranger::Stranger;
use backstitch_tests::wait::wait_for;

/// The bytes that every version of every message is held against.
fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto/src/message/golden")
}

/// The golden bytes of a kind of message, every version that there ever was.
fn versions(kind: &str) -> Result<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(golden())? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with(&format!("{kind}.v")) {
            let hex = std::fs::read_to_string(&path)?;
            let byte = |pair: &[u8]| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?);
            found.push(hex.trim().as_bytes().chunks(2).map(byte).collect::<Result<_>>()?);
        }
    }
    ensure!(!found.is_empty(), "no golden bytes of a {kind}");
    Ok(found)
}

/// Puts each message of a queue without consumers back three times, in another order.
async fn triple(cluster: &Cluster, name: &str) -> Result<()> {
    let there = cluster.until_depth(name, |depth| depth.unacknowledged == 0).await?.ready;
    let stranger = stranger_at(cluster).await?;
    let took = stranger.triple(name, there.try_into()?, PATIENCE).await?;
    stranger.leave().await;
    ensure!(took > 0 && took as u64 == there, "{took} of {there} messages came");
    Ok(())
}

async fn stranger_at(cluster: &Cluster) -> Result<Stranger> {
    Stranger::at(&cluster.broker_url()).await
}

fn queue(name: &str) -> Target {
    Target::Queue(name.to_owned())
}

/// F19. What an old worker says is understood by a coordinator of today, and what an old coordinator says by a worker
/// of today: each golden message does through RabbitMQ what it says.
#[tokio::test]
async fn every_version_that_ever_was_is_understood_by_the_programs_of_today() -> Result<()> {
    let variables = vec![("BACKSTITCH_LOG", "info,backstitch_worker=debug".to_owned())];
    let shape = Shape { workers: 1, variables, ..Shape::default() };
    let mut cluster = Cluster::start(Project::chain(20, "0.01")?, shape).await?;
    // The program that the golden dispatch names.
    let bin = Path::new(cluster.project.path()).join("bin");
    std::fs::create_dir(&bin)?;
    let script = "#!/bin/sh\nprintf '%s' \"$BACKSTITCH_PARTITION_KEY in $UNIT\" >old\n";
    std::fs::write(bin.join("daily.sh"), script)?;
    std::fs::set_permissions(bin.join("daily.sh"), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let stranger = stranger_at(&cluster).await?;

    for dispatch in versions("dispatch")? {
        stranger.send(&queue(&task_queue("default")), [dispatch]).await?;
        let left_behind = Path::new(cluster.project.path()).join("old");
        let text = wait_for("the golden dispatch to be executed", PATIENCE, async || {
            std::fs::read_to_string(&left_behind).ok().filter(|text| !text.is_empty())
        })
        .await?;
        ensure!(text == "seattle|2010-01-02 in F", "{text}");
        std::fs::remove_file(left_behind)?;
    }
    // The golden messages are of the third term. A leader leaves what is said of a later term to its successor, so the
    // terms pass until one knows that the golden dispatch is none of its own.
    wait_for("what became of the golden dispatch to be heard", PATIENCE, async || {
        (cluster.metric("backstitch_outcomes_stale_total").await? > 0.0).then_some(())
    })
    .await?;
    for report in versions("report")? {
        let before = cluster.metric("backstitch_outcomes_stale_total").await.context("metrics")?;
        stranger.send(&queue(REPORT_QUEUE), [report]).await?;
        wait_for("the golden report to be judged", PATIENCE, async || {
            (cluster.metric("backstitch_outcomes_stale_total").await? > before).then_some(())
        })
        .await?;
    }
    for heartbeat in versions("heartbeat")? {
        stranger.send(&queue(HEARTBEAT_QUEUE), [heartbeat]).await?;
        wait_for("the golden worker to be known", PATIENCE, async || {
            let workers = cluster.leader_says("GET", "/api/workers", None).await?;
            workers.as_array()?.iter().any(|worker| worker["name"] == "worker-1").then_some(())
        })
        .await?;
        // It is never heard of again, and what it took nobody else gets.
        cluster.until_workers(1).await?;
    }
    for control in versions("control")? {
        stranger.send(&Target::Fanout(CONTROL_FANOUT.to_owned()), [control]).await?;
        cluster.workers[0].process.line("CancelRun", PATIENCE).await?;
    }
    let run = cluster.submit().await?;
    cluster.finish(&run).await
}

/// Results that the broker had confirmed are gone with a purged queue, whoever leads then: made again, and once in the
/// ledger. The only worker is the one that has already settled these dispatches.
#[tokio::test]
async fn results_that_the_broker_lost_are_made_again() -> Result<()> {
    let shape = Shape { workers: 1, slots: 6, broker: Broker::Own, ..Shape::default() };
    let (mut cluster, run) = Cluster::start_holding(6, shape).await?;
    cluster.coordinators.remove(0).process.kill().await?;
    cluster.project.open_gate()?;
    // A delivery is acknowledged once its report is confirmed.
    cluster.until_depth(&task_queue("default"), |depth| depth.total() == 0).await?;
    cluster.rabbitmq(0)?.ctl(["purge_queue", REPORT_QUEUE]).await?;
    cluster.add_coordinator().await?;
    cluster.finish(&run).await?;
    ensure!(cluster.project.journal()?.begun() == 12, "every task runs twice");
    Ok(())
}

/// F13, F19. A later version, another kind, too much, too little, too large: dead-lettered with the reason, and
/// whoever got it goes on.
#[tokio::test]
async fn what_cannot_be_read_is_dead_lettered_with_the_reason_and_the_run_ends() -> Result<()> {
    let mut cluster = Cluster::start(Project::chain(60, "0.05")?, Shape::default()).await?;
    cluster.garbage = true;
    let stranger = stranger_at(&cluster).await?;
    let run = cluster.submit().await?;
    let tasks = task_queue("default");
    let queues = [(tasks.as_str(), "dispatch"), (REPORT_QUEUE, "report"), (HEARTBEAT_QUEUE, "heartbeat")];
    for (name, kind) in queues {
        let known = versions(kind)?.pop().context("golden bytes")?;
        let (mut newer, mut longer, mut shorter) = (known.clone(), known.clone(), known.clone());
        // The fourth byte is the version.
        newer[3] = 200;
        longer.push(0);
        shorter.truncate(known.len() - 1);
        let other = versions("control")?.pop().context("golden bytes")?;
        // A body of eight megabytes is the limit of the codec.
        let large = [&known[..4], &vec![0; (8 << 20) + 1]].concat();
        stranger.send(&queue(name), [newer, longer, shorter, other, large]).await?;
        let mut reasons = stranger.reasons(name, 5).await?;
        reasons.sort();
        let expected = [
            "of version 200, where this program knows version",
            "is followed by 1 more bytes",
            &format!("decoding a {kind}"),
            "a message of kind 4 where a",
            "is over the limit of",
        ];
        for part in expected {
            ensure!(
                reasons.iter().any(|reason| reason.contains(part)),
                "{name}: no {part:?} in {reasons:#?}"
            );
        }
    }
    let mut newer = versions("control")?.pop().context("golden bytes")?;
    newer[3] = 200;
    stranger.send(&Target::Fanout(CONTROL_FANOUT.to_owned()), [newer]).await?;
    cluster.finish(&run).await?;
    for worker in &mut cluster.workers {
        ensure!(worker.process.ended().is_none(), "a worker left");
    }
    Ok(())
}

/// F13. JSON that is nested deeper than any stack, wherever somebody parses it: in a request, in the config of a
/// dispatch, in what a task says of its result.
#[tokio::test]
async fn json_that_is_nested_without_end_ends_no_process() -> Result<()> {
    const DEPTH: usize = 60_000;
    let asset = "  a: {partitions: slices, command: [sh, deep.sh]}\n";
    let mut cluster = Cluster::start(Project::new(3, 1, asset)?, Shape::default()).await?;
    let says = format!(
        "sh task.sh sleep 0\n{{ printf deep=; head -c {DEPTH} /dev/zero | tr '\\0' '['; }} >>\"$BACKSTITCH_METADATA\"\n"
    );
    std::fs::write(Path::new(cluster.project.path()).join("deep.sh"), says)?;
    let deep = "[".repeat(DEPTH) + &"]".repeat(DEPTH);

    let known = versions("dispatch")?.pop().context("golden bytes")?;
    let mut dispatch = Dispatch::decode(&known)?;
    dispatch.invocation =
        Arc::new(Invocation { config_json: deep.clone(), ..(*dispatch.invocation).clone() });
    let stranger = stranger_at(&cluster).await?;
    stranger.send(&queue(&task_queue("default")), [dispatch.encode()?]).await?;
    stranger.leave().await;
    cluster.until_metric("backstitch_outcomes_stale_total", 1.0).await?;

    for body in [deep.clone(), "[".repeat(DEPTH), format!("{{\"assets\": {deep}}}")] {
        let runs = format!("{}/api/runs", cluster.coordinators[0].url);
        let request = reqwest::Client::new().post(runs).header("content-type", "application/json").body(body);
        let status = request.send().await?.status();
        ensure!(status.is_client_error(), "a body that nobody can read was answered with {status}");
    }
    let run = cluster.submit().await?;
    cluster.finish_each_once(&run).await?;
    for worker in &mut cluster.workers {
        ensure!(worker.process.ended().is_none(), "a worker left");
    }
    Ok(())
}

/// F10. Each dispatch that the queue holds is there three times, in another order.
#[tokio::test]
async fn dispatches_that_come_three_times_and_out_of_order_have_one_effect() -> Result<()> {
    let mut cluster =
        Cluster::start(Project::chain(60, "0.02")?, Shape { workers: 1, ..Shape::default() }).await?;
    // Dispatches wait for whoever comes: these are made for a worker that is gone.
    cluster.workers[0].process.freeze()?;
    let run = cluster.submit().await?;
    let tasks = task_queue("default");
    cluster.until_depth(&tasks, |depth| depth.total() > 0).await?;
    cluster.workers.remove(0).process.kill().await?;
    triple(&cluster, &tasks).await?;
    for _ in 0..3 {
        cluster.add_worker().await?;
    }
    cluster.finish(&run).await?;
    cluster.each_succeeded_at_once().await
}

/// F10. Each report that the queue holds is there three times, in another order: one counts, two are rejected.
#[tokio::test]
async fn reports_that_come_three_times_and_out_of_order_have_one_effect() -> Result<()> {
    let (mut cluster, run) = Cluster::start_holding(6, Shape::default()).await?;
    cluster.coordinators.remove(0).process.kill().await?;
    cluster.project.open_gate()?;
    // A delivery is acknowledged once its report is confirmed.
    cluster.until_depth(&task_queue("default"), |depth| depth.total() == 0).await?;
    triple(&cluster, REPORT_QUEUE).await?;
    cluster.add_coordinator().await?;
    cluster.until_metric("backstitch_outcomes_stale_total", 2.0 * 6.0).await?;
    cluster.finish_each_once(&run).await?;
    cluster.each_succeeded_at_once().await
}
