//! Consuming, across reconnects.
//!
//! A consumer owns one channel at a time. When it ends, for whatever reason (connection lost, channel closed by the
//! broker, queue deleted), the next call of `next` has another opened. That goes on when the caller gives up waiting,
//! and the call after that finds it: a caller who asks several consumers, and takes what comes first, would otherwise
//! begin each time anew with those that are not open, and leave a channel behind each time. There is no other task: a
//! caller who does not ask is not given.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{FutureExt, StreamExt};
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, warn};
use uuid::Uuid;

use super::backoff::Backoff;
use super::held::Deliveries;
use super::link::Session;
use super::{Shared, declare, open_channel, short};
use crate::acker::Held;
use crate::limits::SUBSCRIPTION_PREFETCH;
use crate::{Acker, BrokerError, Consumer, Delivery, MESSAGE_BYTES_MAX, OPERATION_TIMEOUT};

/// How long the broker may take to answer a cancellation before its channel is given up.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a consumer may be quiet before it asks for its queue again. RabbitMQ 3.10 does not tell the consumers of
/// a quorum queue that it was deleted; they would wait for ever beside the queue that replaced it.
const RENEW_AFTER: Duration = Duration::from_secs(30);

/// Where a consumer's messages come from.
#[derive(Clone)]
pub(super) enum Source {
    Queue { name: String, prefetch: u16, rank: u32 },
    Fanout { name: String },
}

impl Source {
    fn name(&self) -> &str {
        match self {
            Self::Queue { name, .. } | Self::Fanout { name } => name,
        }
    }
}

pub(super) struct RabbitConsumer {
    shared: Arc<Shared>,
    source: Source,
    current: Option<Open>,
    /// The next channel, while there is none.
    opening: Option<AbortOnDropHandle<Option<Open>>>,
    /// When something was received, or the consumer was made.
    quiet_since: Instant,
    cancelled: bool,
}

/// A consumer on a living channel.
struct Open {
    deliveries: Arc<Deliveries>,
    stream: lapin::Consumer,
    /// The end of the connection. lapin ends the stream as well, unless the connection broke while it was being made.
    lost: CancellationToken,
}

impl RabbitConsumer {
    /// The first channel: here an error is the caller's.
    pub(super) async fn open(shared: Arc<Shared>, source: Source) -> Result<Self, BrokerError> {
        let doing = format!("consuming {}", source.name());
        let current = shared.persist(&doing, |session| Open::new(&shared, session, &source)).await?;
        let quiet_since = Instant::now();
        Ok(Self { shared, source, current: Some(current), opening: None, quiet_since, cancelled: false })
    }

    /// Every later one, however long it takes. `None` once the broker is closed.
    async fn reopen(shared: Arc<Shared>, source: Source) -> Option<Open> {
        let mut backoff = Backoff::default();
        let mut missed = false;
        loop {
            let session = shared.consume.session().await?;
            let lost = session.lost.clone();
            let opened = tokio::select! {
                opened = timeout(OPERATION_TIMEOUT, Open::new(&shared, session, &source)) => opened,
                () = lost.cancelled() => continue,
            };
            let error = match opened {
                Ok(Ok(open)) => return Some(open),
                Ok(Err(error)) => error,
                Err(_) => shared.board.unavailable("opening a consumer", OPERATION_TIMEOUT),
            };
            if let BrokerError::NotDeclared { name } = &error
                && shared.known.is_former(name)
            {
                if !missed {
                    missed = true;
                    warn!(name, "a queue is gone, and with it what processes of the release before say");
                }
                shared.declare_former(&shared.known.topology()).await;
            } else if let BrokerError::NotDeclared { name } = &error {
                warn!(name, "a queue that was consumed is gone; declaring it again");
                if let Err(error) = shared.redeclare().await {
                    warn!(error = &error as &dyn std::error::Error, "declaring queues again");
                }
            } else {
                debug!(error = &error as &dyn std::error::Error, queue = source.name(), "no consumer yet");
            }
            tokio::time::sleep(backoff.next_delay()).await;
        }
    }

    /// Waits until a new channel is open. `None` once the broker is closed. Cancel-safe.
    async fn reopened(&mut self) -> Option<Open> {
        let opening = self.opening.get_or_insert_with(|| {
            AbortOnDropHandle::new(tokio::spawn(Self::reopen(self.shared.clone(), self.source.clone())))
        });
        let opened = tokio::select! {
            opened = opening => opened,
            () = self.shared.closed.cancelled() => return None,
        };
        self.opening = None;
        opened.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))
    }

    /// The channel, also one that nobody has asked for since it was opened.
    fn take_open(&mut self) -> Option<Open> {
        let opened = self.opening.take().and_then(FutureExt::now_or_never);
        self.current.take().or_else(|| opened?.ok()?)
    }

    /// Lets go of a channel that has been quiet for long; the next round opens another.
    async fn renew(&mut self) {
        self.quiet_since = Instant::now();
        let idle =
            |open: &mut Open| open.deliveries.all_decided() && matches!(self.source, Source::Queue { .. });
        // While deliveries are undecided a second channel would double the prefetch window.
        if let Some(open) = self.current.take_if(idle) {
            drop(open.stop_detached().await);
        }
    }
}

