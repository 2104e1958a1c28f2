//! What can go wrong, and whether trying again can help.
//!
//! No variant holds the broker's URL: URLs carry passwords, and errors end in logs.

use std::time::Duration;

use thiserror::Error;

/// An operation on a broker that did not succeed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// The URL cannot be read.
    #[error("the broker URL is not valid: {problem} (expected amqp://USER:PASSWORD@HOST:PORT/VHOST)")]
    InvalidUrl {
        /// What is wrong, without the URL.
        problem: String,
    },
    /// The broker answered, and will not have us.
    #[error("the broker at {address} refused the connection")]
    Refused {
        /// Host and port.
        address: String,
        /// The broker's answer.
        #[source]
        source: lapin::Error,
    },
    /// No connection for longer than we wait.
    #[error("{doing}: the broker was not available for {} s ({reason})", .waited.as_secs())]
    Unavailable {
        /// What we were doing.
        doing: String,
        /// How long we waited.
        waited: Duration,
        /// What is known of the connection.
        reason: String,
    },
    /// A queue or exchange of that name exists, and is not what we need.
    #[error(
        "{name} exists with other properties; drain and delete it (rabbitmqctl delete_queue), then start again"
    )]
    Conflict {
        /// Queue or exchange.
        name: String,
        /// The broker's answer.
        #[source]
        source: lapin::Error,
    },
    /// The broker's user has no permission for it.
    #[error(
        "the broker does not allow us to use {name}; grant configure, write and read (rabbitmqctl set_permissions)"
    )]
    Forbidden {
        /// Queue or exchange.
        name: String,
        /// The broker's answer.
        #[source]
        source: lapin::Error,
    },
    /// Nobody declared this queue or fan-out.
    #[error("{name} has not been declared")]
    NotDeclared {
        /// Queue or fan-out.
        name: String,
    },
    /// The body is larger than a message may be.
    #[error("a message of {bytes} bytes is larger than the limit of {limit} bytes")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// [`MESSAGE_BYTES_MAX`](crate::MESSAGE_BYTES_MAX).
        limit: usize,
    },
    /// A name is longer than the protocol can carry.
    #[error("a name of {bytes} bytes is longer than the protocol's 255: {start}...")]
    NameTooLong {
        /// Its length.
        bytes: usize,
        /// How it begins.
        start: String,
    },
    /// The connection was closed by this program.
    #[error("the connection to the broker is closed")]
    Closed,
    /// The broker or the connection failed in the middle.
    #[error("{doing}")]
    Failed {
        /// What we were doing.
        doing: String,
        /// What happened.
        #[source]
        source: lapin::Error,
    },
}

impl BrokerError {
    /// Whether the same call will fail in the same way again.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::InvalidUrl { .. }
            | Self::Refused { .. }
            | Self::Conflict { .. }
            | Self::Forbidden { .. }
            | Self::NotDeclared { .. }
            | Self::TooLarge { .. }
            | Self::NameTooLong { .. }
            | Self::Closed => true,
            Self::Unavailable { .. } | Self::Failed { .. } => false,
        }
    }
}
