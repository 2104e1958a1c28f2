//! Strangers put garbage into every queue. It ends in the dead-letter queue with the reason, and the run goes on. What
//! is said to all workers at once has no such queue: each worker logs it.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use backstitch_broker::{Broker, Outgoing, Publisher, RabbitMq, Target, Topology, dead_letter_queue, header};
use backstitch_proto::message::{CONTROL_FANOUT, HEARTBEAT_QUEUE, REPORT_QUEUE, task_queue};

use crate::world::{PATIENCE, World};

/// Not ours; ours but of a version that nobody knows; ours but cut.
fn garbage() -> [(&'static str, Vec<u8>); 3] {
    [
        ("garbage", b"\x00\xffgarbage".to_vec()),
        ("version", b"BS\x01\xc8".to_vec()),
        ("cut", b"BS\x01\x01\x05".to_vec()),
    ]
}

async fn publish_garbage(publisher: &dyn Publisher, target: &Target) -> Result<()> {
    for (name, body) in garbage() {
        let outgoing = Outgoing {
            target: target.clone(),
            body,
            headers: Default::default(),
            message_id: name.to_owned(),
            persistent: true,
        };
        publisher.publish(outgoing).await?.await?;
    }
    Ok(())
}

#[tokio::test]
async fn garbage_in_every_queue_is_dead_lettered_with_the_reason_and_stops_nobody() -> Result<()> {
    let mut world = World::start(1).await?;
    // A fan-out reaches those who listen: a worker says that it lives after it has begun to.
    world.until_workers(3).await?;
    let broker: Arc<dyn Broker> = Arc::new(RabbitMq::connect(&world.rabbitmq.url(), "stranger").await?);
    broker.declare(&Topology::for_worker_queues(["default"])).await?;
    let publisher = broker.publisher().await?;
    let tasks = task_queue("default");
    let queues = [tasks.as_str(), REPORT_QUEUE, HEARTBEAT_QUEUE];
    for queue in queues {
        publish_garbage(publisher.as_ref(), &Target::Queue(queue.to_owned())).await?;
    }
    publish_garbage(publisher.as_ref(), &Target::Fanout(CONTROL_FANOUT.to_owned())).await?;
    for worker in &world.workers {
        worker.line("a control message cannot be read", PATIENCE).await?;
    }
    let run = world.submit_all().await?;
    world.until_done(&run).await?;
    world.audit().await?;
    for queue in queues {
        let mut dead = broker.consume(&dead_letter_queue(queue), 10).await?;
        for _ in garbage() {
            let letter = tokio::time::timeout(PATIENCE, dead.next()).await?.context("a dead letter")?;
            let reason = letter.headers.get(header::REASON).cloned().unwrap_or_default();
            ensure!(!reason.is_empty(), "{queue}: a dead letter without a reason: {letter:?}");
            _ = letter.acker.ack().await;
        }
    }
    broker.close().await;
    for worker in &mut world.workers {
        ensure!(worker.ended().is_none(), "a worker ended:\n{}", worker.output());
    }
    ensure!(world.output().exists(), "the commands left their results");
    Ok(())
}
