//! Who may write.
//!
//! A term is numbered by its epoch. The lock that makes a process the leader (a session's advisory lock, a file
//! lock) only decides who may begin a term; what protects the ledger is that every commit carries the epoch and
//! fails once a later term has begun. So a leader that does not know yet that it was deposed does no harm.

use backstitch_proto::id::Epoch;
use serde::Serialize;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Epochs up to this one are counted in minutes, from 2026 into 2041: a term that begins has at least the number of its
/// minute. Later ones follow one after the other, and 388,607 are left for them: a dispatch id has room for the epoch
/// 8,388,607.
pub const COUNTED_EPOCH_MAX: i64 = 8_000_000;

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

/// A term as the holder of the lock sees it.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    /// Fires when the holder has to let the lock go.
    pub(super) resign: CancellationToken,
    /// For the holder to fire when leadership is gone.
    pub(super) lost: CancellationToken,
    /// For the holder to fire after that, when the lock was let go.
    pub(super) released: CancellationToken,
}

impl Term {
    /// The term of this number, and what the holder of the lock has of it.
    pub(super) fn begin(epoch: Epoch) -> (Self, Held) {
        let held = Held::default();
        let Held { resign, lost, released } = held.clone();
        (Self { epoch, lost, _resign: resign.drop_guard(), released }, held)
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
