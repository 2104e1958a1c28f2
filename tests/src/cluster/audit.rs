//! The end of every test: what has to be true once faults have stopped.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sqlx::{Connection, PgConnection};

use super::{Cluster, PATIENCE};
use crate::wait::wait_for;

impl Cluster {
    /// Heals everything, waits for the run, and audits: all of its tasks succeeded.
    ///
    /// # Errors
    /// When anything is not as it has to be.
    pub async fn finish(&mut self, run: &str) -> Result<()> {
        self.heal()?;
        let shown = self.until_ended(run).await?;
        let tasks = self.project.tasks;
        ensure!(
            shown["status"] == "succeeded" && shown["counts"]["succeeded"] == tasks,
            "the run did not succeed: {shown:#}"
        );
        self.audit().await
    }

    /// As [`Cluster::finish`], and no task was started a second time.
    ///
    /// # Errors
    /// When anything is not as it has to be.
    pub async fn finish_each_once(&mut self, run: &str) -> Result<()> {
        self.finish(run).await?;
        let (begun, tasks) = (self.project.journal()?.begun() as u64, self.project.tasks);
        ensure!(
            begun == tasks,
            "tasks that were running were started again: {begun} executions of {tasks} tasks"
        );
        Ok(())
    }

    /// Waits until the run has ended; what is said of it then.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn until_ended(&self, run: &str) -> Result<Value> {
        let mut last = None;
        let ended = wait_for("the run to end", PATIENCE, async || {
            let shown = self.leader_says("GET", &format!("/api/runs/{run}"), None).await?;
            let live = matches!(shown["status"].as_str()?, "running" | "paused" | "cancelling");
            last = Some(shown.clone());
            (!live).then_some(shown)
        });
        ended.await.with_context(|| format!("the last that was seen of it: {last:#?}"))
    }

    /// Nothing is live, no invariant is violated, and every success in the ledger was executed to its end under the
    /// dispatch that the ledger names.
    ///
    /// # Errors
    /// When anything is not as it has to be.
    pub async fn audit(&mut self) -> Result<()> {
        self.heal()?;
        let (database, broker) = (self.database_url(), self.broker_url());
        self.run(&["verify", "--database-url", &database, "--broker-url", &broker]).await?;

        let mut session = PgConnection::connect(&database).await?;
        let live: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM runs WHERE finished_us IS NULL")
            .fetch_one(&mut session)
            .await?;
        ensure!(live == 0, "{live} runs are still live");
        let rows: Vec<(String, String, i64)> = sqlx::query_as(
            "SELECT a.name, t.partition_key, t.dispatch_id FROM attempts t JOIN assets a ON a.id = t.asset_id \
             WHERE t.outcome = 'succeeded'",
        )
        .fetch_all(&mut session)
        .await?;
        let journal = self.project.journal()?;
        let ended = journal.ended();
        for (asset, partition, dispatch) in rows {
            let execution = (asset, partition, dispatch as u64);
            ensure!(ended.contains(&execution), "the ledger has a success that never ran: {execution:?}");
        }
        Ok(())
    }

    /// Attempts in the ledger by outcome.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn outcomes(&self) -> Result<BTreeMap<String, i64>> {
        let mut session = PgConnection::connect(&self.database_url()).await?;
        let rows: Vec<(String, i64)> =
            sqlx::query_as("SELECT outcome, COUNT(*) FROM attempts GROUP BY outcome")
                .fetch_all(&mut session)
                .await?;
        Ok(rows.into_iter().collect())
    }
}