#[async_trait]
impl Consumer for RabbitConsumer {
    async fn next(&mut self) -> Option<Delivery> {
        let closed = self.shared.closed.clone();
        while !self.cancelled {
            if self.current.is_none() {
                self.current = self.reopened().await;
            }
            let open = self.current.as_mut()?;
            let received = tokio::select! {
                biased;
                () = closed.cancelled() => return None,
                received = open.stream.next() => received,
                () = open.lost.cancelled() => None,
                () = sleep_until(self.quiet_since + RENEW_AFTER) => {
                    self.renew().await;
                    continue;
                }
            };
            self.quiet_since = Instant::now();
            match received {
                Some(Ok(message)) => {
                    let delivery = open.deliver(message);
                    let bytes = delivery.body.len();
                    // A dead letter that is too large is shown as it is: there is nowhere else for it to go.
                    if bytes <= MESSAGE_BYTES_MAX || !self.shared.known.has_dead_letters(self.source.name()) {
                        return Some(delivery);
                    }
                    warn!(queue = self.source.name(), bytes, "dead-lettering an oversized message");
                    let reason = format!("{bytes} bytes are more than the limit of {MESSAGE_BYTES_MAX}");
                    let _ = delivery.dead_letter(&reason).await;
                }
                Some(Err(error)) => {
                    let queue = self.source.name();
                    if open.lost.is_cancelled() {
                        debug!(
                            error = &error as &dyn std::error::Error,
                            queue, "a consumer's channel ended with its connection"
                        );
                    } else {
                        warn!(
                            error = &error as &dyn std::error::Error,
                            queue, "a consumer's channel ended; opening another"
                        );
                    }
                    self.current = None;
                }
                // The connection is gone, or the broker cancelled it: the queue was deleted, or its node left.
                None => self.current = None,
            }
        }
        None
    }

    async fn cancel(&mut self) -> Vec<Delivery> {
        self.cancelled = true;
        match self.take_open() {
            Some(open) => open.stop_detached().await,
            None => Vec::new(),
        }
    }
}

impl Drop for RabbitConsumer {
    fn drop(&mut self) {
        // Without a runtime the process is ending, and the broker takes everything back by itself.
        if let (Some(open), Ok(runtime)) = (self.take_open(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async { drop(open.stop().await) });
        }
    }
}

impl Open {
    async fn new(shared: &Arc<Shared>, session: Session, source: &Source) -> Result<Self, BrokerError> {
        let doing = format!("consuming {}", source.name());
        let channel = open_channel(&session, &doing).await?;
        let (queue, prefetch, rank) = match source {
            Source::Queue { name, prefetch, rank } => (name.clone(), *prefetch, *rank),
            Source::Fanout { name } => {
                // A new name each time: the broker may not yet know that the last connection is gone.
                let queue = format!("{name}.{}", Uuid::new_v4());
                declare::subscription(&channel, &queue, name).await?;
                (queue, SUBSCRIPTION_PREFETCH, 0)
            }
        };
        let failed = |source| declare::failed(&queue, source);
        // Per consumer: quorum queues know no other, and 4.x refuses it.
        channel.basic_qos(prefetch, BasicQosOptions { global: false }).await.map_err(failed)?;
        let options = BasicConsumeOptions::default();
        let mut arguments = FieldTable::default();
        if rank > 0 {
            arguments
                .insert("x-priority".into(), AMQPValue::LongInt(i32::try_from(rank).unwrap_or(i32::MAX)));
        }
        let tag = format!("backstitch-{}", Uuid::new_v4());
        let stream =
            channel.basic_consume(short(&queue)?, short(&tag)?, options, arguments).await.map_err(failed)?;
        let deliveries = Deliveries::new(channel, shared.clone(), queue);
        Ok(Self { deliveries, stream, lost: session.lost })
    }

    fn deliver(&self, message: lapin::message::Delivery) -> Delivery {
        let properties = &message.properties;
        Delivery {
            headers: properties.headers().as_ref().map(text_headers).unwrap_or_default(),
            message_id: properties.message_id().as_ref().map(ToString::to_string).unwrap_or_default(),
            redelivered: message.redelivered,
            body: message.data,
            acker: Acker(Held::RabbitMq(self.deliveries.hand_out(message.delivery_tag))),
        }
    }

    /// The same as [`stop`](Self::stop), which goes on when the caller gives up waiting.
    async fn stop_detached(self) -> Vec<Delivery> {
        // The error would be a panic of the task, which the runtime has reported.
        tokio::spawn(self.stop()).await.unwrap_or_default()
    }

    /// Ends the consumer, and hands out what nobody has asked for yet. What was handed out can still be decided; what is
    /// dropped undecided goes back.
    async fn stop(mut self) -> Vec<Delivery> {
        let mut unseen = Vec::new();
        let cancelled =
            self.deliveries.channel.basic_cancel(self.stream.tag(), BasicCancelOptions::default());
        if let Ok(Ok(())) = timeout(CANCEL_TIMEOUT, cancelled).await {
            // The broker's answer comes after its last delivery: the stream holds all there will be, and then ends.
            while let Some(Ok(message)) = self.stream.next().await {
                let delivery = self.deliver(message);
                // One that is too large goes back, for a consumer that dead-letters it.
                if delivery.body.len() <= MESSAGE_BYTES_MAX {
                    unseen.push(delivery);
                }
            }
        }
        unseen
    }
}

fn text_headers(headers: &FieldTable) -> BTreeMap<String, String> {
    let text = |value: &AMQPValue| match value {
        AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok().map(str::to_owned),
        AMQPValue::ShortString(text) => Some(text.as_str().to_owned()),
        _ => None,
    };
    headers.inner().iter().filter_map(|(name, value)| Some((name.to_string(), text(value)?))).collect()
}
