//! Connections that a pool lends, and takes back only in good order.
//!
//! sqlx takes every connection back: it waits, beside its user, for the answer to what was under way and to a ping, and
//! closes it if there is none. Neither waiting nor closing has a limit of its own (closing sends first what is still to
//! be sent), so on a line that fell silent both last as long as TCP has patience, a quarter of an hour, and so long the
//! connection keeps its place in the pool. A term that ends in the middle of a commit on such a line takes one of two
//! places with it; after the next one there is none left to commit with.
//!
//! So a connection goes back only when what it was lent for is done. Otherwise it leaves the pool at once and its socket is
//! closed, and the server rolls back what was open.

use std::ops::{Deref, DerefMut};

use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, PgPool, Postgres};

use crate::ledger::LedgerError;
use crate::ledger::error::Doing;

/// A connection of a pool, until it is dropped or [`done`](Self::done).
pub(super) struct Lent(Option<PoolConnection<Postgres>>);

impl Lent {
    pub(super) async fn by(pool: &PgPool) -> Result<Self, LedgerError> {
        Ok(Self(Some(pool.acquire().await.doing("connecting to the ledger")?)))
    }

    /// Gives it back if it has done what it was lent for.
    pub(super) fn done<T, E>(mut self, result: Result<T, E>) -> Result<T, E> {
        if result.is_ok() {
            drop(self.0.take());
        }
        result
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            // Dropped, it closes its socket and waits for nothing.
            drop(connection.detach());
        }
    }
}

/// Only `done` and `drop` take it away, and both are the end.
const THERE: &str = "a lent connection is there until it is given back";

impl Deref for Lent {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.0.as_deref().expect(THERE)
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.0.as_deref_mut().expect(THERE)
    }
}
