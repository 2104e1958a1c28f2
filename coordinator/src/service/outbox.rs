//! From committed dispatches to confirmed messages.
//!
//! Pipelined: messages are handed over one after the other while earlier ones are still unconfirmed. A message whose
//! confirm fails is published again, for as long as the term lasts: its row is committed, so it is owed. Duplicates
//! are certain over time, and harmless.
//!
//! Repetitions are polled while the next message waits for the publisher's window: it is handed out in order, so one that
//! is not polled would block everybody behind it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use backstitch_broker::{Broker, BrokerError, Confirm, Outgoing, Publisher, Target, trace_context};
use backstitch_proto::id::DispatchId;
use backstitch_proto::message::{
    CONTROL_FANOUT, Control, Dispatch, EncodeError, Message, task_queue, with_causes,
};
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use opentelemetry::Context;
use tokio::sync::mpsc;
use tracing::{error, warn};

/// Messages that wait to be handed over.
const CHANNEL: usize = 256;

/// Messages whose confirm is awaited at once; they are published again when their confirms are lost. Past a few thousand
/// a broker gains nothing.
pub const UNCONFIRMED_MAX: usize = 4_096;

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

    /// Size of its body, if it is a dispatch.
    pub(super) fn dispatch_bytes(&self) -> Option<usize> {
        self.dispatch.map(|_| self.outgoing.body.len())
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
        let parcel = tokio::select! {
            Some(receipt) = unconfirmed.next() => {
                if let Some(receipt) = receipt && receipts.send(receipt).await.is_err() {
                    return;
                }
                continue;
            }
            parcel = parcels.recv(), if unconfirmed.len() < UNCONFIRMED_MAX => parcel,
        };
        let Some(parcel) = parcel else { return };
        let mut handing_over = std::pin::pin!(deliver(Arc::clone(&publisher), parcel, &receipts));
        let confirm = loop {
            tokio::select! {
                confirm = &mut handing_over => break confirm,
                Some(receipt) = unconfirmed.next() => {
                    if let Some(receipt) = receipt && receipts.send(receipt).await.is_err() {
                        return;
                    }
                }
                () = receipts.closed() => return,
            }
        };
        unconfirmed.push(Box::pin(confirm));
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
            match handover(handed_over).await {
                Handover::Confirmed => return dispatch.map(Receipt::Confirmed),
                Handover::Never(why) => return dispatch.map(|id| Receipt::Impossible(id, why)),
                Handover::Again if dispatch.is_none() => return None,
                Handover::Again => {}
            }
            tokio::select! {
                () = term.closed() => return None,
                () = tokio::time::sleep(PAUSE) => {}
            }
            handed_over = publisher.publish(outgoing.clone()).await;
        }
    }
}

enum Handover {
    Confirmed,
    /// Unknown or refused for now.
    Again,
    /// The broker will never take this message, and why.
    Never(String),
}

async fn handover(handed_over: Result<Confirm, BrokerError>) -> Handover {
    match handed_over {
        Ok(confirm) => match confirm.await {
            Ok(()) => Handover::Confirmed,
            Err(unconfirmed) => {
                warn!(error = &unconfirmed as &dyn std::error::Error, "publishing again");
                Handover::Again
            }
        },
        Err(error @ BrokerError::TooLarge { .. }) => {
            error!(error = &error as &dyn std::error::Error, "a dispatch can never be published");
            Handover::Never(with_causes(&error))
        }
        Err(error) => {
            warn!(error = &error as &dyn std::error::Error, "publishing again");
            Handover::Again
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::atomic::{AtomicBool, Ordering};

    use async_trait::async_trait;
    use backstitch_broker::{InProcess, Topology};
    use futures_util::future::poll_immediate;
    use tokio::sync::Semaphore;
    use tokio::time::timeout;

    use super::*;

    /// A test that fails waits this long.
    const SOON: Duration = Duration::from_secs(60);

    /// Has no room, and gives what it gets in the order in which it was asked. Loses the first message.
    struct Crowded {
        broker: Arc<dyn Publisher>,
        lost: AtomicBool,
        room: Semaphore,
        /// One for each message that waits for room.
        waiting: Semaphore,
    }

    #[async_trait]
    impl Publisher for Crowded {
        async fn publish(&self, message: Outgoing) -> Result<Confirm, BrokerError> {
            if !self.lost.swap(true, Ordering::Relaxed) {
                let reason = "the connection is lost".to_owned();
                let waited = Duration::ZERO;
                return Err(BrokerError::Unavailable { doing: "publishing".to_owned(), waited, reason });
            }
            let mut room = std::pin::pin!(self.room.acquire());
            assert!(poll_immediate(&mut room).await.is_none(), "there is no room yet");
            self.waiting.add_permits(1);
            let _room = room.await.expect("it is never closed");
            self.broker.publish(message).await
        }
    }

    fn parcel(id: u64) -> Parcel {
        let outgoing = Outgoing {
            target: Target::Queue(task_queue("default")),
            body: Vec::new(),
            headers: BTreeMap::new(),
            message_id: id.to_string(),
            persistent: true,
        };
        Parcel { dispatch: Some(DispatchId(id)), outgoing }
    }

    #[tokio::test]
    async fn a_repetition_takes_its_room_while_the_next_message_waits_for_some() {
        let broker = InProcess::new();
        broker.declare(&Topology::for_worker_queues(["default"])).await.unwrap();
        let publisher = Arc::new(Crowded {
            broker: broker.publisher().await.unwrap(),
            lost: AtomicBool::new(false),
            room: Semaphore::new(0),
            waiting: Semaphore::new(0),
        });
        let (sender, parcels) = mpsc::channel(CHANNEL);
        let (receipts, mut received) = mpsc::channel(CHANNEL);
        tokio::spawn(publish(Arc::clone(&publisher) as Arc<dyn Publisher>, parcels, receipts));
        // The first is lost, and then waits for room again; the second stands behind it.
        for id in [1, 2] {
            assert!(sender.send(parcel(id)).await.is_ok());
            timeout(SOON, publisher.waiting.acquire()).await.expect("it waits").unwrap().forget();
        }
        publisher.room.add_permits(1);
        let mut confirmed = BTreeSet::new();
        while confirmed.len() < 2 {
            match timeout(SOON, received.recv()).await.expect("both are published") {
                Some(Receipt::Confirmed(id)) => confirmed.insert(id.0),
                Some(Receipt::Impossible(_, why)) => panic!("{why}"),
                None => panic!("the outbox ended"),
            };
        }
    }
}
