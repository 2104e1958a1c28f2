//! The bounds of this crate that callers see, each with its reason.

use std::time::Duration;

use backstitch_proto::message::codec;

/// Largest body in bytes: the largest message that the codec makes, and room for its envelope.
///
/// A publisher refuses more; a consumer dead-letters more unseen, so that no body of a stranger reaches a decoder.
pub const MESSAGE_BYTES_MAX: usize = codec::BODY_BYTES_MAX + 1024;

/// How long an operation waits for the broker to come back before it reports `Unavailable`.
///
/// A RabbitMQ node restarts in about 15 s; a caller that waits longer wants to say so to somebody.
pub const OPERATION_TIMEOUT: Duration = Duration::from_secs(30);

/// Messages that one queue holds at most; the broker refuses more, and the publisher tries again.
///
/// Dispatch is windowed, so a queue this long is a fault of ours. It shall stop growing before memory ends.
pub(crate) const QUEUE_MESSAGES_MAX: u32 = 1_000_000;

/// Dead letters that one dead-letter queue holds; the oldest go first.
pub(crate) const DEAD_LETTERS_MAX: u32 = 100_000;

/// Unread messages that one subscriber of a fan-out holds; the oldest go first. They are hints, and repeated.
pub(crate) const SUBSCRIPTION_MESSAGES_MAX: u32 = 10_000;

/// Unacknowledged deliveries of one subscriber of a fan-out.
pub(crate) const SUBSCRIPTION_PREFETCH: u16 = 100;

/// Longest reason in bytes on a dead letter: enough for an error with its causes, small enough for a header.
pub(crate) const REASON_BYTES_MAX: usize = 2048;
