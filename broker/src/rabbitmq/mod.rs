//! RabbitMQ, 3.10 to 4.x, through lapin.
//!
//! - [`link`]: two connections, one that publishes and one that consumes, each made again for ever.
//! - [`publisher`]: one task per publisher that owns its channel and its window of unresolved confirms.
//! - [`consumer`]: a channel per consumer, opened again by whoever waits for the next delivery.
//! - [`held`]: deciding about a delivery, one by one or many at once.
//! - [`declare`]: which queues and exchanges stand for a topology.

mod address;
mod backoff;
mod board;
mod consumer;
mod declare;
mod held;
mod known;
mod link;
mod publisher;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lapin::Channel;
use lapin::options::QueueDeclareOptions;
use lapin::types::{FieldTable, ShortString};
use tokio::sync::{OnceCell, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::{
    Broker, BrokerError, ConnectionState, Consumer, OPERATION_TIMEOUT, Publisher, QueueDepth, Topology,
};
use address::Address;
use backoff::Backoff;
use board::Board;
use consumer::{RabbitConsumer, Source};
pub(crate) use held::Held;
use known::Known;
use link::{Link, Role, Session};
use publisher::{RabbitPublisher, Window};

/// How long a former queue may take to be declared: its node may be frozen, and nobody knows yet.
const FORMER_TIMEOUT: Duration = Duration::from_secs(2);

/// A connection to RabbitMQ that keeps itself alive. Dropping it closes it.
pub struct RabbitMq {
    shared: Arc<Shared>,
}

/// What the parts of one broker share.
struct Shared {
    publish: Link,
    consume: Link,
    board: Arc<Board>,
    closed: CancellationToken,
    /// Links and publishers: `close` waits for them to say goodbye.
    tasks: TaskTracker,
    known: Known,
    /// The publisher of dead letters, made when the first one is due.
    dead_letters: OnceCell<Window>,
}

impl RabbitMq {
    /// Whether `url` is one that [`connect`](Self::connect) understands: a mistake is told at once, and not after
    /// everything else has been waited for.
    ///
    /// # Errors
    /// [`BrokerError::InvalidUrl`].
    pub fn check_url(url: &str) -> Result<(), BrokerError> {
        Address::parse(url).map(drop)
    }

    /// Connects to `url` (`amqp://USER:PASSWORD@HOST:PORT/VHOST`). `name` shows in RabbitMQ's own list of connections.
    ///
    /// Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`BrokerError::InvalidUrl`]; [`BrokerError::Refused`] when the broker answers and will not have us;
    /// [`BrokerError::Unavailable`] when it does not answer within [`OPERATION_TIMEOUT`].
    pub async fn connect(url: &str, name: &str) -> Result<Self, BrokerError> {
        let address = Address::parse(url)?;
        let board = Arc::new(Board::new());
        let closed = CancellationToken::new();
        // Should the second link fail, this ends the first.
        let guard = closed.clone().drop_guard();
        let tasks = TaskTracker::new();
        let link =
            async |role| Link::connect(&address, role, name, board.clone(), closed.clone(), &tasks).await;
        let publish = link(Role::Publish).await?;
        let consume = link(Role::Consume).await?;
        let closed = guard.disarm();
        let (known, dead_letters) = (Known::default(), OnceCell::new());
        Ok(Self { shared: Arc::new(Shared { publish, consume, board, closed, tasks, known, dead_letters }) })
    }

    /// As [`connect`](Self::connect), for a process that may start before its broker: for as long as it takes. `None`
    /// once `shutdown` is cancelled, also in the middle of an attempt: a server that says nothing keeps nobody alive
    /// who was told to stop.
    ///
    /// # Errors
    /// Those of [`connect`](Self::connect) that are permanent.
    pub async fn connect_until(
        url: &str,
        name: &str,
        shutdown: &CancellationToken,
    ) -> Result<Option<Self>, BrokerError> {
        let attempts = async {
            loop {
                match Self::connect(url, name).await {
                    // An attempt has had its own pauses.
                    Err(error) if !error.is_permanent() => {
                        warn!(error = &error as &dyn std::error::Error, "the broker is not available yet");
                    }
                    connected => return connected,
                }
            }
        };
        shutdown.run_until_cancelled(attempts).await.transpose()
    }
}

impl RabbitMq {
    /// Removes what [`declare`](Broker::declare) made of this topology, with every message in it: for whoever made
    /// it for a while. What is not there is no error.
    ///
    /// # Errors
    /// As for [`declare`](Broker::declare).
    pub async fn remove(&self, topology: &Topology) -> Result<(), BrokerError> {
        self.shared.on_channel("removing queues", |channel| declare::remove(channel, topology)).await
    }
}

impl Drop for RabbitMq {
    fn drop(&mut self) {
        self.shared.closed.cancel();
    }
}

impl Shared {
    /// Attempts something on the consuming connection, which is never blocked, until it succeeds, cannot succeed, or
    /// has been tried for long enough.
    async fn persist<T, F, A>(&self, doing: &str, attempt: F) -> Result<T, BrokerError>
    where
        F: Fn(Session) -> A,
        A: Future<Output = Result<T, BrokerError>>,
    {
        let mut last = None;
        let attempts = async {
            let mut backoff = Backoff::default();
            loop {
                let session = self.consume.session().await.ok_or(BrokerError::Closed)?;
                let lost = session.lost.clone();
                let outcome = tokio::select! {
                    outcome = attempt(session) => outcome,
                    () = lost.cancelled() => continue,
                };
                match outcome {
                    Err(BrokerError::Failed { source, .. }) => {
                        debug!(error = &source as &dyn std::error::Error, doing, "trying again");
                        last = Some(source);
                    }
                    outcome => return outcome,
                }
                tokio::time::sleep(backoff.next_delay()).await;
            }
        };
        tokio::select! {
            outcome = timeout(OPERATION_TIMEOUT, attempts) => outcome.unwrap_or_else(|_| Err(match last {
                Some(source) => BrokerError::Failed { doing: doing.to_owned(), source },
                None => self.board.unavailable(doing, OPERATION_TIMEOUT),
            })),
            () = self.closed.cancelled() => Err(BrokerError::Closed),
        }
    }

    /// The same, on a channel of its own: an error costs no more than that.
    async fn on_channel<T, F, A>(&self, doing: &str, operation: F) -> Result<T, BrokerError>
    where
        F: Fn(Channel) -> A,
        A: Future<Output = Result<T, BrokerError>>,
    {
        let operation = &operation;
        let attempt = async move |session: Session| {
            let channel = open_channel(&session, doing).await?;
            let outcome = operation(channel.clone()).await;
            // After an error the broker has closed it already.
            let _ = channel.close(200, "done".into()).await;
            outcome
        };
        self.persist(doing, attempt).await
    }

    /// Declares again what this process has declared: something of it was found missing.
    async fn redeclare(&self) -> Result<(), BrokerError> {
        self.declare(&self.known.topology()).await
    }

    async fn declare(&self, topology: &Topology) -> Result<(), BrokerError> {
        self.on_channel("declaring queues", |channel| declare::declare(channel, topology)).await?;
        self.declare_former(topology).await;
        Ok(())
    }

    /// Nothing waits for long for a queue that only processes of the release before need.
    async fn declare_former(&self, topology: &Topology) {
        const DOING: &str = "declaring former queues";
        if topology.former.is_empty() {
            return;
        }
        let declared = self.on_channel(DOING, |channel| declare::declare_former(channel, topology));
        let declared = timeout(FORMER_TIMEOUT, declared).await;
        let declared = declared.unwrap_or_else(|_| Err(self.board.unavailable(DOING, FORMER_TIMEOUT)));
        if let Err(error) = declared {
            debug!(error = &error as &dyn std::error::Error, "a former queue is not declared");
        }
    }

    async fn dead_letters(self: &Arc<Self>) -> &Window {
        self.dead_letters.get_or_init(async || Window::open(self)).await
    }
}

async fn open_channel(session: &Session, doing: &str) -> Result<Channel, BrokerError> {
    let opened = session.connection.create_channel().await;
    opened.map_err(|source| BrokerError::Failed { doing: doing.to_owned(), source })
}

/// A name as the protocol carries it.
fn short(name: &str) -> Result<ShortString, BrokerError> {
    ShortString::try_new(name)
        .map_err(|_| BrokerError::NameTooLong { bytes: name.len(), start: name.chars().take(40).collect() })
}

#[async_trait]
impl Broker for RabbitMq {
    async fn declare(&self, topology: &Topology) -> Result<(), BrokerError> {
        self.shared.declare(topology).await?;
        self.shared.known.add(topology);
        Ok(())
    }

    async fn publisher(&self) -> Result<Arc<dyn Publisher>, BrokerError> {
        if self.shared.closed.is_cancelled() {
            return Err(BrokerError::Closed);
        }
        Ok(Arc::new(RabbitPublisher::new(self.shared.clone())))
    }

    async fn consume(&self, queue: &str, prefetch: u16) -> Result<Box<dyn Consumer>, BrokerError> {
        self.consume_ranked(queue, prefetch, 0).await
    }

    async fn consume_ranked(
        &self,
        queue: &str,
        prefetch: u16,
        rank: u32,
    ) -> Result<Box<dyn Consumer>, BrokerError> {
        // AMQP reads 0 as "no limit".
        let source = Source::Queue { name: queue.to_owned(), prefetch: prefetch.max(1), rank };
        Ok(Box::new(RabbitConsumer::open(self.shared.clone(), source).await?))
    }

    async fn subscribe(&self, fanout: &str) -> Result<Box<dyn Consumer>, BrokerError> {
        let source = Source::Fanout { name: fanout.to_owned() };
        Ok(Box::new(RabbitConsumer::open(self.shared.clone(), source).await?))
    }

    fn state(&self) -> watch::Receiver<ConnectionState> {
        self.shared.board.subscribe()
    }

    fn restored_at(&self) -> Option<Instant> {
        self.shared.board.restored_at()
    }

    fn survives_restart(&self) -> bool {
        true
    }

    async fn depth(&self, queue: &str) -> Result<QueueDepth, BrokerError> {
        let name = short(queue)?;
        let looked = self.shared.on_channel("looking at a queue", |channel| {
            let name = name.clone();
            async move {
                let options = QueueDeclareOptions::durable().passive();
                let declared = channel.queue_declare(name, options, FieldTable::default()).await;
                declared.map_err(|source| declare::failed(queue, source))
            }
        });
        let found = looked.await?;
        Ok(QueueDepth { ready: found.message_count().into(), consumers: found.consumer_count() })
    }

    async fn close(&self) {
        self.shared.closed.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }
}
