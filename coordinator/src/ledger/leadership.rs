//! Who may write.
//!
//! A term is numbered by its epoch. The lock that makes a process the leader (a session's advisory lock, a file
//! lock) only decides who may begin a term; what protects the ledger is that every commit carries the epoch and
//! fails once a later term has begun. So a leader that does not know yet that it was deposed does no harm.

use backstitch_proto::id::Epoch;
use serde::Serialize;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Who would like to lead.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Name of the process, for people.
    pub name: String,
    /// Where its API is reached: where a standby sends clients.
    pub api_address: String,
}

/// Who leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeaderInfo {
    /// Its term.
    pub epoch: Epoch,
    /// Name of the process, for people.
    pub name: String,
    /// Where its API is reached.
    pub api_address: String,
    /// Begin of the term, microseconds since the Unix epoch.
    pub since_us: i64,
}

impl LeaderInfo {
    /// From the columns of `leadership`: epoch, name, address of the API, begin.
    pub(super) fn from_columns((epoch, name, api_address, since_us): (i64, String, String, i64)) -> Self {
        Self { epoch: Epoch(epoch as u32), name, api_address, since_us }
    }
}

/// A term of leadership. Dropping it resigns.
#[derive(Debug)]
pub struct Term {
    epoch: Epoch,
    /// Fires when leadership is gone, for whatever reason.
    lost: CancellationToken,
    /// Tells whoever holds the lock to let it go.
    _resign: DropGuard,
    /// Fires when the lock was let go.
    released: CancellationToken,
}

impl Term {
    /// `resign` asks the holder of the lock to release it; the holder fires `lost` and then `released`.
    pub(super) fn new(
        epoch: Epoch,
        resign: CancellationToken,
        lost: CancellationToken,
        released: CancellationToken,
    ) -> Self {
        Self { epoch, lost, _resign: resign.drop_guard(), released }
    }

    /// The number of the term.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Fires when leadership is gone: the lock's connection broke, or a later term has begun.
    pub fn lost(&self) -> CancellationToken {
        self.lost.clone()
    }

    /// Resigns, and waits until another process can lead.
    pub async fn resign(self) {
        let released = self.released.clone();
        drop(self);
        released.cancelled().await;
    }
}
