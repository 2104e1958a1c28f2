//! How far things have come, where the API does not show it: ledger, queues, journal and metrics, each asked directly.
//! So a test knows that a fault hits the step that it is meant for.

use anyhow::{Context, Result};
use sqlx::{Connection, PgConnection};

use super::{Cluster, PATIENCE};
use crate::wait::wait_for;

/// Messages of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Depth {
    /// That no consumer has been given.
    pub ready: u64,
    /// That a consumer has been given and has not acknowledged.
    pub unacknowledged: u64,
}

impl Depth {
    /// All of them.
    #[must_use]
    pub fn total(self) -> u64 {
        self.ready + self.unacknowledged
    }
}

impl Cluster {
    /// Dispatches that the ledger holds as open: decided, and not landed.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn open_dispatches(&self) -> Result<u64> {
        let mut session = PgConnection::connect(&self.database_url()).await?;
        let open: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM dispatches").fetch_one(&mut session).await?;
        Ok(open.unsigned_abs())
    }

    /// What is in `queue` now, by its own leader: the statistics of a quorum queue are seconds old.
    ///
    /// # Errors
    /// When there is no such quorum queue.
    pub async fn depth(&self, queue: &str) -> Result<Depth> {
        let counts = self.broker.eval(|host| {
            format!(
                "{{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"{host}\">>, queue, <<\"{queue}\">>)), \
                 Count = fun(Of) -> {{ok, {{_, N}}, _}} = ra:leader_query(amqqueue:get_pid(Q), Of), N end, \
                 {{Count(fun rabbit_fifo:query_messages_ready/1), \
                 Count(fun rabbit_fifo:query_messages_checked_out/1)}}."
            )
        });
        let counts = counts.await?;
        let counts = counts.trim().trim_matches(['{', '}']).split_once(',');
        let (ready, unacknowledged) = counts.context("two counts of messages")?;
        Ok(Depth { ready: ready.parse()?, unacknowledged: unacknowledged.parse()? })
    }

    /// Waits until the messages of `queue` are as wanted.
    ///
    /// # Errors
    /// When they do not become so.
    pub async fn until_depth(&self, queue: &str, wanted: impl Fn(Depth) -> bool) -> Result<Depth> {
        let mut last = None;
        let waited = wait_for("the messages of a queue", PATIENCE, async || {
            last = Some(self.depth(queue).await);
            last.as_ref()?.as_ref().ok().copied().filter(|depth| wanted(*depth))
        });
        waited.await.with_context(|| format!("{queue}, at last: {last:?}"))
    }

    /// Waits until so many executions have come to their end.
    ///
    /// # Errors
    /// When they do not.
    pub async fn until_executed(&self, executions: usize) -> Result<()> {
        wait_for("executions to end", PATIENCE, async || {
            (self.project.journal().ok()?.ended().len() >= executions).then_some(())
        })
        .await
    }

    /// Waits until the ledger holds so many successes, whether anybody knows of them or not.
    ///
    /// # Errors
    /// When it does not.
    pub async fn until_recorded(&self, successes: i64) -> Result<()> {
        wait_for("successes in the ledger", PATIENCE, async || {
            (*self.outcomes().await.ok()?.get("succeeded")? >= successes).then_some(())
        })
        .await
    }

    /// Waits until the sum of a metric is at least this.
    ///
    /// # Errors
    /// When it is not.
    pub async fn until_metric(&self, name: &str, at_least: f64) -> Result<()> {
        wait_for(name, PATIENCE, async || (self.metric(name).await >= at_least).then_some(())).await
    }
}
