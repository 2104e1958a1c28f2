//! The states of both links, as one state for everybody who asks.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::link::Role;
use crate::{BrokerError, ConnectionState};

pub(super) struct Board {
    links: Mutex<Links>,
    overall: watch::Sender<ConnectionState>,
    outage: Mutex<Outage>,
}

/// What this process has seen of the broker's absences.
#[derive(Default)]
struct Outage {
    is_under_way: bool,
    ended: Option<Instant>,
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
        Self {
            links: Mutex::new(Links { publish: connecting.clone(), consume: connecting }),
            overall,
            outage: Mutex::default(),
        }
    }

    pub(super) fn set(&self, role: Role, state: ConnectionState) {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        match role {
            Role::Publish => links.publish = state,
            Role::Consume => links.consume = state,
        }
        let overall = links.overall();
        self.note_outage(&overall);
        // Sent under the lock: the last state that is sent is the last that was set.
        self.overall.send_if_modified(|current| {
            let changed = *current != overall;
            *current = overall;
            changed
        });
    }

    fn note_outage(&self, overall: &ConnectionState) {
        let mut outage = self.outage.lock().unwrap_or_else(PoisonError::into_inner);
        // Before the first connection nobody has seen the broker away, only that nobody has asked.
        if !overall.is_connected() && self.overall.borrow().is_connected() {
            outage.is_under_way = true;
        } else if overall.is_connected() && std::mem::take(&mut outage.is_under_way) {
            outage.ended = Some(Instant::now());
        }
    }

    pub(super) fn restored_at(&self) -> Option<Instant> {
        self.outage.lock().unwrap_or_else(PoisonError::into_inner).ended
    }

    /// An attempt to connect for the first time was in vain.
    pub(super) fn note_away(&self) {
        self.outage.lock().unwrap_or_else(PoisonError::into_inner).is_under_way = true;
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<ConnectionState> {
        self.overall.subscribe()
    }

    /// The error of a caller who waited for `waited` in vain.
    pub(super) fn unavailable(&self, doing: &str, waited: Duration) -> BrokerError {
        let reason = match &*self.overall.borrow() {
            ConnectionState::Connected => "connected, but too slow".to_owned(),
            state => state.to_string(),
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
    fn the_end_of_an_outage_is_remembered_and_a_first_connection_is_none() {
        let board = Board::new();
        let set = |state: ConnectionState| {
            board.set(Role::Publish, state.clone());
            board.set(Role::Consume, state);
        };
        set(Connected);
        assert!(board.restored_at().is_none());
        set(Disconnected { reason: "lost".into() });
        assert!(board.restored_at().is_none());
        set(Connected);
        assert!(board.restored_at().is_some());
        let late = Board::new();
        late.note_away();
        late.set(Role::Publish, Connected);
        late.set(Role::Consume, Connected);
        assert!(late.restored_at().is_some());
    }

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
