//! Deliveries come in: read, judged, held.

use std::sync::Arc;

use backstitch_broker::{Broker, Consumer, Delivery};
use backstitch_proto::message::{Dispatch, Message, ReturnReason, with_causes};
use tokio::time::Instant;
use tracing::{debug, warn};

use super::table::Admission;
use super::{Shared, dispatch};

/// Takes deliveries of one queue in until the worker drains.
pub(super) async fn run(
    shared: Arc<Shared>,
    broker: Arc<dyn Broker>,
    queue: String,
    mut consumer: Box<dyn Consumer>,
) {
    // A second consumer, for as long as dispatches are short: the prefetch of one cannot be changed.
    let mut extra: Option<Box<dyn Consumer>> = None;
    loop {
        let delivery = tokio::select! {
            () = shared.draining.cancelled() => break,
            delivery = consumer.next() => delivery,
            delivery = next(&mut extra) => delivery,
        };
        let Some(delivery) = delivery else { break };
        receive(&shared, delivery).await;
        match &mut extra {
            None => {
                if let Some(prefetch) = shared.pace.extra(shared.options.slots) {
                    // Without it things go on as before, and the next delivery asks again.
                    let consuming = broker.consume(&queue, prefetch);
                    extra = shared.draining.run_until_cancelled(consuming).await.and_then(Result::ok);
                }
            }
            Some(consumer) if shared.pace.is_long() => {
                consumer.cancel().await;
                extra = None;
            }
            Some(_) => {}
        }
    }
    consumer.cancel().await;
    if let Some(mut extra) = extra {
        extra.cancel().await;
    }
}

async fn next(consumer: &mut Option<Box<dyn Consumer>>) -> Option<Delivery> {
    match consumer {
        Some(consumer) => consumer.next().await,
        None => std::future::pending().await,
    }
}

async fn receive(shared: &Arc<Shared>, delivery: Delivery) {
    let dispatch = match read(&delivery.body) {
        Ok(dispatch) => dispatch,
        Err(reason) => {
            warn!(message = delivery.message_id, reason, "a dispatch cannot be read and was dead-lettered");
            let _ = delivery.dead_letter(&reason).await;
            return;
        }
    };
    let Delivery { headers, redelivered, acker, .. } = delivery;
    let id = dispatch.id;
    let admission = shared.table().admit(&dispatch, redelivered, acker, Instant::now());
    match admission {
        Admission::Held(stop) => {
            shared.held.spawn(dispatch::hold(Arc::clone(shared), Arc::new(dispatch), stop, headers));
        }
        Admission::Joined => {}
        Admission::Duplicate(acker) => {
            debug!(%id, "a duplicate dispatch was dropped");
            let _ = acker.ack().await;
        }
        Admission::HandBack(acker) => {
            shared.reporter.refused(id, ReturnReason::Redelivered, acker).await;
        }
    }
}

/// The dispatch in `body`, or the reason why there is none.
fn read(body: &[u8]) -> Result<Dispatch, String> {
    let dispatch = Dispatch::decode(body).map_err(|error| with_causes(&error))?;
    if dispatch.tasks.is_empty() {
        return Err("a dispatch without tasks".to_owned());
    }
    Ok(dispatch)
}
