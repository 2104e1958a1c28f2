//! What happens to RabbitMQ: a node dies, stalls, is full, or loses patience.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use backstitch_proto::message::{FORMER_HEARTBEAT_QUEUE, HEARTBEAT_QUEUE, task_queue};
use backstitch_tests::cluster::{Broker, Cluster, PATIENCE, Project, Shape, ask};
use backstitch_tests::disk::SmallDisk;
use backstitch_tests::rabbitmq::RabbitMq;
use backstitch_tests::shared::skipped;
use backstitch_tests::wait::{pass, wait_for};
use serde_json::json;

/// What the leader's metric is called.
const BLOCKED: &str = "backstitch_broker_blocked";

fn own() -> Shape {
    Shape { broker: Broker::Own, ..Shape::default() }
}

/// F3. The broker is killed, and away for longer than a lease, while some tasks run, some wait in workers, and the rest
/// have not been sent.
#[tokio::test]
async fn a_broker_that_is_away_for_longer_than_a_lease_costs_no_running_task() -> Result<()> {
    const TASKS: u32 = 40;
    let mut cluster = Cluster::start(Project::gated(TASKS)?, own()).await?;
    let run = cluster.submit().await?;
    cluster.until_begun(6).await?;
    let queue = task_queue("default");
    // Three workers run two each, and have room for two more.
    let depth = cluster.until_depth(&queue, |depth| depth.unacknowledged >= 3 * (2 + 2)).await?;
    ensure!(depth.total() < u64::from(TASKS), "nothing is left to be sent: {depth:?}");
    cluster.rabbitmq(0)?.kill().await?;
    // Longer than a lease, on top of which comes the boot: that nothing happens is the point.
    pass(Duration::from_secs(12)).await;
    cluster.rabbitmq(0)?.restart().await?;
    cluster.until_workers(3).await?;
    cluster.project.open_gate()?;
    cluster.finish_each_once(&run).await
}

/// F15. The only node stands still, with dispatches in the hands of workers: first shorter than a lease of a worker, then
/// for longer than every lease. Nobody hears of anybody, and that says nothing about any worker.
#[tokio::test]
async fn a_broker_that_stands_still_for_longer_than_every_lease_costs_no_worker() -> Result<()> {
    let mut cluster = Cluster::start(Project::chain(200, "0.2")?, own()).await?;
    let run = cluster.submit().await?;
    for (succeeded, stall_s) in [(40, 6), (160, 20)] {
        cluster.until_succeeded(&run, succeeded).await?;
        cluster.until_depth(&task_queue("default"), |depth| depth.unacknowledged > 0).await?;
        cluster.rabbitmq(0)?.freeze()?;
        // That nothing happens is the point.
        pass(Duration::from_secs(stall_s)).await;
        let ended = cluster.project.journal()?.ended().len() as u64;
        ensure!(ended < cluster.project.tasks, "the run had ended before the broker stood still");
        cluster.rabbitmq(0)?.thaw()?;
    }
    cluster.until_ended(&run).await?;
    cluster.no_worker_was_lost().await?;
    cluster.finish_each_once(&run).await?;
    cluster.audit_with_metrics().await
}

