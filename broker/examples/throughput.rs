//! How many messages a second go through a broker: `cargo run --release -p backstitch-broker --example throughput`.
//!
//! One process publishes durable messages of 200 bytes with at most `WINDOW` unresolved confirms, then consumes them
//! and acknowledges by the hundred, then does both at once. RabbitMQ is the node at `BACKSTITCH_TEST_AMQP_URL`;
//! without it only the in-process broker is measured.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use backstitch_broker::{
    Acker, Broker, Confirm, InProcess, Outgoing, Publisher, RabbitMq, Target, Topology, WorkQueue,
};

const MESSAGES: usize = 200_000;
const BODY_BYTES: usize = 200;
const WINDOW: usize = 3_000;
const PUBLISHERS: usize = 4;
const PREFETCH: u16 = 1_000;
const ACK_EVERY: usize = 100;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    measure("in-process", Arc::new(InProcess::new())).await?;
    if let Ok(url) = std::env::var("BACKSTITCH_TEST_AMQP_URL") {
        measure("RabbitMQ", Arc::new(RabbitMq::connect(&url, "throughput").await?)).await?;
    }
    Ok(())
}

async fn measure(name: &str, broker: Arc<dyn Broker>) -> Result<(), Failure> {
    let queue = format!("throughput-{}", std::process::id());
    let topology = Topology {
        dead_letter_exchange: "throughput-dead-letters".to_owned(),
        work: vec![WorkQueue { name: queue.clone(), delivery_limit: 20 }],
        ..Topology::default()
    };
    broker.declare(&topology).await?;

    let start = Instant::now();
    publish(&*broker.publisher().await?, &queue, MESSAGES).await?;
    report(name, "published and confirmed", start);

    let start = Instant::now();
    consume(&*broker, &queue).await?;
    report(name, "consumed and acknowledged", start);

    // RabbitMQ holds a channel back that is more than 32 messages ahead of a quorum queue's log.
    let start = Instant::now();
    let mut publishers = Vec::new();
    for _ in 0..PUBLISHERS {
        publishers.push(broker.publisher().await?);
    }
    let shares = publishers.iter().map(|publisher| publish(&**publisher, &queue, MESSAGES / PUBLISHERS));
    futures_util::future::try_join_all(shares).await?;
    report(name, "published by several publishers", start);
    consume(&*broker, &queue).await?;

    let start = Instant::now();
    let publisher = broker.publisher().await?;
    tokio::try_join!(publish(&*publisher, &queue, MESSAGES), consume(&*broker, &queue))?;
    report(name, "both at once", start);
    broker.close().await;
    Ok(())
}

async fn publish(publisher: &dyn Publisher, queue: &str, messages: usize) -> Result<(), Failure> {
    let mut window: VecDeque<Confirm> = VecDeque::with_capacity(WINDOW);
    for number in 0..messages {
        if window.len() == WINDOW
            && let Some(oldest) = window.pop_front()
        {
            oldest.await?;
        }
        let message = Outgoing {
            target: Target::Queue(queue.to_owned()),
            body: vec![7; BODY_BYTES],
            headers: BTreeMap::new(),
            message_id: number.to_string(),
            persistent: true,
        };
        window.push_back(publisher.publish(message).await?);
    }
    for confirm in window {
        confirm.await?;
    }
    Ok(())
}

async fn consume(broker: &dyn Broker, queue: &str) -> Result<(), Failure> {
    let mut consumer = broker.consume(queue, PREFETCH).await?;
    for _ in 0..MESSAGES / ACK_EVERY {
        let mut batch = Vec::with_capacity(ACK_EVERY);
        while batch.len() < ACK_EVERY {
            batch.push(consumer.next().await.ok_or("the consumer ended")?.acker);
        }
        let _ = Acker::ack_all(batch).await;
    }
    Ok(())
}

fn report(broker: &str, what: &str, start: Instant) {
    let seconds = start.elapsed().as_secs_f64();
    println!("{broker:>10}: {:>8.0} messages/s {what}", MESSAGES as f64 / seconds);
}
