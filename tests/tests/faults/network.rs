//! The network between each pair of processes: cut, slow, silent, half-open, and losing packets.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use backstitch_proto::message::task_queue;
use backstitch_tests::cluster::{Cluster, PATIENCE, Project, Shape};
use backstitch_tests::loss::Loss;
use backstitch_tests::relay::{Relay, Side};
use backstitch_tests::shared::skipped;
use backstitch_tests::wait::{pass, wait_for};

/// F7, F10. Every line breaks again and again: what was unconfirmed is published twice, what was unacknowledged is
/// delivered twice, and delivery tags of dead channels are left over.
#[tokio::test]
async fn lines_that_break_again_and_again_lose_nothing_and_record_nothing_twice() -> Result<()> {
    let mut cluster = Cluster::start(Project::chain(400, "0.2")?, Shape::default()).await?;
    let run = cluster.submit().await?;
    for succeeded in (20..420).step_by(40) {
        cluster.until_succeeded(&run, succeeded).await?;
        cluster.until_depth(&task_queue("default"), |depth| depth.unacknowledged > 0).await?;
        let leader = &cluster.coordinators[0];
        let mut cut: Vec<&Relay> = cluster.workers.iter().map(|worker| &worker.to_broker).collect();
        cut.push(&leader.to_broker);
        if succeeded % 80 == 20 {
            cut.push(&leader.to_ledger);
        }
        let before: Vec<usize> = cut.iter().map(|line| line.accepted()).collect();
        cut.iter().for_each(|line| line.cut());
        wait_for("another connection in place of each that was cut", PATIENCE, async || {
            cut.iter().zip(&before).all(|(line, before)| line.accepted() > *before).then_some(())
        })
        .await?;
    }
    let counts = cluster.counts(&run).await.context("counts")?;
    ensure!(counts["succeeded"].as_u64() < Some(cluster.project.tasks), "the run had ended: {counts}");
    cluster.finish(&run).await
}

/// F13. What AMQP cannot read, on every line and either way: a frame that breaks off in its head or before its last byte,
/// and one that arrives as garbage. Whoever reads it gives up the connection, and nothing else.
#[tokio::test]
async fn frames_that_are_torn_or_garbled_end_a_connection_and_no_process() -> Result<()> {
    let harms: [fn(&Relay, Side); 3] = [
        |line, side| line.tear(side, 3),
        |line, side| line.tear(side, usize::MAX),
        |line, side| line.garble(side),
    ];
    let mut cluster = Cluster::start(Project::chain(600, "0.1")?, Shape::default()).await?;
    // A frame may be whole and what it carries garbled.
    cluster.garbage = true;
    let run = cluster.submit().await?;
    cluster.until_succeeded(&run, 1).await?;
    for (number, harm) in harms.into_iter().enumerate() {
        for side in [Side::Program, Side::Server] {
            for line in [&cluster.workers[0].to_broker, &cluster.coordinators[0].to_broker] {
                let (harmed, connections) = (line.harmed(), line.accepted());
                harm(line, side);
                wait_for("a frame to be harmed, and another connection", PATIENCE, async || {
                    (line.harmed() == harmed + 1 && line.accepted() > connections).then_some(())
                })
                .await
                .with_context(|| format!("harm {number} of what the {side:?} says"))?;
            }
        }
    }
    let counts = cluster.counts(&run).await.context("counts")?;
    ensure!(counts["succeeded"].as_u64() < Some(cluster.project.tasks), "the run had ended: {counts}");
    let workers = cluster.workers.iter_mut().map(|worker| &mut worker.process);
    for process in workers.chain(cluster.coordinators.iter_mut().map(|coordinator| &mut coordinator.process))
    {
        let ended = process.ended();
        ensure!(ended.is_none(), "{} ended with {ended:?}:\n{}", process.name(), process.output());
    }
    cluster.finish(&run).await
}

/// F7. Workers that cannot be heard lose their leases, whichever direction is dead: one that hears nothing itself is
/// heard until its connection ends for want of heartbeats. What they did meanwhile is fenced when they are back.
#[tokio::test]
async fn a_worker_behind_a_dead_line_is_given_up_and_fenced() -> Result<()> {
    const STALE: &str = "backstitch_outcomes_stale_total";
    let shape = Shape { workers: 4, ..Shape::default() };
    let (mut cluster, run) = Cluster::start_holding(8, shape).await?;
    cluster.workers[0].to_broker.silence();
    cluster.workers[1].to_broker.half_open(Side::Program);
    cluster.workers[2].to_broker.half_open(Side::Server);
    cluster.until_workers(1).await?;
    cluster.project.open_gate()?;
    cluster.until_succeeded(&run, 8).await?;
    // Those that were given up have done their six tasks as well, and want to report them.
    cluster.until_executed(8 + 6).await?;
    for worker in &cluster.workers[..3] {
        let stale = cluster.metric(STALE).await.context("metrics")?;
        worker.to_broker.restore();
        cluster.until_metric(STALE, stale + 2.0).await?;
    }
    cluster.until_workers(4).await?;
    cluster.finish(&run).await?;
    ensure!(cluster.outcomes().await?["succeeded"] == 8);
    Ok(())
}