/// F9, F14. Out of memory, then out of disk: nobody may publish, heartbeats included. A run that is submitted
/// meanwhile waits, although slots are free.
#[tokio::test]
async fn a_blocked_broker_stops_publishing_and_costs_no_running_task() -> Result<()> {
    let mut cluster = Cluster::start(Project::gated(6)?, own()).await?;
    let some = |partitions| json!({ "assets": "*", "partitions": partitions, "filter": "all" });
    let first = cluster.submit_as(some("p00000...p00002")).await?;
    cluster.until_begun(3).await?;
    ensure!(cluster.metric(BLOCKED).await == Some(0.0));
    let (memory, disk) = ("set_vm_memory_high_watermark", "set_disk_free_limit");

    cluster.rabbitmq(0)?.ctl([memory, "absolute", "1000000"]).await?;
    until_blocked(&cluster, "low on memory").await?;
    let second = cluster.submit_as(some("p00003...p00005")).await?;
    let leader = &cluster.coordinators[0].process;
    let before_ms = leader.processor_ms()?;
    // Longer than a lease: that nothing happens is the point.
    pass(Duration::from_secs(13)).await;
    let took_ms = leader.processor_ms()? - before_ms;
    // A tenth of the time.
    ensure!(took_ms < 1_300, "waiting took {took_ms} ms of processor time");
    nothing_was_sent_but(&cluster, 3).await?;
    cluster.rabbitmq(0)?.ctl([memory, "absolute", "512MB"]).await?;
    cluster.until_begun(6).await?;

    cluster.rabbitmq(0)?.ctl([disk, "100000GB"]).await?;
    until_blocked(&cluster, "low on disk").await?;
    let third = cluster.submit().await?;
    cluster.project.open_gate()?;
    cluster.until_executed(6).await?;
    nothing_was_sent_but(&cluster, 6).await?;
    cluster.rabbitmq(0)?.ctl([disk, "50MB"]).await?;
    for run in [first, second] {
        let ended = cluster.until_ended(&run).await?;
        ensure!(ended["status"] == "succeeded", "{ended:#}");
    }
    cluster.finish(&third).await?;
    ensure!(cluster.project.journal()?.begun() == 3 + 3 + 6, "tasks were run a second time");
    ensure!(cluster.metric(BLOCKED).await == Some(0.0), "it is not blocked any more");
    cluster.no_worker_was_lost().await
}

/// F14. The disk of the broker runs low, and it closes itself to publishers. Then it is full to its last byte, and the
/// broker, whose limit is none, does not see it coming: RabbitMQ lives on without its quorum queues, which come back when
/// it is started again with room on its disk.
#[tokio::test]
async fn a_broker_with_a_full_disk_loses_nothing_once_there_is_room() -> Result<()> {
    const DISK_MB: u32 = 200;
    // Below the limit that every node of these tests has.
    const LOW_MB: u32 = 30;
    let Some(disk) = SmallDisk::mount(DISK_MB)? else {
        return skipped("only root can mount a small file system for the broker");
    };
    let node = RabbitMq::start_on(disk.path()).await?;
    let shape = Shape { broker: Broker::Given(Box::new(node)), ..Shape::default() };
    let mut cluster = Cluster::start(Project::chain(300, "0.05")?, shape).await?;
    let run = cluster.submit().await?;
    cluster.until_succeeded(&run, 100).await?;
    disk.fill_but(LOW_MB)?;
    until_blocked(&cluster, "low on disk").await?;
    disk.empty()?;
    cluster.until_succeeded(&run, 250).await?;

    cluster.rabbitmq(0)?.ctl(["set_disk_free_limit", "0"]).await?;
    disk.fill_but(0)?;
    wait_for("the broker to run out of room", PATIENCE, async || {
        cluster.rabbitmq(0).ok()?.log().contains("enospc").then_some(())
    })
    .await?;
    cluster.coordinators[0].process.line("lost the connection to the broker", PATIENCE).await?;
    disk.empty()?;
    cluster.rabbitmq(0)?.kill().await?;
    cluster.rabbitmq(0)?.restart().await?;
    cluster.until_ended(&run).await?;
    cluster.no_worker_was_lost().await?;
    cluster.finish_each_once(&run).await
}

/// No task has begun but these, and no other is on its way.
async fn nothing_was_sent_but(cluster: &Cluster, tasks: u32) -> Result<()> {
    let (begun, open) = (cluster.project.journal()?.begun(), cluster.open_dispatches().await?);
    ensure!(begun == tasks as usize, "{begun} tasks have begun");
    ensure!(open == u64::from(tasks), "{open} dispatches were made");
    Ok(())
}

