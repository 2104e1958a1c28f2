//! How far things have come, where the API does not show it: ledger, journal and metrics, each asked directly.
//! So a test knows that a fault hits the step that it is meant for.

use anyhow::Result;
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

    /// Waits until the sum of a metric is at least this.
    ///
    /// # Errors
    /// When it is not.
    pub async fn until_metric(&self, name: &str, at_least: f64) -> Result<()> {
        wait_for(name, PATIENCE, async || (self.metric(name).await? >= at_least).then_some(())).await
    }
}
