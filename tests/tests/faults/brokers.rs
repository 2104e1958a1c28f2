//! What happens to RabbitMQ: a node dies, stalls, is full, or loses patience.

use std::time::Duration;

use anyhow::{Result, ensure};
use backstitch_tests::cluster::{Broker, Cluster, PATIENCE, Project, Shape};
use backstitch_tests::wait::{pass, wait_for};

fn own() -> Shape {
    Shape { broker: Broker::Own, ..Shape::default() }
}

/// F3. The broker is killed with tasks in each state, and away for longer than a lease while tasks run.
#[tokio::test]
async fn a_broker_that_is_away_for_longer_than_a_lease_costs_no_running_task() -> Result<()> {
    let mut cluster = Cluster::start(Project::gated(6)?, own()).await?;
    let run = cluster.submit().await?;
    cluster.until_begun(6).await?;
    cluster.rabbitmq(0)?.kill().await?;
    // Longer than a lease, on top of which comes the boot: that nothing happens is the point.
    pass(Duration::from_secs(12)).await;
    cluster.rabbitmq(0)?.restart().await?;
    cluster.until_workers(3).await?;
    cluster.project.open_gate()?;
    cluster.finish_each_once(&run).await
}

/// F9, F14. Out of memory, then out of disk: nobody may publish, heartbeats included.
#[tokio::test]
async fn a_blocked_broker_stops_publishing_and_costs_no_running_task() -> Result<()> {
    let mut cluster = Cluster::start(Project::gated(12)?, own()).await?;
    let run = cluster.submit().await?;
    cluster.until_begun(6).await?;
    let node = cluster.rabbitmq(0)?;
    let (memory, disk) = ("set_vm_memory_high_watermark", "set_disk_free_limit");
    node.ctl([memory, "absolute", "1000000"]).await?;
    // Longer than a lease: that nothing happens is the point.
    pass(Duration::from_secs(13)).await;
    let node = cluster.rabbitmq(0)?;
    // Both at once: the alarms overlap, so that the block is never lifted in between.
    node.ctl([disk, "100000GB"]).await?;
    node.ctl([memory, "absolute", "512MB"]).await?;
    cluster.project.open_gate()?;
    wait_for("the coordinator to say so", PATIENCE, async || {
        let ready = cluster.leader_says("GET", "/readyz", None).await;
        ready.is_none().then_some(())
    })
    .await?;
    cluster.rabbitmq(0)?.ctl([disk, "50MB"]).await?;
    cluster.finish_each_once(&run).await
}

/// F11. The broker closes the channel of a consumer that does not acknowledge for five seconds; tasks take twice as
/// long.
#[tokio::test]
async fn a_delivery_timeout_shorter_than_a_task_runs_no_task_twice() -> Result<()> {
    let project = Project::new(6, 1, "  a: {partitions: slices, command: [sh, task.sh, sleep, \"12\"]}\n")?;
    let mut cluster = Cluster::start(project, Shape { workers: 0, ..own() }).await?;
    // Looked at every second instead of every minute, by channels that are opened from now on.
    let settings = "application:set_env(rabbit, consumer_timeout, 5000), \
        application:set_env(rabbit, channel_tick_interval, 1000).";
    cluster.rabbitmq(0)?.ctl(["eval", settings]).await?;
    for _ in 0..3 {
        cluster.add_worker().await?;
    }
    let run = cluster.submit().await?;
    // Whichever worker has got tasks.
    wait_for("the broker to close a channel", PATIENCE, async || {
        let closed = |output: String| output.contains("PRECONDITION");
        cluster.workers.iter().any(|worker| closed(worker.process.output())).then_some(())
    })
    .await?;
    cluster.finish(&run).await?;
    let journal = cluster.project.journal()?;
    ensure!(journal.begun() == 6, "{} executions of 6 tasks", journal.begun());
    Ok(())
}

/// F3. Each node of three dies in turn, the leader of every queue among them; then one freezes and comes back.
#[tokio::test]
async fn each_of_three_broker_nodes_may_die_or_freeze() -> Result<()> {
    let shape = Shape { broker: Broker::Three, ..Shape::default() };
    let mut cluster = Cluster::start(Project::chain(400, "0.05")?, shape).await?;
    let run = cluster.submit().await?;
    for (number, succeeded) in [(0, 100), (1, 250), (2, 400)] {
        cluster.until_succeeded(&run, succeeded).await?;
        cluster.rabbitmq(number)?.kill().await?;
        cluster.until_succeeded(&run, succeeded + 50).await?;
        cluster.rabbitmq(number)?.restart().await?;
    }
    cluster.until_succeeded(&run, 550).await?;
    cluster.rabbitmq(0)?.freeze()?;
    cluster.until_succeeded(&run, 650).await?;
    cluster.rabbitmq(0)?.thaw()?;
    cluster.finish(&run).await
}
