//! Deliveries come in: read, judged, held.

use std::sync::Arc;
use std::time::Duration;

use backstitch_broker::{Broker, BrokerError, Consumer, Delivery};
use backstitch_proto::message::{Dispatch, Message, ReturnReason, with_causes};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

use super::table::Admission;
use super::{Shared, dispatch, prefetch};

/// Pause before a broker that did not let us consume is asked again.
const CONSUME_PAUSE: Duration = Duration::from_secs(1);

/// Takes deliveries of one queue in until the worker drains.
pub(super) async fn run(
    shared: Arc<Shared>,
    broker: Arc<dyn Broker>,
    queue: String,
    mut consumer: Box<dyn Consumer>,
) {
    // A second consumer, for as long as dispatches are short: the prefetch of one cannot be changed.
    let mut extra: Option<Box<dyn Consumer>> = None;
    let mut full = shared.full.subscribe();
    loop {
        let delivery = tokio::select! {
            () = shared.draining.cancelled() => break,
            Ok(()) = full.changed() => {
                cancel(&shared, consumer, extra.take()).await;
                match consume_again(&shared, &*broker, &queue, &mut full).await {
                    Some(again) => consumer = again,
                    None => return,
                }
                continue;
            }
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
                for delivery in consumer.cancel().await {
                    receive(&shared, delivery).await;
                }
                extra = None;
            }
            Some(_) => {}
        }
    }
    cancel(&shared, consumer, extra).await;
}

/// Ends consumers. What the broker had sent already is taken in all the same: given back as it is, it would come to another
/// worker as something that somebody may be executing.
async fn cancel(shared: &Arc<Shared>, consumer: Box<dyn Consumer>, extra: Option<Box<dyn Consumer>>) {
    for mut consumer in std::iter::once(consumer).chain(extra) {
        for delivery in consumer.cancel().await {
            receive(shared, delivery).await;
        }
    }
}

/// A consumer, once a slot is free and nobody here waits for it: what waited would be kept from idle workers, and a few
/// milliseconds to ask the broker again are nothing beside tasks that take that long. `None`: the worker drains, or the
/// broker was closed.
async fn consume_again(
    shared: &Shared,
    broker: &dyn Broker,
    queue: &str,
    full: &mut watch::Receiver<()>,
) -> Option<Box<dyn Consumer>> {
    let consuming = async {
        // Slots go to whoever waits longest, so those that are held come first. An error would mean that the worker is gone.
        drop(shared.slots.acquire().await.ok()?);
        // What was said before is over.
        full.mark_unchanged();
        loop {
            match broker.consume(queue, prefetch(&shared.options)).await {
                Ok(consumer) => return Some(consumer),
                Err(BrokerError::Closed) => return None,
                Err(error) => {
                    warn!(error = &error as &dyn std::error::Error, queue, "could not consume again yet");
                    sleep(CONSUME_PAUSE).await;
                }
            }
        }
    };
    shared.draining.run_until_cancelled(consuming).await.flatten()
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
