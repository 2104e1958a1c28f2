//! A broker behind a relay, or on a node of its own, with one work queue and one fan-out.

use anyhow::{Context, Result};
use backstitch_broker::{
    Acked, Broker, ConnectionState, Consumer, RabbitMq, Topology, WorkQueue, dead_letter_queue,
};
use backstitch_tests::message::{message, next, text};
use backstitch_tests::relay::Relay;
use backstitch_tests::shared;
use backstitch_tests::wait::soon;
use uuid::Uuid;

pub(crate) struct World {
    pub(crate) broker: RabbitMq,
    pub(crate) queue: String,
    pub(crate) dead: String,
    pub(crate) fanout: String,
}

impl World {
    /// On the shared node.
    pub(crate) async fn shared() -> Result<Self> {
        Self::at(&shared::amqp_url()?).await
    }

    /// On the shared node, behind a relay. A dead connection is noticed after two seconds.
    pub(crate) async fn behind_relay() -> Result<(Self, Relay)> {
        let url = shared::amqp_url()?;
        let port =
            url.rsplit(':').next().and_then(|rest| rest.split('/').next()).context("a URL with a port")?;
        let port = port.parse().context("a URL with a port")?;
        let relay = Relay::to(port).await?;
        let world = Self::at(&format!("{}?heartbeat=1", relay.url(&url, port))).await?;
        Ok((world, relay))
    }

    pub(crate) async fn at(url: &str) -> Result<Self> {
        let id = Uuid::new_v4();
        let (queue, fanout) = (format!("work-{id}"), format!("fanout-{id}"));
        let broker = RabbitMq::connect(url, "faults").await?;
        let topology = Topology {
            dead_letter_exchange: format!("dead-{id}"),
            work: vec![WorkQueue { name: queue.clone(), delivery_limit: 20 }],
            fanouts: vec![fanout.clone()],
            ..Topology::default()
        };
        broker.declare(&topology).await?;
        Ok(Self { broker, dead: dead_letter_queue(&queue), queue, fanout })
    }

    /// Publishes until it is confirmed, as every user of a publisher does.
    pub(crate) async fn send(&self, body: &str) -> Result<()> {
        let publisher = self.broker.publisher().await?;
        soon(async {
            loop {
                match publisher.publish(message(&self.queue, body)).await {
                    Ok(confirm) => {
                        if confirm.await.is_ok() {
                            return Ok(());
                        }
                    }
                    Err(error) if error.is_permanent() => return Err(error.into()),
                    Err(_) => {}
                }
            }
        })
        .await?
    }

    pub(crate) async fn consumer(&self) -> Result<Box<dyn Consumer>> {
        Ok(self.broker.consume(&self.queue, 10).await?)
    }

    /// Waits until the connection is in a state that `wanted` accepts.
    pub(crate) async fn state(
        &self,
        wanted: impl FnMut(&ConnectionState) -> bool,
    ) -> Result<ConnectionState> {
        let mut states = self.broker.state();
        let state = soon(states.wait_for(wanted)).await??;
        Ok(state.clone())
    }
}

pub(crate) fn disconnected(state: &ConnectionState) -> bool {
    matches!(state, ConnectionState::Disconnected { .. })
}

/// The next message, acknowledged.
pub(crate) async fn take(consumer: &mut Box<dyn Consumer>) -> Result<String> {
    let delivery = next(consumer).await?;
    let body = text(&delivery);
    assert_eq!(delivery.acker.ack().await, Acked::Done);
    Ok(body)
}
