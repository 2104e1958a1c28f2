//! Publishing with a window of unresolved confirms.
//!
//! Each publisher is one task that owns one channel. Callers hand it messages through a bounded channel and hold a
//! [`Confirm`]; the task keeps the broker's side of each, so that a caller who drops one leaks nothing. No task per
//! message, no lock per message, one allocation per confirm.
//!
//! The window is counted in KiB, and a small message costs [`MESSAGE_COST_KIB`]: one semaphore thus bounds both
//! messages and bytes, in the hands of callers, in this task and on the wire together.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::poll_immediate;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, warn};

use super::known::Known;
use super::link::Session;
use super::{Shared, open_channel, short};
use crate::confirm::confirmation;
use crate::{
    BrokerError, Confirm, MESSAGE_BYTES_MAX, OPERATION_TIMEOUT, Outgoing, Publisher, Target, Unconfirmed,
};

/// Everything that one publisher has accepted and not yet resolved.
const WINDOW_KIB: usize = 32 * 1024;

/// What the smallest message counts. 4,096 messages then fill the window: enough to keep a broker busy that answers
/// every few milliseconds, few enough that lapin's scan of pending confirms stays cheap.
const MESSAGE_COST_KIB: usize = 8;

/// A message of the largest size, with room: the window must hold it, or it would wait for ever.
const _: () = assert!(WINDOW_KIB > MESSAGE_COST_KIB + MESSAGE_BYTES_MAX / 1024);

/// Requests that are handed to lapin before confirms get their turn.
const BURST: usize = 64;

/// A little more than the link needs to notice the end of a connection.
const NOTICE_LOSS: Duration = Duration::from_millis(1500);

/// How old a channel that refuses is when another takes its place. RabbitMQ may go on refusing on one channel what it takes
/// on the next: one that first published to a quorum queue while the node that led it was going away asks that node again
/// each time. Where the queue is full, every channel refuses, and changing them must not be all that happens.
const REFUSING_CHANNEL_AGE: Duration = Duration::from_secs(1);

/// How long a channel that refused is given for what else is on it.
const REFUSING_CHANNEL_GRACE: Duration = Duration::from_secs(3);

/// AMQP delivery mode of a message that is written to disk.
const PERSISTENT: u8 = 2;
const TRANSIENT: u8 = 1;

pub(super) struct RabbitPublisher {
    shared: Arc<Shared>,
    window: Window,
}

impl RabbitPublisher {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { window: Window::open(&shared), shared }
    }
}

#[async_trait]
impl Publisher for RabbitPublisher {
    async fn publish(&self, message: Outgoing) -> Result<Confirm, BrokerError> {
        let bytes = message.body.len();
        if bytes > MESSAGE_BYTES_MAX {
            return Err(BrokerError::TooLarge { bytes, limit: MESSAGE_BYTES_MAX });
        }
        if !self.shared.known.contains(&message.target) {
            let (Target::Queue(name) | Target::Fanout(name)) = message.target;
            return Err(BrokerError::NotDeclared { name });
        }
        self.window.publish(&self.shared, message).await
    }
}

/// The caller's side of one publishing task. The task ends when this is dropped and every confirm is resolved.
pub(super) struct Window {
    room: Arc<Semaphore>,
    requests: mpsc::Sender<Request>,
}

struct Request {
    message: Prepared,
    waiting: Waiting,
}

/// Somebody who waits for a confirm, and the room that the message occupies until then.
struct Waiting {
    answer: oneshot::Sender<Result<(), Unconfirmed>>,
    message_id: ShortString,
    _room: OwnedSemaphorePermit,
}

impl Window {
    pub(super) fn open(shared: &Arc<Shared>) -> Self {
        let (requests, queue) = mpsc::channel(WINDOW_KIB / MESSAGE_COST_KIB);
        shared.tasks.spawn(run(shared.clone(), queue));
        Self { room: Arc::new(Semaphore::new(WINDOW_KIB)), requests }
    }

