//! What goes in and what comes out.

use std::collections::BTreeMap;

use crate::acker::Held;
use crate::limits::REASON_BYTES_MAX;
use crate::{Acked, Acker};

/// Header names that this crate writes.
pub mod header {
    /// On a dead letter: why it was dead-lettered.
    pub const REASON: &str = "x-backstitch-reason";
    /// On a dead letter: the queue it came from.
    pub const SOURCE_QUEUE: &str = "x-backstitch-queue";
    /// On a dead letter that the broker itself made: `delivery_limit` or `rejected`.
    pub const BROKER_REASON: &str = "x-first-death-reason";
}

/// Where a message goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// One queue, by name. A queue that is gone refuses the message.
    Queue(String),
    /// Every subscriber of a fan-out, by name. No subscriber is no error.
    Fanout(String),
}

/// A message on its way out.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Where it goes.
    pub target: Target,
    /// At most [`MESSAGE_BYTES_MAX`](crate::MESSAGE_BYTES_MAX).
    pub body: Vec<u8>,
    /// `traceparent`, `tracestate` and the like.
    pub headers: BTreeMap<String, String>,
    /// Names the message to people and to tools; need not be unique.
    pub message_id: String,
    /// Whether it must outlive a restart of the broker.
    pub persistent: bool,
}

/// A message that arrived.
#[derive(Debug)]
pub struct Delivery {
    /// Unchecked: anybody can publish. A queue with dead letters gives at most
    /// [`MESSAGE_BYTES_MAX`](crate::MESSAGE_BYTES_MAX); more goes to its dead letters unseen.
    pub body: Vec<u8>,
    /// Headers whose value is text; others are left out.
    pub headers: BTreeMap<String, String>,
    /// It may have been delivered before.
    pub redelivered: bool,
    /// As its publisher set it; empty if unset.
    pub message_id: String,
    /// Decides what becomes of the message.
    pub acker: Acker,
}

impl Delivery {
    /// The message can never be processed: moves it to the dead-letter queue of its queue. `reason` stands in its
    /// header [`REASON`](header::REASON), cut at 2 KiB.
    ///
    /// Where there is no dead-letter queue (a subscription, a dead-letter queue itself) the message is dropped.
    ///
    /// It takes the whole delivery because the broker is given a copy that carries the reason.
    pub async fn dead_letter(self, reason: &str) -> Acked {
        let Self { body, mut headers, message_id, acker, .. } = self;
        headers.insert(header::REASON.to_owned(), cut_reason(reason).to_owned());
        match acker.0 {
            Held::InProcess(held) => held.dead_letter(headers),
            Held::RabbitMq(held) => held.dead_letter(body, headers, message_id).await,
        }
    }
}

/// The longest prefix of `reason` that fits into a header, cut between characters.
fn cut_reason(reason: &str) -> &str {
    let mut end = reason.len().min(REASON_BYTES_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    &reason[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let reason = "é".repeat(REASON_BYTES_MAX);
        assert_eq!(cut_reason(&reason), "é".repeat(REASON_BYTES_MAX / 2));
        assert_eq!(cut_reason(&format!("x{reason}")).len(), REASON_BYTES_MAX - 1);
        assert_eq!(cut_reason("short"), "short");
    }
}