/// F7, F9. The leader hears nobody because its own line is dead. That says nothing about any worker.
#[tokio::test]
async fn a_leader_behind_a_dead_line_to_the_broker_takes_no_lease_away() -> Result<()> {
    let (mut cluster, run) = Cluster::start_holding(6, Shape::default()).await?;
    for side in [Side::Program, Side::Server] {
        cluster.coordinators[0].to_broker.half_open(side);
        // Longer than a lease: that nothing happens is the point.
        pass(Duration::from_secs(13)).await;
        cluster.coordinators[0].to_broker.restore();
        cluster.until_workers(3).await?;
    }
    cluster.project.open_gate()?;
    cluster.finish_each_once(&run).await
}

/// F7. A leader that loses the ledger gives up by itself, whichever direction is dead, and the standby leads.
#[tokio::test]
async fn a_leader_behind_a_dead_line_to_the_ledger_is_replaced() -> Result<()> {
    let shape = Shape { coordinators: 2, ..Shape::default() };
    let mut cluster = Cluster::start(Project::chain(120, "0.05")?, shape).await?;
    let run = cluster.submit().await?;
    for (leader, succeeded, side) in [(0, 40, Side::Program), (1, 140, Side::Server)] {
        cluster.until_succeeded(&run, succeeded).await?;
        cluster.coordinators[leader].to_ledger.half_open(side);
        let standby = &cluster.coordinators[1 - leader];
        wait_for("the standby to lead", PATIENCE, async || standby.leads().await.then_some(())).await?;
        cluster.coordinators[leader].to_ledger.restore();
        cluster.coordinators[leader].to_ledger.cut();
    }
    cluster.finish(&run).await
}

/// F8. The database has committed, and the answer never comes: the leader commits the same batch again.
#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_repeated_and_done_once() -> Result<()> {
    let (mut cluster, run) = Cluster::start_holding(6, Shape::default()).await?;
    let leader = &cluster.coordinators[0];
    leader.to_ledger.half_open_from(Side::Server, "COMMIT");
    cluster.project.open_gate()?;
    cluster.until_recorded(1).await?;
    leader.to_ledger.restore_anew();
    leader.process.line("commit failed", PATIENCE).await?;
    cluster.finish_each_once(&run).await?;
    cluster.each_succeeded_at_once().await
}

/// F8, F9. The broker has the messages, and no confirm ever comes: the leader publishes them again.
#[tokio::test]
async fn a_publish_whose_confirm_is_lost_is_repeated_and_done_once() -> Result<()> {
    let mut cluster = Cluster::start(Project::gated(6)?, Shape::default()).await?;
    let tasks = task_queue("default");
    for worker in &mut cluster.workers {
        worker.process.freeze()?;
    }
    let leader = &cluster.coordinators[0];
    leader.to_broker.half_open(Side::Server);
    let run = cluster.submit().await?;
    cluster.until_depth(&tasks, |depth| depth.total() == 6).await?;
    leader.to_broker.restore_anew();
    leader.process.line("publishing again", PATIENCE).await?;
    cluster.until_depth(&tasks, |depth| depth.total() > 6).await?;
    cluster.heal()?;
    cluster.project.open_gate()?;
    cluster.finish(&run).await?;
    cluster.each_succeeded_at_once().await
}

/// F15. 200 ms there and back on every line, and a database that stalls for longer than a heartbeat.
#[tokio::test]
async fn slow_lines_and_a_stalled_disk_cost_time_and_no_worker() -> Result<()> {
    let database = backstitch_tests::cluster::Database::Own;
    let mut cluster =
        Cluster::start(Project::chain(60, "0.05")?, Shape { database, ..Shape::default() }).await?;
    for line in lines(&cluster) {
        line.delay(Duration::from_millis(100));
    }
    let run = cluster.submit().await?;
    cluster.until_succeeded(&run, 20).await?;
    cluster.postgres()?.freeze()?;
    // Less than the lease of leadership, and many times a commit.
    pass(Duration::from_secs(3)).await;
    cluster.postgres()?.thaw()?;
    cluster.until_ended(&run).await?;
    cluster.no_worker_was_lost().await?;
    cluster.finish(&run).await
}

/// F15. Of the packets on every line, to the servers and back, one in a hundred is lost, then one in twenty.
#[tokio::test]
async fn lines_that_lose_packets_cost_time_and_no_worker() -> Result<()> {
    if !Loss::is_possible() {
        return skipped("only root can make the network lose packets, with nft");
    }
    let shape = Shape { coordinators: 2, ..Shape::default() };
    let mut cluster = Cluster::start(Project::chain(200, "0.1")?, shape).await?;
    let ports: Vec<u16> = lines(&cluster).map(Relay::port).collect();
    let run = cluster.submit().await?;
    for (percent, succeeded) in [(1, 200), (5, 400)] {
        let loss = Loss::of(percent, &ports)?;
        cluster.until_succeeded(&run, succeeded).await?;
        let lost = loss.packets()?;
        println!("{percent} of 100 packets: {lost:?} were lost to and from the servers");
        ensure!(lost.iter().all(|packets| *packets > 0), "no packet was lost: {lost:?}");
    }
    cluster.until_ended(&run).await?;
    cluster.no_worker_was_lost().await?;
    cluster.finish_each_once(&run).await
}

/// Every line of every process.
fn lines(cluster: &Cluster) -> impl Iterator<Item = &Relay> {
    let coordinators = cluster.coordinators.iter();
    let coordinators = coordinators.flat_map(|process| [&process.to_broker, &process.to_ledger]);
    coordinators.chain(cluster.workers.iter().map(|worker| &worker.to_broker))
}