    pub(super) async fn publish(&self, shared: &Shared, message: Outgoing) -> Result<Confirm, BrokerError> {
        let cost = (MESSAGE_COST_KIB + message.body.len() / 1024).min(WINDOW_KIB);
        let message = Prepared::new(message, &shared.known)?;
        // At most WINDOW_KIB, which is far below u32::MAX.
        let room = self.room.clone().acquire_many_owned(cost as u32);
        let room = tokio::select! {
            room = timeout(OPERATION_TIMEOUT, room) => room,
            () = shared.closed.cancelled() => return Err(BrokerError::Closed),
        };
        let Ok(Ok(room)) = room else {
            return Err(shared.board.unavailable("publishing a message", OPERATION_TIMEOUT));
        };
        let (answer, confirm) = confirmation();
        let message_id = message.properties.message_id().clone().unwrap_or_default();
        let request = Request { message, waiting: Waiting { answer, message_id, _room: room } };
        // The task ends only when the broker is closed. There is a place for whatever has room.
        self.requests.send(request).await.map_err(|_| BrokerError::Closed)?;
        Ok(confirm)
    }
}

/// A message in the protocol's terms.
struct Prepared {
    exchange: ShortString,
    routing_key: ShortString,
    mandatory: bool,
    properties: BasicProperties,
    body: Vec<u8>,
}

impl Prepared {
    fn new(message: Outgoing, known: &Known) -> Result<Self, BrokerError> {
        let (exchange, routing_key, mandatory) = match &message.target {
            // The default exchange routes to the queue of that name; mandatory: say so if there is none. Of a former queue
            // nobody wants to hear it.
            Target::Queue(name) => (ShortString::default(), short(name)?, !known.is_former(name)),
            Target::Fanout(name) => (short(name)?, ShortString::default(), false),
        };
        let mut headers = FieldTable::default();
        for (name, value) in message.headers {
            headers.insert(short(&name)?, AMQPValue::LongString(value.into()));
        }
        let properties = BasicProperties::default()
            .with_message_id(short(&message.message_id)?)
            .with_delivery_mode(if message.persistent { PERSISTENT } else { TRANSIENT })
            .with_headers(headers);
        Ok(Self { exchange, routing_key, mandatory, properties, body: message.body })
    }

    async fn publish(self, channel: Arc<Channel>) -> Result<Confirmation, lapin::Error> {
        let options = BasicPublishOptions { mandatory: self.mandatory, ..Default::default() };
        let Self { exchange, routing_key, properties, body, .. } = self;
        channel.basic_publish(exchange, routing_key, options, &body, properties).await?.await
    }
}

/// A message on the wire.
struct InFlight {
    confirm: Pin<Box<dyn Future<Output = Result<Confirmation, lapin::Error>> + Send>>,
    /// Taken when the confirm resolves.
    waiting: Option<Waiting>,
}

struct Settled {
    waiting: Waiting,
    outcome: Result<Confirmation, lapin::Error>,
}

impl Future for InFlight {
    type Output = Settled;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Settled> {
        let outcome = ready!(self.confirm.as_mut().poll(context));
        // FuturesUnordered does not poll a future that is done.
        match self.waiting.take() {
            Some(waiting) => Poll::Ready(Settled { waiting, outcome }),
            None => Poll::Pending,
        }
    }
}

/// How the work on one channel ended.
enum Ended {
    /// The publisher was dropped, and every confirm is resolved.
    Done,
    /// The connection or the channel is gone. Whoever still waited has been told.
    Broken,
    /// The broker refused a message. Another channel may do better.
    Refused,
}

async fn run(shared: Arc<Shared>, mut requests: mpsc::Receiver<Request>) {
    loop {
        let session = tokio::select! {
            session = shared.publish.session() => session,
            () = tokio::time::sleep(OPERATION_TIMEOUT) => {
                // Nobody waits longer than this: an unanswered request is an unconfirmed message.
                while requests.try_recv().is_ok() {}
                if requests.is_closed() { return } else { continue }
            }
        };
        let Some(session) = session else { return };
        let opened = tokio::select! {
            opened = open_confirming(&session) => opened,
            () = session.lost.cancelled() => continue,
        };
        let ended = match opened {
            Ok(channel) => work(&shared, &session, Arc::new(channel), &mut requests).await,
            Err(error) => {
                debug!(error = &error as &dyn std::error::Error, "no channel to publish on");
                Ended::Broken
            }
        };
        match ended {
            Ended::Done => return,
            Ended::Refused => continue,
            Ended::Broken => {}
        }
        // The link may take this long to notice that the connection is gone. If it is not, then the channel failed on
        // its own: most likely an exchange was deleted.
        if timeout(NOTICE_LOSS, session.lost.cancelled()).await.is_err()
            && let Err(error) = shared.redeclare().await
        {
            warn!(
                error = &error as &dyn std::error::Error,
                "a publisher's channel ended, and queues cannot be declared again"
            );
        }
    }
}

