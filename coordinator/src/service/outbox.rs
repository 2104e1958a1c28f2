//! From committed dispatches to confirmed messages.
//!
//! Pipelined: messages are handed over one after the other while earlier ones are still unconfirmed. A message whose
//! confirm fails is published again, for as long as the term lasts: its row is committed, so it is owed. Duplicates
//! are certain over time, and harmless.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ::tracing::{error, warn};
use backstitch_broker::{Broker, BrokerError, Confirm, Outgoing, Publisher, Target, trace_context};
use backstitch_proto::id::DispatchId;
use backstitch_proto::message::{CONTROL_FANOUT, Control, Dispatch, EncodeError, Message, task_queue};
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use opentelemetry::Context;
use tokio::sync::mpsc;

/// Messages that wait to be handed over.
const CHANNEL: usize = 256;

/// Messages whose confirm is awaited. Past a few thousand a broker gains nothing.
const UNCONFIRMED_MAX: usize = 4_096;

/// Pause before a message is published again that the broker refused or lost.
const PAUSE: Duration = Duration::from_millis(100);

/// What became of a dispatch that was handed over.
pub(super) enum Receipt {
    /// The broker has it.
    Confirmed(DispatchId),
    /// The broker will never take it, and why.
    Impossible(DispatchId, String),
}

/// A message on its way.
pub(super) struct Parcel {
    /// `None` for a broadcast, which nobody waits for.
    dispatch: Option<DispatchId>,
    outgoing: Outgoing,
}

impl Parcel {
    pub(super) fn dispatch(queue: &str, dispatch: &Dispatch, context: &Context) -> Result<Self, EncodeError> {
        let mut headers = BTreeMap::new();
        trace_context::inject(context, &mut headers);
        let outgoing = Outgoing {
            target: Target::Queue(task_queue(queue)),
            body: dispatch.encode()?,
            headers,
            message_id: dispatch.id.to_string(),
            persistent: true,
        };
        Ok(Self { dispatch: Some(dispatch.id), outgoing })
    }

    pub(super) fn broadcast(control: &Control) -> Result<Self, EncodeError> {
        let outgoing = Outgoing {
            target: Target::Fanout(CONTROL_FANOUT.to_owned()),
            body: control.encode()?,
            headers: BTreeMap::new(),
            message_id: Control::NAME.to_owned(),
            persistent: false,
        };
        Ok(Self { dispatch: None, outgoing })
    }
}

/// Starts the outbox. It ends when the sender is dropped.
pub(super) async fn open(
    broker: &Arc<dyn Broker>,
) -> Result<(mpsc::Sender<Parcel>, mpsc::Receiver<Receipt>), BrokerError> {
    let publisher = broker.publisher().await?;
    let (sender, parcels) = mpsc::channel(CHANNEL);
    let (receipts, received) = mpsc::channel(CHANNEL);
    tokio::spawn(publish(publisher, parcels, receipts));
    Ok((sender, received))
}

async fn publish(
    publisher: Arc<dyn Publisher>,
    mut parcels: mpsc::Receiver<Parcel>,
    receipts: mpsc::Sender<Receipt>,
) {
    let mut unconfirmed: FuturesUnordered<BoxFuture<'static, Option<Receipt>>> = FuturesUnordered::new();
    loop {
        tokio::select! {
            Some(receipt) = unconfirmed.next() => {
                if let Some(receipt) = receipt && receipts.send(receipt).await.is_err() {
                    return;
                }
            }
            parcel = parcels.recv(), if unconfirmed.len() < UNCONFIRMED_MAX => {
                let Some(parcel) = parcel else { return };
                let confirm = deliver(Arc::clone(&publisher), parcel, &receipts).await;
                unconfirmed.push(Box::pin(confirm));
            }
        }
    }
}

/// Hands a parcel over, and returns the future of its confirm. The first hand-over happens here, in order; only
/// repetitions overtake.
async fn deliver(
    publisher: Arc<dyn Publisher>,
    parcel: Parcel,
    receipts: &mpsc::Sender<Receipt>,
) -> impl Future<Output = Option<Receipt>> + use<> {
    let Parcel { dispatch, outgoing } = parcel;
    let first = publisher.publish(outgoing.clone()).await;
    let term = receipts.clone();
    async move {
        let mut handed_over = first;
        loop {
            match outcome(handed_over).await {
                Outcome::Confirmed => return dispatch.map(Receipt::Confirmed),
                Outcome::Never(why) => return dispatch.map(|id| Receipt::Impossible(id, why)),
                Outcome::Again if dispatch.is_none() => return None,
                Outcome::Again => {}
            }
            tokio::select! {
                () = term.closed() => return None,
                () = tokio::time::sleep(PAUSE) => {}
            }
            handed_over = publisher.publish(outgoing.clone()).await;
        }
    }
}

enum Outcome {
    Confirmed,
    /// Unknown or refused for now.
    Again,
    /// The broker will never take this message, and why.
    Never(String),
}

async fn outcome(handed_over: Result<Confirm, BrokerError>) -> Outcome {
    match handed_over {
        Ok(confirm) => match confirm.await {
            Ok(()) => Outcome::Confirmed,
            Err(unconfirmed) => {
                warn!(error = &unconfirmed as &dyn std::error::Error, "publishing again");
                Outcome::Again
            }
        },
        Err(error @ BrokerError::TooLarge { .. }) => {
            error!(error = &error as &dyn std::error::Error, "a dispatch can never be published");
            Outcome::Never(error.to_string())
        }
        Err(error) => {
            warn!(error = &error as &dyn std::error::Error, "publishing again");
            Outcome::Again
        }
    }
}