/// Waits until the leader says that it is not ready, and why, and its metric says the same.
async fn until_blocked(cluster: &Cluster, why: &str) -> Result<()> {
    let url = format!("{}/readyz", cluster.coordinators[0].url);
    wait_for(why, PATIENCE, async || {
        let refusal = ask("GET", &url, None).await.err()?.to_string();
        (refusal.contains(": 503 ") && refusal.contains(why)).then_some(())
    })
    .await?;
    cluster.until_metric(BLOCKED, 1.0).await
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

/// F3. Each node of three dies in turn, the one that leads the task queue among them; then the one that leads it by
/// then freezes and comes back.
#[tokio::test]
async fn each_of_three_broker_nodes_may_die_or_freeze() -> Result<()> {
    let shape = Shape { broker: Broker::Three, ..Shape::default() };
    let mut cluster = Cluster::start(Project::chain(400, "0.05")?, shape).await?;
    let run = cluster.submit().await?;
    let (tasks, mut leaders_killed) = (task_queue("default"), 0);
    for (number, succeeded) in [(0, 100), (1, 250), (2, 400)] {
        cluster.until_succeeded(&run, succeeded).await?;
        leaders_killed += usize::from(cluster.node_that_leads(&tasks).await? == number);
        cluster.rabbitmq(number)?.kill().await?;
        cluster.until_succeeded(&run, succeeded + 50).await?;
        cluster.rabbitmq(number)?.restart().await?;
    }
    ensure!(leaders_killed > 0, "no node that led the task queue was killed");
    cluster.until_succeeded(&run, 550).await?;
    let leading = cluster.node_that_leads(&tasks).await?;
    cluster.rabbitmq(leading)?.freeze()?;
    cluster.until_succeeded(&run, 650).await?;
    cluster.rabbitmq(leading)?.thaw()?;
    cluster.finish(&run).await
}

/// F3. A node with clients is parted from the others and pauses; whoever was connected to it goes to the others.
#[tokio::test]
async fn a_broker_node_that_is_parted_from_the_others_costs_no_running_task() -> Result<()> {
    let shape = Shape { broker: Broker::Three, ..Shape::default() };
    let (mut cluster, run) = Cluster::start_holding(6, shape).await?;
    let heartbeats = cluster.node_that_leads(HEARTBEAT_QUEUE).await?;
    let mut with_clients = None;
    for node in (0..3).filter(|node| *node != heartbeats) {
        let clients = cluster.rabbitmq(node)?.clients().await?;
        with_clients = with_clients.max((clients > 0).then_some((clients, node)));
    }
    let (_, parted) = with_clients.context("everybody is connected to one node")?;
    part(&mut cluster, parted, &run).await
}

/// F3. The same with the node through which every heartbeat goes, and that alone has the queue for those of workers of
/// the release before.
#[tokio::test]
async fn a_broker_node_that_leads_the_queue_of_heartbeats_and_is_parted_costs_no_running_task() -> Result<()>
{
    let shape = Shape { broker: Broker::Three, ..Shape::default() };
    let (mut cluster, run) = Cluster::start_holding(6, shape).await?;
    let parted = cluster.node_that_leads(HEARTBEAT_QUEUE).await?;
    let former = cluster.node_that_holds(FORMER_HEARTBEAT_QUEUE).await?;
    ensure!(parted == former, "node {parted} leads the queue, and node {former} has the former one");
    part(&mut cluster, parted, &run).await
}

/// Parts a node from the others, has the tasks end meanwhile, and reunites them.
async fn part(cluster: &mut Cluster, parted: usize, run: &str) -> Result<()> {
    let clients = cluster.rabbitmq(parted)?.clients().await?;
    let others: Vec<usize> = (0..3).filter(|node| *node != parted).collect();
    let elsewhere = clients_of(cluster, &others).await?;
    cluster.rabbitmq(parted)?.part().await?;
    wait_for("those who were connected to it to come to the others", PATIENCE, async || {
        (clients_of(cluster, &others).await.ok()? >= elsewhere + clients).then_some(())
    })
    .await?;
    cluster.project.open_gate()?;
    cluster.until_succeeded(run, 6).await?;
    cluster.rabbitmq(parted)?.reunite().await?;
    cluster.until_workers(3).await?;
    cluster.no_worker_was_lost().await?;
    cluster.finish_each_once(run).await
}

/// Connections of clients to these nodes.
async fn clients_of(cluster: &mut Cluster, nodes: &[usize]) -> Result<usize> {
    let mut clients = 0;
    for node in nodes {
        clients += cluster.rabbitmq(*node)?.clients().await?;
    }
    Ok(clients)
}
