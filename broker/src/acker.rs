//! Deciding what becomes of a delivery, exactly once.
//!
//! ```text
//!             ┌─ ack ──────────▶ gone
//!  delivered ─┼─ dead_letter ──▶ in the dead-letter queue, with the reason (see `Delivery::dead_letter`)
//!             └─ requeue, drop ▶ back at the front of its queue, one return counted
//! ```
//!
//! The type makes the second decision impossible. An acker that is dropped undecided (a panic, a task aborted by
//! shutdown) gives its message back at once, so that it never occupies a place in the prefetch window for ever.

use crate::{in_process, rabbitmq};

/// The right to decide about one delivery.
#[derive(Debug)]
#[must_use = "dropping it gives the message back to the queue"]
pub struct Acker(pub(crate) Held);

/// The delivery, as its broker knows it. Each gives its message back when dropped undecided.
#[derive(Debug)]
pub(crate) enum Held {
    InProcess(in_process::Held),
    RabbitMq(rabbitmq::Held),
}

/// Whether a decision reached the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Acked {
    /// It did, or is on its way on a living connection.
    Done,
    /// The connection of this delivery is gone: the message will be delivered again.
    Lost,
}

/// How many of a batch of decisions reached the broker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct AckedAll {
    /// Messages that are done with.
    pub done: usize,
    /// Messages that will be delivered again.
    pub lost: usize,
}

impl Acker {
    /// The message is done with.
    pub async fn ack(self) -> Acked {
        match self.0 {
            Held::InProcess(held) => held.ack(),
            Held::RabbitMq(held) => held.ack(),
        }
    }

    /// All these messages are done with. Much cheaper than one by one: a run without gaps is one frame.
    pub async fn ack_all(ackers: Vec<Self>) -> AckedAll {
        let mut acked = AckedAll::default();
        let mut remote = Vec::new();
        for acker in ackers {
            match acker.0 {
                Held::InProcess(held) => acked.count(held.ack(), 1),
                Held::RabbitMq(held) => remote.push(held),
            }
        }
        rabbitmq::Held::ack_all(remote, &mut acked);
        acked
    }

    /// Somebody else shall process the message.
    pub async fn requeue(self) -> Acked {
        match self.0 {
            Held::InProcess(held) => held.requeue(),
            Held::RabbitMq(held) => held.requeue(),
        }
    }
}

impl AckedAll {
    pub(crate) fn count(&mut self, acked: Acked, messages: usize) {
        match acked {
            Acked::Done => self.done += messages,
            Acked::Lost => self.lost += messages,
        }
    }
}
