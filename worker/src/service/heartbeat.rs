//! Says every few seconds that the worker lives and what it holds; that is what renews its leases.
//!
//! A copy goes to the queue of the release before this one, as long as its coordinators may lead.
//!
//! A heartbeat that fails is not sent again: the next one says more. One that is confirmed and named a dispatch whose
//! delivery has been unacknowledged for long is what allows that delivery to be acknowledged.

use std::sync::Arc;
use std::time::Duration;

use backstitch_broker::{Acker, Confirm, Outgoing, Publisher, Target};
use backstitch_proto::message::{EncodeError, FORMER_HEARTBEAT_QUEUE, HEARTBEAT_QUEUE, Heartbeat, Message};
use futures_util::FutureExt;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::Shared;

/// Shortest time between two heartbeats: news of many short dispatches share one. Each costs the broker a write to the disks
/// of most of its nodes.
const DEBOUNCE: Duration = Duration::from_millis(500);

/// Longest wait for a confirm; a heartbeat that old says nothing any more.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(5);

/// Sends heartbeats until `closing` is cancelled, and a last one then.
pub(super) async fn run(
    shared: Arc<Shared>,
    publisher: Arc<dyn Publisher>,
    mut copies: Copies,
    closing: CancellationToken,
) {
    let mut ticks = interval(shared.options.heartbeat_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for sequence in 0.. {
        let last = closing.is_cancelled();
        beat(&shared, &*publisher, &mut copies, sequence).await;
        if last {
            return;
        }
        let earliest = Instant::now() + DEBOUNCE;
        tokio::select! {
            () = closing.cancelled() => {}
            () = async {
                tokio::select! {
                    _ = ticks.tick() => {}
                    () = shared.changed.notified() => {}
                }
                sleep_until(earliest).await;
            } => {}
        }
    }
}

async fn beat(shared: &Shared, publisher: &dyn Publisher, copies: &mut Copies, sequence: u64) {
    let (held, overdue) = {
        let table = shared.table();
        (table.held(), table.overdue(shared.options.ack_after, Instant::now()))
    };
    let heartbeat = Heartbeat {
        worker: shared.id,
        name: shared.options.name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        sequence,
        slots: shared.options.slots,
        queues: shared.options.queues.clone(),
        native_assets: shared.executors.native.assets(),
        draining: shared.draining.is_cancelled(),
        held,
    };
    copies.send(&heartbeat).await;
    let sent = timeout(CONFIRM_TIMEOUT, publish(publisher, &heartbeat)).await;
    match sent {
        Ok(Ok(())) => {
            for id in overdue {
                // The guard is gone before the await; what was settled meanwhile has nothing left to acknowledge.
                let ackers = shared.table().hand_over(id);
                // A delivery that is lost comes again and joins the dispatch.
                let _ = Acker::ack_all(ackers).await;
            }
        }
        Ok(Err(error)) => {
            debug!(
                error = &*error as &(dyn std::error::Error + 'static),
                sequence, "a heartbeat was not sent"
            );
        }
        Err(_) => debug!(sequence, "a heartbeat was not confirmed in time"),
    }
}

async fn publish(
    publisher: &dyn Publisher,
    heartbeat: &Heartbeat,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    Ok(publisher.publish(outgoing(heartbeat, HEARTBEAT_QUEUE)?).await?.await?)
}

fn outgoing(heartbeat: &Heartbeat, queue: &str) -> Result<Outgoing, EncodeError> {
    Ok(Outgoing {
        target: Target::Queue(queue.to_owned()),
        body: heartbeat.encode()?,
        headers: Default::default(),
        message_id: format!("{}-{}-{queue}", heartbeat.worker, heartbeat.sequence),
        persistent: false,
    })
}

/// Copies for a coordinator of the release before this one, through a publisher of their own: their queue is on one node of
/// the broker, and while that is away nothing that matters waits for them.
pub(super) struct Copies {
    publisher: Arc<dyn Publisher>,
    /// Of the last one, and there is no other before it is resolved.
    confirm: Option<Confirm>,
}

impl Copies {
    pub(super) fn new(publisher: Arc<dyn Publisher>) -> Self {
        Self { publisher, confirm: None }
    }

    async fn send(&mut self, heartbeat: &Heartbeat) {
        if self.confirm.as_mut().is_some_and(|confirm| confirm.now_or_never().is_none()) {
            return;
        }
        self.confirm = None;
        let Ok(outgoing) = outgoing(heartbeat, FORMER_HEARTBEAT_QUEUE) else { return };
        self.confirm = self.publisher.publish(outgoing).await.ok();
    }
}
