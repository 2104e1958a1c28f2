//! Somebody at the broker who is none of ours: sends what nobody can read, and what was sent already.

use std::time::Duration;

use anyhow::Result;
use backstitch_broker::{Broker, Outgoing, RabbitMq, Target, Topology};
use backstitch_proto::message::{CONTROL_FANOUT, HEARTBEAT_QUEUE, REPORT_QUEUE, task_queue};
use rand::Rng;
use tokio::time::timeout;

use super::fault::Strike;

/// The longest message that nobody can read.
const GARBAGE_BYTES_MAX: usize = 2_000;

/// Each message is there so often.
const COPIES: usize = 3;

/// Dispatches that are in the hands of a stranger before they come back, and how long one that comes is waited for.
const TAKEN_MAX: u16 = 20;
const TAKEN_WITHIN: Duration = Duration::from_secs(5);
const NEXT_WITHIN: Duration = Duration::from_millis(300);

pub(super) async fn send_garbage(strike: &mut Strike<'_>) -> Result<()> {
    let broker = stranger(strike).await?;
    let queues =
        [&*task_queue("default"), REPORT_QUEUE, HEARTBEAT_QUEUE].map(|name| Target::Queue(name.to_owned()));
    for target in queues.into_iter().chain([Target::Fanout(CONTROL_FANOUT.to_owned())]) {
        for _ in 0..COPIES {
            let mut body = vec![0; strike.rng.random_range(0..GARBAGE_BYTES_MAX)];
            strike.rng.fill(&mut body[..]);
            send(&broker, target.clone(), body).await?;
        }
    }
    broker.close().await;
    Ok(())
}

/// Takes dispatches that were for workers, and puts each back several times, in another order. False where none came.
pub(super) async fn send_copies(strike: &mut Strike<'_>) -> Result<bool> {
    let queue = task_queue("default");
    let broker = stranger(strike).await?;
    let mut consumer = broker.consume(&queue, TAKEN_MAX).await?;
    let (mut taken, mut patience) = (Vec::new(), TAKEN_WITHIN);
    while taken.len() < usize::from(TAKEN_MAX)
        && let Ok(Some(delivery)) = timeout(patience, consumer.next()).await
    {
        taken.push(delivery);
        patience = NEXT_WITHIN;
    }
    consumer.cancel().await;
    for _ in 0..COPIES {
        for delivery in taken.iter().rev() {
            send(&broker, Target::Queue(queue.clone()), delivery.body.clone()).await?;
        }
    }
    let made = !taken.is_empty();
    for delivery in taken {
        // If it fails, the message is there once more.
        _ = delivery.acker.ack().await;
    }
    broker.close().await;
    Ok(made)
}

/// A connection that knows our queues.
async fn stranger(strike: &Strike<'_>) -> Result<RabbitMq> {
    let broker = RabbitMq::connect(&strike.cluster.broker_url(), "stranger").await?;
    broker.declare(&Topology::for_worker_queues(["default"])).await?;
    Ok(broker)
}

async fn send(broker: &RabbitMq, target: Target, body: Vec<u8>) -> Result<()> {
    let message_id = "stranger".to_owned();
    let outgoing = Outgoing { target, body, headers: Default::default(), message_id, persistent: true };
    Ok(broker.publisher().await?.publish(outgoing).await?.await?)
}
