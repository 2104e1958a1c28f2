//! Deliveries from workers, decoded.
//!
//! What cannot be decoded is dead-lettered with the reason, and the consumer lives on: one worker of a wrong version
//! must not stop the others.

use std::sync::Arc;
use std::time::Duration;

use backstitch_broker::{Acker, Broker, BrokerError, Consumer, Delivery};
use backstitch_proto::id::Epoch;
use backstitch_proto::message::{
    FORMER_HEARTBEAT_QUEUE, HEARTBEAT_QUEUE, Heartbeat, Message, REPORT_QUEUE, Report, with_causes,
};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::{debug, warn};

/// Reports that are unacknowledged at most. They are acknowledged after the commit, so this many are inside one
/// commit and the next; a report holds up to a thousand outcomes, and up to some hundred kilobytes.
const REPORT_PREFETCH: u16 = 256;

/// Heartbeats are acknowledged as soon as they are read.
const HEARTBEAT_PREFETCH: u16 = 256;

/// How long until the queue of former workers is asked for again: its node may come back, and tells nobody.
const FORMER_RETRY: Duration = Duration::from_secs(10);

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
        tasks.spawn(take_heartbeats(consumer, HEARTBEAT_QUEUE, sender.clone()));
        tasks.spawn(take_former_heartbeats(broker.clone(), rank, sender));
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

async fn take_heartbeats(mut consumer: Box<dyn Consumer>, queue: &str, heartbeats: mpsc::Sender<Heartbeat>) {
    while let Some(delivery) = consumer.next().await {
        // A copy of one that comes by the other queue, and perhaps much later.
        if queue == FORMER_HEARTBEAT_QUEUE && delivery.message_id.ends_with(FORMER_HEARTBEAT_QUEUE) {
            _ = delivery.acker.ack().await;
            continue;
        }
        let Some((heartbeat, acker)) = read(delivery, queue).await else { continue };
        // A heartbeat that is lost is followed by the next.
        _ = acker.ack().await;
        if heartbeats.send(heartbeat).await.is_err() {
            return;
        }
    }
}

/// Those of workers of the release before this one. It is no reason not to lead if their queue is away.
async fn take_former_heartbeats(broker: Arc<dyn Broker>, rank: u32, heartbeats: mpsc::Sender<Heartbeat>) {
    loop {
        match broker.consume_ranked(FORMER_HEARTBEAT_QUEUE, HEARTBEAT_PREFETCH, rank).await {
            Ok(consumer) => return take_heartbeats(consumer, FORMER_HEARTBEAT_QUEUE, heartbeats).await,
            Err(error) => {
                debug!(
                    error = &error as &dyn std::error::Error,
                    "heartbeats of former workers are not heard"
                );
            }
        }
        tokio::time::sleep(FORMER_RETRY).await;
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