async fn open_confirming(session: &Session) -> Result<Channel, BrokerError> {
    let doing = "opening a channel to publish on";
    let channel = open_channel(session, doing).await?;
    let selected = channel.confirm_select(ConfirmSelectOptions::default()).await;
    selected.map_err(|source| BrokerError::Failed { doing: doing.to_owned(), source })?;
    Ok(channel)
}

async fn work(
    shared: &Shared,
    session: &Session,
    channel: Arc<Channel>,
    requests: &mut mpsc::Receiver<Request>,
) -> Ended {
    let mut in_flight = FuturesUnordered::new();
    let mut open = true;
    let begun = Instant::now();
    // When the last of this channel is given up, because it has refused.
    let mut given_up_at = None;
    while (open && given_up_at.is_none()) || !in_flight.is_empty() {
        tokio::select! {
            // Dropping what is in flight drops the answers: each confirm then resolves to Lost.
            () = session.lost.cancelled() => return Ended::Broken,
            () = sleep_until(given_up_at.unwrap_or(begun)), if given_up_at.is_some() => break,
            Some(settled) = in_flight.next() => {
                let mut batch = vec![settled];
                while let Some(Some(settled)) = in_flight.next().now_or_never() {
                    batch.push(settled);
                }
                let refuses = begun.elapsed() >= REFUSING_CHANNEL_AGE && batch.iter().any(is_refused);
                if !answer(shared, batch).await {
                    return Ended::Broken;
                }
                if refuses && given_up_at.is_none() {
                    given_up_at = Some(Instant::now() + REFUSING_CHANNEL_GRACE);
                }
            }
            request = requests.recv(), if open && given_up_at.is_none() => {
                open = request.is_some();
                let burst = std::iter::from_fn(|| requests.try_recv().ok()).take(BURST);
                for Request { message, waiting } in request.into_iter().chain(burst) {
                    let mut confirm = Box::pin(message.publish(channel.clone()));
                    // The first poll hands the frames to lapin: here, so that messages keep their order.
                    match poll_immediate(&mut confirm).await {
                        None => in_flight.push(InFlight { confirm, waiting: Some(waiting) }),
                        // Resolved without a round trip: the channel refused it.
                        Some(outcome) => {
                            if !answer(shared, vec![Settled { waiting, outcome }]).await {
                                return Ended::Broken;
                            }
                        }
                    }
                }
            }
        }
    }
    let _ = timeout(REFUSING_CHANNEL_GRACE, channel.close(200, "done".into())).await;
    if open { Ended::Refused } else { Ended::Done }
}

fn is_refused(settled: &Settled) -> bool {
    matches!(settled.outcome, Ok(Confirmation::Nack(_)))
}

/// Tells everybody in `batch` what became of their message. Says whether the channel still lives.
async fn answer(shared: &Shared, batch: Vec<Settled>) -> bool {
    // lapin attaches a returned message to whichever confirm comes next: it is known by its own id only.
    let returned: Vec<ShortString> =
        batch.iter().filter_map(|settled| returned_id(&settled.outcome)).collect();
    if !returned.is_empty()
        && let Err(error) = shared.redeclare().await
    {
        warn!(error = &error as &dyn std::error::Error, "a queue is missing, and cannot be declared again");
    }
    let mut alive = true;
    for Settled { waiting, outcome } in batch {
        let answer = match outcome {
            Ok(Confirmation::Ack(_)) if returned.contains(&waiting.message_id) => {
                Err(Unconfirmed::Unroutable)
            }
            Ok(Confirmation::Ack(None)) => Ok(()),
            // It carries another's return; its own may ride on a later one.
            Ok(Confirmation::Ack(Some(_)) | Confirmation::NotRequested) => Err(Unconfirmed::Lost),
            Ok(Confirmation::Nack(_)) => Err(Unconfirmed::Refused),
            Err(error) => {
                debug!(error = &error as &dyn std::error::Error, "a publisher's channel ended");
                alive = false;
                Err(Unconfirmed::Lost)
            }
        };
        // The caller may have lost interest.
        let _ = waiting.answer.send(answer);
    }
    alive
}

fn returned_id(outcome: &Result<Confirmation, lapin::Error>) -> Option<ShortString> {
    match outcome {
        Ok(Confirmation::Ack(Some(message)) | Confirmation::Nack(Some(message))) => {
            Some(message.properties.message_id().clone().unwrap_or_default())
        }
        _ => None,
    }
}
