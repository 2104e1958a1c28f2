//! The states of both links, as one state for everybody who asks.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::link::Role;
use crate::{BrokerError, ConnectionState};

pub(super) struct Board {
    links: Mutex<Links>,
    overall: watch::Sender<ConnectionState>,
}

#[derive(Clone)]
struct Links {
    publish: ConnectionState,
    consume: ConnectionState,
}

impl Board {
    pub(super) fn new() -> Self {
        let connecting = ConnectionState::Disconnected { reason: "connecting".to_owned() };
        let (overall, _) = watch::channel(connecting.clone());
        Self { links: Mutex::new(Links { publish: connecting.clone(), consume: connecting }), overall }
    }

    pub(super) fn set(&self, role: Role, state: ConnectionState) {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        match role {
            Role::Publish => links.publish = state,
            Role::Consume => links.consume = state,
        }
        let overall = links.overall();
        // Sent under the lock: the last state that is sent is the last that was set.
        self.overall.send_if_modified(|current| {
            let changed = *current != overall;
            *current = overall;
            changed
        });
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<ConnectionState> {
        self.overall.subscribe()
    }

    /// The error of a caller who waited for `waited` in vain.
    pub(super) fn unavailable(&self, doing: &str, waited: Duration) -> BrokerError {
        let reason = match &*self.overall.borrow() {
            ConnectionState::Connected => "connected, but too slow".to_owned(),
            ConnectionState::Blocked { reason } => format!("publishers are blocked: {reason}"),
            ConnectionState::Disconnected { reason } => format!("disconnected: {reason}"),
        };
        BrokerError::Unavailable { doing: doing.to_owned(), waited, reason }
    }
}

impl Links {
    /// The worst of both, since work needs both.
    fn overall(&self) -> ConnectionState {
        use ConnectionState::{Blocked, Disconnected};
        match (&self.publish, &self.consume) {
            (state @ Disconnected { .. }, _) | (_, state @ Disconnected { .. }) => state.clone(),
            (state @ Blocked { .. }, _) | (_, state) => state.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ConnectionState::{Blocked, Connected, Disconnected};

    #[test]
    fn the_overall_state_is_the_worst_of_both_links() {
        let lost = || Disconnected { reason: "lost".into() };
        let blocked = || Blocked { reason: "memory".into() };
        for (publish, consume, overall) in [
            (Connected, Connected, Connected),
            (blocked(), Connected, blocked()),
            (Connected, blocked(), blocked()),
            (blocked(), lost(), lost()),
            (lost(), Connected, lost()),
            (Connected, lost(), lost()),
        ] {
            assert_eq!(Links { publish, consume }.overall(), overall);
        }
    }
}
