//! Deciding about deliveries of one channel.
//!
//! Acknowledgements go through `Channel`, not through lapin's `Acker`. The `Acker` guards against a channel that was
//! recovered under it, which cannot happen here (see [`link`](super::link)), and it spawns a task per decision, so
//! two decisions can overtake each other; an acknowledgement of many that overtakes one of them makes the broker close
//! the channel. Here the order is the order of the lock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use lapin::Channel;
use lapin::options::{BasicAckOptions, BasicNackOptions, BasicRejectOptions};
use tracing::warn;

use super::Shared;
use crate::{Acked, AckedAll, Outgoing, Target, dead_letter_queue, header};

/// The channel of one consumer, and what was delivered on it. It closes when the last delivery is decided and the
/// consumer is gone.
pub(super) struct Deliveries {
    pub(super) channel: Channel,
    pub(super) shared: Arc<Shared>,
    /// For dead letters: where the deliveries came from.
    pub(super) queue: String,
    /// Tags that were handed out and are undecided. No more than the prefetch window.
    undecided: Mutex<BTreeSet<u64>>,
}

/// A delivery in a consumer's hands.
#[derive(Debug)]
pub(crate) struct Held {
    /// Taken by the decision; still there on drop means that there was none.
    tag: Option<(u64, Arc<Deliveries>)>,
}

impl Deliveries {
    pub(super) fn new(channel: Channel, shared: Arc<Shared>, queue: String) -> Arc<Self> {
        Arc::new(Self { channel, shared, queue, undecided: Mutex::default() })
    }

    /// Hands out the delivery `tag`. Tags grow: the broker counts them up.
    pub(super) fn hand_out(self: &Arc<Self>, tag: u64) -> Held {
        self.undecided().insert(tag);
        Held { tag: Some((tag, self.clone())) }
    }

    pub(super) fn all_decided(&self) -> bool {
        self.undecided().is_empty()
    }

    /// Gives a delivery back to the queue.
    #[expect(clippy::disallowed_methods, reason = "decisions go out here: see the module")]
    fn give_back(&self, tag: u64) -> Acked {
        let options = BasicNackOptions { requeue: true, multiple: false };
        send(self.channel.basic_nack(tag, options))
    }

    fn undecided(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.undecided.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends an acknowledgement. Called under the lock.
    #[expect(clippy::disallowed_methods, reason = "decisions go out here: see the module")]
    fn send_ack(&self, tag: u64, multiple: bool) -> Acked {
        send(self.channel.basic_ack(tag, BasicAckOptions { multiple }))
    }

    /// Sends a refusal: the broker makes a dead letter of the message. Called under the lock.
    #[expect(clippy::disallowed_methods, reason = "decisions go out here: see the module")]
    fn send_reject(&self, tag: u64) -> Acked {
        send(self.channel.basic_reject(tag, BasicRejectOptions { requeue: false }))
    }

    /// Acknowledges `tags`: those before the first undecided one in a single frame, the rest one by one.
    fn ack_all(&self, mut tags: Vec<u64>, acked: &mut AckedAll) {
        tags.sort_unstable();
        let mut undecided = self.undecided();
        for tag in &tags {
            undecided.remove(tag);
        }
        let prefix = match undecided.first() {
            Some(first) => tags.partition_point(|tag| tag < first),
            None => tags.len(),
        };
        if let Some(last) = tags[..prefix].last() {
            acked.count(self.send_ack(*last, true), prefix);
        }
        for tag in &tags[prefix..] {
            acked.count(self.send_ack(*tag, false), 1);
        }
    }
}

impl Held {
    pub(crate) fn ack(mut self) -> Acked {
        self.decide(|deliveries, tag| deliveries.send_ack(tag, false))
    }

    pub(crate) fn requeue(mut self) -> Acked {
        self.decide(|deliveries, tag| deliveries.give_back(tag))
    }

    pub(crate) fn ack_all(held: Vec<Self>, acked: &mut AckedAll) {
        let mut channels: Vec<(Arc<Deliveries>, Vec<u64>)> = Vec::new();
        for (tag, deliveries) in held.into_iter().filter_map(|mut held| held.tag.take()) {
            // A batch comes from one or two channels: the one before a reconnect, and the one after it.
            match channels.iter_mut().find(|(known, _)| Arc::ptr_eq(known, &deliveries)) {
                Some((_, tags)) => tags.push(tag),
                None => channels.push((deliveries, vec![tag])),
            }
        }
        for (deliveries, tags) in channels {
            deliveries.ack_all(tags, acked);
        }
    }

    /// Publishes a copy that carries the reason, and acknowledges once the broker has it.
    pub(crate) async fn dead_letter(
        mut self,
        body: Vec<u8>,
        mut headers: BTreeMap<String, String>,
        message_id: String,
    ) -> Acked {
        // Still ours while we publish: a caller who gives up gives the message back.
        let Some((_, deliveries)) = &self.tag else { return Acked::Lost };
        let deliveries = deliveries.clone();
        if !deliveries.shared.known.has_dead_letters(&deliveries.queue) {
            warn!(queue = %deliveries.queue, headers = ?headers, "dropping a message that cannot be processed");
            return self.ack();
        }
        headers.insert(header::SOURCE_QUEUE.to_owned(), deliveries.queue.clone());
        let target = Target::Queue(dead_letter_queue(&deliveries.queue));
        let copy = Outgoing { target, body, headers, message_id, persistent: true };
        let published = match deliveries.shared.dead_letters().await.publish(&deliveries.shared, copy).await {
            Ok(confirm) => confirm.await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match published {
            Ok(()) => self.decide(|deliveries, tag| deliveries.send_ack(tag, false)),
            Err(error) => {
                warn!(queue = %deliveries.queue, error, "a dead letter goes without its reason");
                self.decide(|deliveries, tag| deliveries.send_reject(tag))
            }
        }
    }

    fn decide(&mut self, decision: impl FnOnce(&Deliveries, u64) -> Acked) -> Acked {
        let Some((tag, deliveries)) = self.tag.take() else { return Acked::Lost };
        let mut undecided = deliveries.undecided();
        undecided.remove(&tag);
        // Sent under the lock: an acknowledgement of many must not overtake this one.
        decision(&deliveries, tag)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.decide(|deliveries, tag| deliveries.give_back(tag));
    }
}

impl std::fmt::Debug for Deliveries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deliveries").field("queue", &self.queue).finish_non_exhaustive()
    }
}

/// The first poll of lapin's future queues the frame, in order; the rest of it only waits for the socket, which no
/// acknowledgement needs to: AMQP has no answer to it.
fn send(frame: impl Future<Output = Result<(), lapin::Error>>) -> Acked {
    match frame.now_or_never() {
        None | Some(Ok(())) => Acked::Done,
        Some(Err(_)) => Acked::Lost,
    }
}
