//! The leader's own voice: a heartbeat of nobody, sent once a second through the queue of heartbeats.
//!
//! One at a time: the next is sent when the last was confirmed, or was not for long. So when a broker takes messages again
//! after it was closed, few old echoes come back, so far apart that no time between them counts.

use std::sync::Arc;
use std::time::Duration;

use backstitch_broker::{Broker, BrokerError, Outgoing, Publisher, Target};
use backstitch_proto::id::WorkerId;
use backstitch_proto::message::{HEARTBEAT_QUEUE, Heartbeat, Message};
use tokio_util::task::AbortOnDropHandle;
use tracing::debug;
use uuid::Uuid;

/// Time between two echoes.
const ECHO_INTERVAL: Duration = Duration::from_secs(1);

/// Longest wait for a confirm. More than a gap between echoes that counts.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(10);

/// Sends echoes until it is dropped.
pub(super) struct Echo {
    id: WorkerId,
    _sending: AbortOnDropHandle<()>,
}

impl Echo {
    /// Starts to send what `clock_ms` shows.
    pub(super) async fn start(
        broker: &Arc<dyn Broker>,
        clock_ms: impl Fn() -> u64 + Send + 'static,
    ) -> Result<Self, BrokerError> {
        let id = WorkerId(Uuid::new_v4());
        let publisher = broker.publisher().await?;
        let sending = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(ECHO_INTERVAL);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                if let Err(error) = send(publisher.as_ref(), id, clock_ms()).await {
                    debug!(error = error.as_ref() as &dyn std::error::Error, "an echo was not sent");
                }
            }
        });
        Ok(Self { id, _sending: AbortOnDropHandle::new(sending) })
    }

    /// When this heartbeat was sent, if it is an echo of ours.
    pub(super) fn sent_ms(&self, heartbeat: &Heartbeat) -> Option<u64> {
        (heartbeat.worker == self.id).then_some(heartbeat.sequence)
    }

    /// Whether this heartbeat is an echo of another leader, who does not know yet that it was deposed.
    pub(super) fn is_foreign(heartbeat: &Heartbeat) -> bool {
        heartbeat.slots == 0
    }
}

async fn send(
    publisher: &dyn Publisher,
    id: WorkerId,
    sent_ms: u64,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let echo = Heartbeat {
        worker: id,
        name: String::new(),
        version: String::new(),
        sequence: sent_ms,
        // A worker has at least one.
        slots: 0,
        queues: Vec::new(),
        native_assets: Vec::new(),
        draining: false,
        held: Vec::new(),
    };
    let outgoing = Outgoing {
        target: Target::Queue(HEARTBEAT_QUEUE.to_owned()),
        body: echo.encode()?,
        headers: Default::default(),
        message_id: format!("{id}-{sent_ms}"),
        persistent: false,
    };
    let confirmed = async { Ok(publisher.publish(outgoing).await?.await?) };
    tokio::time::timeout(CONFIRM_TIMEOUT, confirmed).await?
}
