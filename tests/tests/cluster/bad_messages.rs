//! Strangers put garbage into every queue. It ends in the dead-letter queue with the reason, and the run goes on.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use backstitch_broker::{Broker, Outgoing, RabbitMq, Target, Topology, dead_letter_queue, header};
use backstitch_proto::message::{HEARTBEAT_QUEUE, REPORT_QUEUE, task_queue};

use crate::world::{PATIENCE, World};

/// Not ours; ours but of a version that nobody knows; ours but cut.
fn garbage() -> [(&'static str, Vec<u8>); 3] {
    [
        ("garbage", b"\x00\xffgarbage".to_vec()),
        ("version", b"BS\x01\xc8".to_vec()),
        ("cut", b"BS\x01\x01\x05".to_vec()),
    ]
}

#[tokio::test]
async fn garbage_in_every_queue_is_dead_lettered_with_the_reason_and_stops_nobody() -> Result<()> {
    let world = World::start(1).await?;
    let broker: Arc<dyn Broker> = Arc::new(RabbitMq::connect(&world.rabbitmq.url(), "stranger").await?);
    broker.declare(&Topology::for_worker_queues(["default"])).await?;
    let publisher = broker.publisher().await?;
    let tasks = task_queue("default");
    for queue in [tasks.as_str(), REPORT_QUEUE, HEARTBEAT_QUEUE] {
        for (name, body) in garbage() {
            let outgoing = Outgoing {
                target: Target::Queue(queue.to_owned()),
                body,
                headers: Default::default(),
                message_id: name.to_owned(),
                persistent: true,
            };
            publisher.publish(outgoing).await?.await?;
        }
    }
    let run = world.submit_all().await?;
    world.until_done(&run).await?;
    world.audit().await?;
    for queue in [tasks.as_str(), REPORT_QUEUE] {
        let mut dead = broker.consume(&dead_letter_queue(queue), 10).await?;
        for _ in garbage() {
            let letter = tokio::time::timeout(PATIENCE, dead.next()).await?.context("a dead letter")?;
            let reason = letter.headers.get(header::REASON).cloned().unwrap_or_default();
            ensure!(!reason.is_empty(), "{queue}: a dead letter without a reason: {letter:?}");
            _ = letter.acker.ack().await;
        }
    }
    broker.close().await;
    ensure!(world.output().exists(), "the commands left their results");
    Ok(())
}
