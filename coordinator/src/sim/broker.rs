//! A model of the broker: bags of messages, some of which cannot be taken yet. Where messages are ever late there is no
//! order among them; elsewhere they come as they went.

use std::sync::Arc;

use backstitch_proto::id::{DispatchId, Epoch};
use backstitch_proto::message::{Dispatch, Heartbeat, Report};

use super::rng::Rng;

/// Messages of one kind between sender and receiver.
#[derive(Clone, Debug)]
pub(super) struct Bag<M> {
    /// Each with the time before which it does not arrive, milliseconds of the world's clock.
    messages: Vec<(u64, M)>,
}

impl<M> Default for Bag<M> {
    fn default() -> Self {
        Self { messages: Vec::new() }
    }
}

impl<M> Bag<M> {
    pub(super) fn put(&mut self, due_ms: u64, message: M) {
        self.messages.push((due_ms, message));
    }

    /// Takes a message that has arrived: the oldest, where none is ever late (`delay` is 0). Elsewhere any, and now and
    /// then none although there is one.
    pub(super) fn take(&mut self, rng: &mut Rng, delay: u64, now_ms: u64) -> Option<M> {
        if self.messages.is_empty() {
            return None;
        }
        if delay == 0 {
            let at = self.messages.iter().position(|(due_ms, _)| *due_ms <= now_ms)?;
            return Some(self.messages.remove(at).1);
        }
        let at = rng.index(self.messages.len());
        (self.messages[at].0 <= now_ms).then(|| self.messages.swap_remove(at).1)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &M> {
        self.messages.iter().map(|(_, message)| message)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Nothing is late any more.
    pub(super) fn hurry(&mut self) {
        self.messages.iter_mut().for_each(|(due_ms, _)| *due_ms = 0);
    }
}

/// A message to a worker.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    pub(super) dispatch: Arc<Dispatch>,
    /// Somebody had it before.
    pub(super) redelivered: bool,
}

impl Delivery {
    /// Whoever gets it will execute this dispatch.
    pub(super) fn is_first(&self, id: DispatchId) -> bool {
        self.dispatch.id == id && !self.redelivered
    }
}

/// What comes through the queue of heartbeats.
#[derive(Clone, Debug)]
pub(super) enum Beat {
    Worker(Heartbeat),
    /// A leader's own voice: whose it is, and when it was sent (milliseconds of the world's clock).
    Echo {
        epoch: Epoch,
        sent_ms: u64,
    },
}

/// Everything that is on its way.
#[derive(Debug, Default)]
pub(super) struct SimBroker {
    pub(super) tasks: Bag<Delivery>,
    pub(super) reports: Bag<Report>,
    pub(super) heartbeats: Bag<Beat>,
}

impl SimBroker {
    pub(super) fn hurry(&mut self) {
        self.tasks.hurry();
        self.reports.hurry();
        self.heartbeats.hurry();
    }
}
