//! Deliveries from workers, decoded.
//!
//! What cannot be decoded is dead-lettered with the reason, and the consumer lives on: one worker of a wrong version
//! must not stop the others.

use std::sync::Arc;

use backstitch_broker::{Acker, Broker, BrokerError, Consumer, Delivery};
use backstitch_proto::id::Epoch;
use backstitch_proto::message::{HEARTBEAT_QUEUE, Heartbeat, Message, REPORT_QUEUE, Report, with_causes};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::warn;

/// Reports that are unacknowledged at most. They are acknowledged after the commit, so this many are inside one
/// commit and the next; a report holds up to a thousand outcomes, and up to some hundred kilobytes.
const REPORT_PREFETCH: u16 = 256;

/// Heartbeats are acknowledged as soon as they are read.
const HEARTBEAT_PREFETCH: u16 = 256;

/// Reports that wait between consumer and engine: the prefetch is the real bound.
const CHANNEL: usize = 64;

/// A report, to be acknowledged once its effect is durable.
pub(super) struct Delivered {
    pub(super) report: Report,
    /// Size of its message.
    pub(super) bytes: usize,
    pub(super) acker: Acker,
}

/// What came in.
pub(super) struct Intake {
    /// Reports.
    pub(super) reports: mpsc::Receiver<Delivered>,
    /// Heartbeats.
    pub(super) heartbeats: mpsc::Receiver<Heartbeat>,
    /// Ends the consumers when dropped.
    _tasks: JoinSet<()>,
}

impl Intake {
    /// The consumers of a later term go first: a leader that is frozen, or cut off and does not know yet that it was
    /// deposed, has consumers for as long as the broker believes in its connection, and would be given half of
    /// everything.
    pub(super) async fn open(broker: &Arc<dyn Broker>, epoch: Epoch) -> Result<Self, BrokerError> {
        let rank = epoch.0;
        let mut tasks = JoinSet::new();
        let (sender, reports) = mpsc::channel(CHANNEL);
        tasks.spawn(take_reports(broker.consume_ranked(REPORT_QUEUE, REPORT_PREFETCH, rank).await?, sender));
        let (sender, heartbeats) = mpsc::channel(CHANNEL);
        let consumer = broker.consume_ranked(HEARTBEAT_QUEUE, HEARTBEAT_PREFETCH, rank).await?;
        tasks.spawn(take_heartbeats(consumer, sender));
        Ok(Self { reports, heartbeats, _tasks: tasks })
    }
}

async fn take_reports(mut consumer: Box<dyn Consumer>, reports: mpsc::Sender<Delivered>) {
    while let Some(delivery) = consumer.next().await {
        let bytes = delivery.body.len();
        let Some((report, acker)) = read(delivery, REPORT_QUEUE).await else { continue };
        if reports.send(Delivered { report, bytes, acker }).await.is_err() {
            return;
        }
    }
}

async fn take_heartbeats(mut consumer: Box<dyn Consumer>, heartbeats: mpsc::Sender<Heartbeat>) {
    while let Some(delivery) = consumer.next().await {
        let Some((heartbeat, acker)) = read(delivery, HEARTBEAT_QUEUE).await else { continue };
        // A heartbeat that is lost is followed by the next.
        _ = acker.ack().await;
        if heartbeats.send(heartbeat).await.is_err() {
            return;
        }
    }
}

/// The message of a delivery. One that cannot be read is dead-lettered, with the reason.
async fn read<M: Message>(delivery: Delivery, queue: &str) -> Option<(M, Acker)> {
    match M::decode(&delivery.body) {
        Ok(message) => Some((message, delivery.acker)),
        Err(error) => {
            warn!(error = &error as &dyn std::error::Error, queue, "dead-lettered a message");
            _ = delivery.dead_letter(&with_causes(&error)).await;
            None
        }
    }
}
