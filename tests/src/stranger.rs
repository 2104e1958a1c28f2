//! Somebody at the broker who is none of ours: sends what nobody can read, and what was sent already, and reads what
//! was put aside.

use std::time::Duration;

use anyhow::Result;
use backstitch_broker::{Broker, RabbitMq, Target, Topology, dead_letter_queue, header};
use tokio::time::{Instant, timeout_at};

use crate::message::{durable, next};

/// A connection that knows our queues.
pub struct Stranger {
    broker: RabbitMq,
}

impl Stranger {
    /// At the broker of this URL.
    ///
    /// # Errors
    /// When it is not there.
    pub async fn at(url: &str) -> Result<Self> {
        let broker = RabbitMq::connect(url, "stranger").await?;
        broker.declare(&Topology::for_worker_queues(["default"])).await?;
        Ok(Self { broker })
    }

    /// Sends these in a row, and waits until the broker has all of them.
    ///
    /// # Errors
    /// When it refuses one.
    pub async fn send(&self, target: &Target, bodies: impl IntoIterator<Item = Vec<u8>>) -> Result<()> {
        let publisher = self.broker.publisher().await?;
        let mut confirms = Vec::new();
        for body in bodies {
            confirms.push(publisher.publish(durable(target.clone(), body)).await?);
        }
        for confirm in confirms {
            confirm.await?;
        }
        Ok(())
    }

    /// Takes up to `most` messages that come within `patience` out of a queue, and puts each back three times, in
    /// another order. How many it took.
    ///
    /// # Errors
    /// When the broker refuses it.
    pub async fn triple(&self, queue: &str, most: u16, patience: Duration) -> Result<usize> {
        let mut consumer = self.broker.consume(queue, most).await?;
        let (mut taken, deadline) = (Vec::new(), Instant::now() + patience);
        while taken.len() < usize::from(most)
            && let Ok(Some(delivery)) = timeout_at(deadline, consumer.next()).await
        {
            taken.push(delivery);
        }
        consumer.cancel().await;
        let bodies: Vec<_> = taken.iter().map(|delivery| delivery.body.clone()).collect();
        let copies = bodies.iter().rev().chain(&bodies).chain(bodies.iter().rev());
        self.send(&Target::Queue(queue.to_owned()), copies.cloned()).await?;
        let took = taken.len();
        for delivery in taken {
            // If it fails, the message is there once more.
            _ = delivery.acker.ack().await;
        }
        Ok(took)
    }

    /// Reasons of the next dead letters of `queue`.
    ///
    /// # Errors
    /// When there are fewer.
    pub async fn reasons(&self, queue: &str, count: usize) -> Result<Vec<String>> {
        let mut dead = self.broker.consume(&dead_letter_queue(queue), 100).await?;
        let mut reasons = Vec::new();
        while reasons.len() < count {
            let letter = next(&mut dead).await?;
            reasons.push(letter.headers.get(header::REASON).cloned().unwrap_or_default());
            _ = letter.acker.ack().await;
        }
        Ok(reasons)
    }

    /// Leaves.
    pub async fn leave(self) {
        self.broker.close().await;
    }
}
