//! How far things have come, where the API does not show it: ledger, journal and metrics, each asked directly.
//! So a test knows that a fault hits the step that it is meant for.

use anyhow::{Context, Result, ensure};
use backstitch_proto::message::REPORT_QUEUE;
use sqlx::{Connection, PgConnection};

use super::{Cluster, PATIENCE, Project, Shape};
use crate::wait::{must_become, wait_for};

impl Cluster {
    /// Starts everything, and a run of so many tasks that have all begun and end when the gate is opened. The run.
    ///
    /// # Errors
    /// When something does not start.
    pub async fn start_holding(tasks: u32, shape: Shape) -> Result<(Self, String)> {
        let cluster = Self::start(Project::gated(tasks)?, shape).await?;
        let run = cluster.submit().await?;
        cluster.until_begun(tasks as usize).await?;
        Ok((cluster, run))
    }

    /// Dispatches that the ledger holds as open: decided, and not landed.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn open_dispatches(&self) -> Result<u64> {
        let mut session = PgConnection::connect(&self.database_url()).await?;
        let open: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM dispatches").fetch_one(&mut session).await?;
        Ok(open.unsigned_abs())
    }

    /// Open dispatches of which the ledger does not hold that the broker has confirmed them.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn unmarked_dispatches(&self) -> Result<u64> {
        let mut session = PgConnection::connect(&self.database_url()).await?;
        let unmarked = "SELECT COUNT(*) FROM dispatches WHERE id > (SELECT through FROM confirmations)";
        let unmarked: i64 = sqlx::query_scalar(unmarked).fetch_one(&mut session).await?;
        Ok(unmarked.unsigned_abs())
    }

    /// Waits until there is none, so that the next commit is of something else.
    ///
    /// # Errors
    /// When some are left.
    pub async fn until_confirms_are_marked(&self) -> Result<()> {
        wait_for("confirms to be marked", PATIENCE, async || {
            (self.unmarked_dispatches().await.ok()? == 0).then_some(())
        })
        .await
    }

    /// Waits until the leader has written that dispatches are confirmed, in a transaction that it cannot commit, and so
    /// many are without the mark.
    ///
    /// # Errors
    /// When it does not come to that.
    pub async fn until_the_mark_of_a_confirm_hangs(&self, dispatches: u64) -> Result<()> {
        let mut session = PgConnection::connect(&self.database_url()).await?;
        let hanging = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() \
            AND state = 'idle in transaction' AND query LIKE 'UPDATE confirmations%'";
        wait_for("a mark that is not committed", PATIENCE, async || {
            let hanging: i64 = sqlx::query_scalar(hanging).fetch_one(&mut session).await.ok()?;
            (hanging > 0).then_some(())
        })
        .await?;
        let unmarked = self.unmarked_dispatches().await?;
        ensure!(unmarked >= dispatches, "the ledger has the mark: {unmarked} dispatches are without");
        Ok(())
    }

    /// Waits until a transaction of the leader has not gone on for longer than any statement takes.
    ///
    /// # Errors
    /// When none stands still.
    pub async fn until_a_commit_hangs(&self) -> Result<()> {
        let mut session = PgConnection::connect(&self.database_url()).await?;
        wait_for("a commit that does not go on", PATIENCE, async || {
            (hanging(&mut session).await.ok()? > 0).then_some(())
        })
        .await
    }

    /// Waits until the words of every such transaction have come through, or its session is gone.
    ///
    /// # Errors
    /// When one still stands still.
    pub async fn until_no_commit_hangs(&self) -> Result<()> {
        let mut session = PgConnection::connect(&self.database_url()).await?;
        wait_for("the commit to be done or refused", PATIENCE, async || {
            (hanging(&mut session).await.ok()? == 0).then_some(())
        })
        .await
    }

    /// Waits until the leader has taken reports, and its commit does not go on.
    ///
    /// # Errors
    /// When it does not come to that.
    pub async fn until_reports_are_taken_and_not_committed(&self) -> Result<()> {
        self.until_a_commit_hangs().await?;
        self.until_depth(REPORT_QUEUE, |depth| depth.unacknowledged > 0).await.map(drop)
    }

    /// Waits until so many executions have come to their end.
    ///
    /// # Errors
    /// When they do not.
    pub async fn until_executed(&self, executions: usize) -> Result<()> {
        wait_for("executions to end", PATIENCE, async || {
            (self.project.journal().ok()?.ends() >= executions).then_some(())
        })
        .await
    }

    /// Waits until the ledger holds so many successes, whether anybody knows of them or not.
    ///
    /// # Errors
    /// When it does not.
    pub async fn until_recorded(&self, successes: i64) -> Result<()> {
        must_become("the ledger does not have these successes", PATIENCE, async || {
            (*self.outcomes().await.ok()?.get("succeeded")? >= successes).then_some(())
        })
        .await
    }

    /// The same, where the leader cannot acknowledge the reports of them.
    ///
    /// # Errors
    /// When it does not, or they are acknowledged.
    pub async fn until_recorded_and_not_acknowledged(&self, successes: i64) -> Result<()> {
        self.until_recorded(successes).await?;
        let reports = self.depth(REPORT_QUEUE).await?;
        ensure!(reports.unacknowledged > 0, "they were not to be acknowledged: {reports:?}");
        Ok(())
    }

    /// Waits until the sum of a metric is at least this.
    ///
    /// # Errors
    /// When it is not.
    pub async fn until_metric(&self, name: &str, at_least: f64) -> Result<()> {
        wait_for(name, PATIENCE, async || (self.metric(name).await? >= at_least).then_some(())).await
    }
}

/// Transactions of leaders that have not gone on for longer than any statement takes.
async fn hanging(session: &mut PgConnection) -> Result<i64> {
    let hanging = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() \
        AND application_name = 'backstitch writer' AND state = 'idle in transaction' \
        AND clock_timestamp() - state_change > interval '500 ms'";
    sqlx::query_scalar(hanging).fetch_one(session).await.context("looking for a transaction")
}
