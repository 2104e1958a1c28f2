//! Taking messages from a queue in memory, and deciding about them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::queue::{Queue, Stored};
use crate::acker::Held as AnyHeld;
use crate::{Acked, Acker, Consumer, Delivery, header};

pub(super) struct InProcessConsumer {
    queue: Arc<Queue>,
    prefetch: usize,
    /// Deliveries of this consumer that nobody has decided about; shared with each of them.
    unacknowledged: Arc<AtomicUsize>,
    /// The whole broker's.
    closed: CancellationToken,
    cancelled: bool,
}

impl InProcessConsumer {
    pub(super) fn new(queue: Arc<Queue>, prefetch: u16, closed: CancellationToken) -> Self {
        queue.add_consumer();
        // RabbitMQ reads 0 as "no limit"; so does nobody here.
        let prefetch = usize::from(prefetch.max(1));
        Self { queue, prefetch, unacknowledged: Arc::default(), closed, cancelled: false }
    }

    fn take(&self) -> Option<Delivery> {
        // Only this consumer adds to the count, and it is borrowed: the count can only fall in between.
        if self.unacknowledged.load(Ordering::Acquire) >= self.prefetch {
            return None;
        }
        let message = self.queue.pop()?;
        self.unacknowledged.fetch_add(1, Ordering::AcqRel);
        Some(Delivery {
            body: message.body.to_vec(),
            headers: message.headers.clone(),
            redelivered: message.returns > 0,
            message_id: message.message_id.clone(),
            acker: Acker(AnyHeld::InProcess(Held {
                message: Some(message),
                queue: self.queue.clone(),
                unacknowledged: self.unacknowledged.clone(),
            })),
        })
    }

    fn stop(&mut self) {
        if !std::mem::replace(&mut self.cancelled, true) {
            self.queue.remove_consumer();
        }
    }
}

#[async_trait]
impl Consumer for InProcessConsumer {
    async fn next(&mut self) -> Option<Delivery> {
        loop {
            // Register interest before looking, so that a message that arrives in between is not missed.
            let mut wake = std::pin::pin!(self.queue.wake.notified());
            wake.as_mut().enable();
            if self.cancelled || self.closed.is_cancelled() {
                return None;
            }
            if let Some(delivery) = self.take() {
                return Some(delivery);
            }
            tokio::select! {
                () = wake => {}
                () = self.closed.cancelled() => {}
            }
        }
    }

    async fn cancel(&mut self) -> Vec<Delivery> {
        self.stop();
        // Nothing is prefetched ahead of `next`.
        Vec::new()
    }
}

impl Drop for InProcessConsumer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A message in a consumer's hands.
#[derive(Debug)]
pub(crate) struct Held {
    /// Taken by the decision; still there on drop means that there was none.
    message: Option<Stored>,
    queue: Arc<Queue>,
    unacknowledged: Arc<AtomicUsize>,
}

impl Held {
    pub(crate) fn ack(mut self) -> Acked {
        self.message = None;
        Acked::Done
    }

    pub(crate) fn dead_letter(mut self, headers: BTreeMap<String, String>) -> Acked {
        if let Some(mut message) = self.message.take() {
            message.headers = headers;
            message.headers.insert(header::SOURCE_QUEUE.to_owned(), self.queue.name.clone());
            self.queue.dead_letter(message);
        }
        Acked::Done
    }

    pub(crate) fn requeue(self) -> Acked {
        drop(self);
        Acked::Done
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // The place in the prefetch window first: a consumer that is woken by the message may take it at once.
        self.unacknowledged.fetch_sub(1, Ordering::AcqRel);
        match self.message.take() {
            Some(message) => self.queue.give_back(message),
            None => self.queue.wake.notify_waiters(),
        }
    }
}
