//! A connection that is always there, or being made.
//!
//! lapin can recover a connection by itself. This crate does not use that, because it covers half of what happens:
//! a channel that the broker closes (delivery timeout, deleted exchange) stays closed, a consumer that the broker
//! cancels stays cancelled, and recovery fails for good when the broker answers with an error while it boots. The
//! other half needs the loop below anyway; so it does all of it. It brings a simpler truth, too: a `lapin::Channel`
//! here has exactly one incarnation, and a delivery tag means one delivery for as long as its channel lives.
//!
//! ```text
//!   ┌── attempt ──▶ session ── lost ──┐        a session is what publishers and consumers
//!   └──────────── backoff ◀───────────┘        open their channels on
//! ```
//!
//! There are two links: the broker stops reading from a connection that publishes when it is short of memory, and
//! acknowledgements on that connection would wait with the rest.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use lapin::{Connection, ConnectionProperties, ErrorKind, Event};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::address::Address;
use super::backoff::Backoff;
use super::board::Board;
use crate::{BrokerError, ConnectionState, OPERATION_TIMEOUT};

/// TCP connect and AMQP handshake together. A busy broker that boots can take some seconds.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the broker may take to answer our goodbye. One that lives does so at once, and nothing depends on it.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// How often a session is asked whether it still lives. An orderly close by the broker raises no event.
const PULSE: Duration = Duration::from_secs(1);

/// AMQP reply codes that no further attempt will change: wrong password, no such virtual host.
const ACCESS_REFUSED: u16 = 403;
const NOT_ALLOWED: u16 = 530;

/// What a link is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Publish,
    Consume,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Publish => "publish",
            Self::Consume => "consume",
        })
    }
}

/// One living connection.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) connection: Arc<Connection>,
    /// Cancelled when the connection is known to be gone.
    pub(super) lost: CancellationToken,
}

/// Access to the current session of one role.
pub(super) struct Link {
    sessions: watch::Receiver<Option<Session>>,
}

impl Link {
    /// Connects, and keeps connected from then on. The first connection is awaited: a wrong password shows at start.
    pub(super) async fn connect(
        address: &Address,
        role: Role,
        name: &str,
        board: Arc<Board>,
        closed: CancellationToken,
        tasks: &TaskTracker,
    ) -> Result<Self, BrokerError> {
        let properties = ConnectionProperties::default()
            .with_connection_name(format!("backstitch {name} ({role})").into());
        let link = Supervisor { address: address.clone(), role, properties, board, closed };
        let first = link.first_connection().await?;
        let (publish_session, sessions) = watch::channel(None);
        tasks.spawn(link.run(first, publish_session));
        Ok(Self { sessions })
    }

    /// The current session, or the next one. `None` once the broker is closed.
    pub(super) async fn session(&self) -> Option<Session> {
        let mut sessions = self.sessions.clone();
        let session = sessions.wait_for(Option::is_some).await.ok()?;
        session.clone()
    }
}

struct Supervisor {
    address: Address,
    role: Role,
    properties: ConnectionProperties,
    board: Arc<Board>,
    closed: CancellationToken,
}

impl Supervisor {
    async fn attempt(&self) -> Result<Connection, lapin::Error> {
        let connecting = Connection::connect_uri(self.address.uri(), self.properties.clone());
        timeout(HANDSHAKE_TIMEOUT, connecting).await.unwrap_or_else(|_| {
            // lapin's I/O thread of this attempt ends when the peer answers or the kernel gives the socket up.
            Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer to the AMQP handshake").into())
        })
    }

    async fn first_connection(&self) -> Result<Connection, BrokerError> {
        let deadline = Instant::now() + OPERATION_TIMEOUT;
        let mut backoff = Backoff::default();
        loop {
            let source = match self.attempt().await {
                Ok(connection) => return Ok(connection),
                Err(error) => error,
            };
            self.board.note_away();
            if is_refusal(&source) {
                return Err(BrokerError::Refused { address: self.address.to_string(), source });
            }
            if Instant::now() > deadline {
                let doing = format!("connecting to the broker at {}", self.address);
                return Err(BrokerError::Unavailable {
                    doing,
                    waited: OPERATION_TIMEOUT,
                    reason: source.to_string(),
                });
            }
            tokio::time::sleep(backoff.next_delay()).await;
        }
    }

    async fn run(self, first: Connection, sessions: watch::Sender<Option<Session>>) {
        let mut next = Some(first);
        while let Some(connection) = next {
            info!(broker = %self.address, role = %self.role, "connected to the broker");
            let session = Session { connection: Arc::new(connection), lost: CancellationToken::new() };
            self.board.set(self.role, ConnectionState::Connected);
            sessions.send_replace(Some(session.clone()));
            let reason = tokio::select! {
                reason = self.watch(&session.connection) => reason,
                () = self.closed.cancelled() => "closed".to_owned(),
            };
            sessions.send_replace(None);
            session.lost.cancel();
            self.board.set(self.role, ConnectionState::Disconnected { reason: reason.clone() });
            if self.closed.is_cancelled() {
                // An error means that it is closed already.
                let _ = timeout(CLOSE_TIMEOUT, session.connection.close(200, "closed".into())).await;
                return;
            }
            warn!(broker = %self.address, role = %self.role, reason, "lost the connection to the broker");
            next = self.reconnect().await;
        }
    }

    /// The next connection, however long it takes. `None` once the broker is closed.
    async fn reconnect(&self) -> Option<Connection> {
        let mut backoff = Backoff::default();
        loop {
            tokio::select! {
                () = self.closed.cancelled() => return None,
                () = tokio::time::sleep(backoff.next_delay()) => {}
            }
            let attempt = tokio::select! {
                () = self.closed.cancelled() => return None,
                attempt = self.attempt() => attempt,
            };
            match attempt {
                Ok(connection) => return Some(connection),
                Err(error) => {
                    self.board.set(self.role, ConnectionState::Disconnected { reason: error.to_string() });
                }
            }
        }
    }

    /// Follows a session to its end, and says why it ended.
    async fn watch(&self, connection: &Connection) -> String {
        // The only listener of this connection: two would share the events, not each see all of them.
        let mut events = std::pin::pin!(connection.events_listener());
        let mut pulse = tokio::time::interval(PULSE);
        pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                _ = pulse.tick() => None,
            };
            match event {
                Some(Event::ConnectionBlocked(reason)) => {
                    warn!(broker = %self.address, reason, "the broker blocks publishers");
                    self.board.set(self.role, ConnectionState::Blocked { reason });
                }
                Some(Event::ConnectionUnblocked) => {
                    info!(broker = %self.address, "the broker takes messages again");
                    self.board.set(self.role, ConnectionState::Connected);
                }
                // A channel's error comes here as well; only the connection's own end is an end.
                Some(Event::Error(error)) if !connection.status().connected() => return error.to_string(),
                _ if !connection.status().connected() => {
                    return "the broker closed the connection".to_owned();
                }
                _ => {}
            }
        }
    }
}

fn is_refusal(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(error) if [ACCESS_REFUSED, NOT_ALLOWED].contains(&error.get_id()))
}
