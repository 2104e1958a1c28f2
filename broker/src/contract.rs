//! The contract: what coordinator and worker may ask of a broker.
//!
//! Three small traits, because three parts of a program hold them: whoever publishes, whoever consumes, and whoever
//! sets things up and watches the connection.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::{BrokerError, Confirm, Delivery, Outgoing, Topology};

/// A connection to a broker that keeps itself alive.
#[async_trait]
pub trait Broker: Send + Sync + 'static {
    /// Makes the queues and the fan-outs of `topology` exist. Repeating it is harmless; what is declared here is
    /// declared again when it is found missing later.
    ///
    /// # Errors
    /// [`BrokerError::Conflict`] when a queue exists with other properties; [`BrokerError::Unavailable`] when the
    /// broker does not answer within [`OPERATION_TIMEOUT`](crate::OPERATION_TIMEOUT).
    async fn declare(&self, topology: &Topology) -> Result<(), BrokerError>;

    /// A publisher with a confirm window of its own. Publishers do not wait for each other.
    ///
    /// # Errors
    /// [`BrokerError::Closed`] after [`close`](Self::close).
    async fn publisher(&self) -> Result<Arc<dyn Publisher>, BrokerError>;

    /// Deliveries of `queue`, of which at most `prefetch` are unacknowledged at any time.
    ///
    /// # Errors
    /// [`BrokerError::NotDeclared`] when there is no such queue; [`BrokerError::Unavailable`] as for `declare`.
    async fn consume(&self, queue: &str, prefetch: u16) -> Result<Box<dyn Consumer>, BrokerError>;

    /// As [`consume`](Self::consume), but of several consumers of a queue the one of the highest rank is given what it
    /// has room for, and the others the rest. A broker that has one process has no use for ranks.
    ///
    /// # Errors
    /// As for [`consume`](Self::consume).
    async fn consume_ranked(
        &self,
        queue: &str,
        prefetch: u16,
        _rank: u32,
    ) -> Result<Box<dyn Consumer>, BrokerError> {
        self.consume(queue, prefetch).await
    }

    /// Everything that is published to `fanout` from now on. What is published while this subscriber is
    /// disconnected is lost to it.
    ///
    /// # Errors
    /// As for [`consume`](Self::consume).
    async fn subscribe(&self, fanout: &str) -> Result<Box<dyn Consumer>, BrokerError>;

    /// The state of the connection, now and from now on.
    fn state(&self) -> watch::Receiver<ConnectionState>;

    /// When the broker last came back after it was away or blocked; `None` if it never was. Others that lost it then may
    /// still be connecting.
    fn restored_at(&self) -> Option<Instant> {
        None
    }

    /// Whether a confirmed message outlives this process. Where it does not, every open dispatch is published again
    /// at start.
    fn survives_restart(&self) -> bool;

    /// What waits in `queue`.
    ///
    /// # Errors
    /// As for [`consume`](Self::consume).
    async fn depth(&self, queue: &str) -> Result<QueueDepth, BrokerError>;

    /// Ends the connection. Consumers end, unresolved confirms resolve to [`Unconfirmed::Lost`](crate::Unconfirmed).
    async fn close(&self);
}

/// Hands messages to a broker.
#[async_trait]
pub trait Publisher: Send + Sync {
    /// Hands `message` over; the [`Confirm`] resolves when the broker has taken responsibility for it.
    ///
    /// Waits while the window of unresolved confirms is full: that is the back-pressure. It also waits through a
    /// reconnect, up to [`OPERATION_TIMEOUT`](crate::OPERATION_TIMEOUT). Messages of one publisher to one queue keep their order
    /// unless the connection is lost in between.
    ///
    /// Dropping the confirm does not take the message back.
    ///
    /// # Errors
    /// Permanent: [`BrokerError::TooLarge`], [`BrokerError::NotDeclared`], [`BrokerError::Closed`].
    /// Transient: [`BrokerError::Unavailable`].
    async fn publish(&self, message: Outgoing) -> Result<Confirm, BrokerError>;
}

/// Receives messages from one queue.
///
/// Dropping a consumer cancels it. Deliveries that are already in the caller's hands stay valid in both cases, and
/// can still be acknowledged.
#[async_trait]
pub trait Consumer: Send {
    /// The next delivery. It reconnects by itself, for as long as it takes. `None` comes only after
    /// [`cancel`](Self::cancel), or once the broker is closed. Cancel-safe: no delivery is lost when the future is
    /// dropped.
    async fn next(&mut self) -> Option<Delivery>;

    /// Stops new deliveries, and hands out what was prefetched and not yet seen: at most the prefetch window. What of it
    /// is dropped goes back to the queue, and will come as redelivered although nobody has seen it.
    async fn cancel(&mut self) -> Vec<Delivery>;
}

/// Whether messages can flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectionState {
    /// They can.
    Connected,
    /// The broker refuses to take more for a while: short of memory or disk.
    Blocked {
        /// The broker's own words.
        reason: String,
    },
    /// There is no connection; it is being re-established, unless the broker was closed.
    Disconnected {
        /// Why, for people. Never holds a password.
        reason: String,
    },
}

impl fmt::Display for ConnectionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected => f.write_str("connected"),
            Self::Blocked { reason } => write!(f, "publishers are blocked: {reason}"),
            Self::Disconnected { reason } => write!(f, "disconnected: {reason}"),
        }
    }
}

impl ConnectionState {
    /// Whether the broker takes messages now.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        matches!(self, Self::Connected)
    }
}

/// What waits in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueDepth {
    /// Messages that no consumer has been given yet.
    pub ready: u64,
    /// Consumers of the queue. One that left counts until its last delivery is decided.
    pub consumers: u32,
}
