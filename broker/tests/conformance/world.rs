//! One broker with queues of its own.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use backstitch_broker::{
    Broker, Consumer, InProcess, Publisher, RabbitMq, Topology, TransientQueue, WorkQueue, dead_letter_queue,
};
use backstitch_tests::message::{message, next, text};
use backstitch_tests::shared;
use backstitch_tests::wait::soon;
use uuid::Uuid;

/// Returns that the work queue of a world allows.
pub(crate) const DELIVERY_LIMIT: u32 = 2;
/// Messages that the transient queue of a world holds.
pub(crate) const TRANSIENT_MESSAGES: u32 = 3;

/// A broker, and names that no other test uses.
pub(crate) struct World {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) queue: String,
    pub(crate) dead: String,
    pub(crate) transient: String,
    pub(crate) short_lived: String,
    pub(crate) fanout: String,
    pub(crate) topology: Topology,
}

impl World {
    pub(crate) async fn in_process() -> Result<Self> {
        Self::on(Arc::new(InProcess::new())).await
    }

    pub(crate) async fn rabbitmq() -> Result<Self> {
        Self::on(Arc::new(RabbitMq::connect(&shared::amqp_url()?, "conformance").await?)).await
    }

    async fn on(broker: Arc<dyn Broker>) -> Result<Self> {
        let id = Uuid::new_v4();
        let queue = format!("work-{id}");
        let transient = format!("transient-{id}");
        let short_lived = format!("short-lived-{id}");
        let fanout = format!("fanout-{id}");
        let transient_queue = |name: &str, max_age| TransientQueue {
            name: name.to_owned(),
            max_messages: TRANSIENT_MESSAGES,
            max_age,
        };
        let topology = Topology {
            dead_letter_exchange: format!("dead-{id}"),
            work: vec![WorkQueue { name: queue.clone(), delivery_limit: DELIVERY_LIMIT }],
            transient: vec![
                transient_queue(&transient, Duration::from_secs(600)),
                transient_queue(&short_lived, Duration::from_millis(50)),
            ],
            fanouts: vec![fanout.clone()],
            ..Topology::default()
        };
        broker.declare(&topology).await?;
        let dead = dead_letter_queue(&queue);
        Ok(Self { broker, queue, dead, transient, short_lived, fanout, topology })
    }

    pub(crate) async fn publisher(&self) -> Result<Arc<dyn Publisher>> {
        Ok(self.broker.publisher().await?)
    }

    pub(crate) async fn consumer(&self) -> Result<Box<dyn Consumer>> {
        Ok(self.broker.consume(&self.queue, 100).await?)
    }

    /// Publishes messages with these bodies to the work queue, confirmed.
    pub(crate) async fn send<const N: usize>(&self, bodies: [&str; N]) -> Result<()> {
        let publisher = self.publisher().await?;
        for body in bodies {
            soon(publisher.publish(message(&self.queue, body)).await?).await??;
        }
        Ok(())
    }
}

/// The bodies of the next deliveries, acknowledged.
pub(crate) async fn take<const N: usize>(consumer: &mut Box<dyn Consumer>) -> Result<[String; N]> {
    let mut bodies = [const { String::new() }; N];
    for body in &mut bodies {
        let delivery = next(consumer).await?;
        *body = text(&delivery);
        let _ = delivery.acker.ack().await;
    }
    Ok(bodies)
}
