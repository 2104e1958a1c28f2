//! What the coordinator says to all workers at once.

use std::sync::Arc;

use backstitch_broker::Consumer;
use backstitch_proto::message::{Control, Message};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::Shared;
use crate::clock::now_us;

/// Obeys until `closing` is cancelled: cancellations count while the worker drains, too.
pub(super) async fn run(shared: Arc<Shared>, mut consumer: Box<dyn Consumer>, closing: CancellationToken) {
    while let Some(Some(delivery)) = closing.run_until_cancelled(consumer.next()).await {
        match Control::decode(&delivery.body) {
            Ok(control) => obey(&shared, &control),
            // Nothing is lost: what matters is repeated until it took effect.
            Err(error) => warn!(error = &error as &dyn std::error::Error, "a control message cannot be read"),
        }
        let _ = delivery.acker.ack().await;
    }
    consumer.cancel().await;
}

fn obey(shared: &Shared, control: &Control) {
    debug!(?control, "control");
    match control {
        Control::Announce { .. } => shared.changed.notify_one(),
        Control::CancelRun { run } => shared.table().cancel(*run, now_us()),
        Control::Abandon { dispatches } => shared.table().abandon(dispatches),
    }
}
