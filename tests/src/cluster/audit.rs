//! The end of every test: what has to be true once faults have stopped.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sqlx::{Connection, PgConnection};

use super::{Cluster, Execution, PATIENCE};
use crate::verify::verify;
use crate::wait::{SOON, must_become, wait_for};

/// The metric of workers that were given up because they were silent for too long.
pub const WORKERS_LOST: &str = "backstitch_workers_lost_total";

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

    /// Every task of one run of everything has one attempt in the ledger, and that succeeded.
    ///
    /// # Errors
    /// When it is not so.
    pub async fn each_succeeded_at_once(&self) -> Result<()> {
        let outcomes = self.outcomes().await?;
        let succeeded = outcomes.get("succeeded").copied().unwrap_or_default().unsigned_abs();
        ensure!(outcomes.len() == 1 && succeeded == self.project.tasks, "not one success each: {outcomes:?}");
        Ok(())
    }

    /// No worker was taken for dead by a coordinator that runs now.
    ///
    /// # Errors
    /// When one was, or nobody says.
    pub async fn no_worker_was_lost(&self) -> Result<()> {
        // A leader says so within a second of its first.
        let counted = wait_for("the number of workers that were given up", SOON, async || {
            self.metric(WORKERS_LOST).await
        });
        let lost = counted.await?;
        ensure!(lost == 0.0, "{lost} workers that lived were given up");
        Ok(())
    }

    /// Waits until the run has ended; what is said of it then.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn until_ended(&self, run: &str) -> Result<Value> {
        let mut last = None;
        let ended = must_become("the run has not ended", PATIENCE, async || {
            let shown = self.leader_says("GET", &format!("/api/runs/{run}"), None).await?;
            let live = matches!(shown["status"].as_str()?, "running" | "paused" | "cancelling");
            last = Some(shown.clone());
            (!live).then_some(shown)
        });
        ended.await.with_context(|| format!("the last that was seen of it: {last:#?}"))
    }

    /// As [`Cluster::until_ended`], and it has taken no longer than that. One that never ends is another failure than one
    /// that ends late.
    ///
    /// # Errors
    /// When it does not end, or not in time.
    pub async fn until_ended_within(&self, run: &str, limit: Duration) -> Result<Value> {
        let begin = Instant::now();
        let ended = self.until_ended(run).await?;
        let took_s = begin.elapsed().as_secs_f64();
        ensure!(
            took_s <= limit.as_secs_f64(),
            "waited {} s in vain for the run to end: it took {took_s:.1} s",
            limit.as_secs()
        );
        Ok(ended)
    }

    /// Nothing is live or on its way, every worker that runs is known, no invariant is violated in the ledger, in the
    /// leader or at the broker, every success in the ledger was executed to its end under the dispatch that the ledger
    /// names, nothing began before what it needs had ended, and metrics say what the ledger says.
    ///
    /// # Errors
    /// When anything is not as it has to be.
    pub async fn audit(&mut self) -> Result<()> {
        self.audited().await.map(drop)
    }

    /// As [`Cluster::audit`], where one coordinator has led all along: its metrics were looked at for certain.
    ///
    /// # Errors
    /// When anything is not as it has to be.
    pub async fn audit_with_metrics(&mut self) -> Result<()> {
        ensure!(self.audited().await?, "the metrics were not held against the ledger");
        Ok(())
    }

    /// Whether the metrics could be held against the ledger; everything else always is.
    async fn audited(&mut self) -> Result<bool> {
        self.heal()?;
        self.until_quiet().await?;
        let said = self.verify().await?;
        let dead = &said["broker"]["dead_letters"];
        ensure!(self.garbage || *dead == 0, "{dead} messages of our own were given up");
        let mut session = PgConnection::connect(&self.database_url()).await?;
        let live: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM runs WHERE finished_us IS NULL")
            .fetch_one(&mut session)
            .await?;
        ensure!(live == 0, "{live} runs are still live");
        let with_metrics = self.metrics_are_the_ledger(&mut session).await?;
        let journal = self.project.journal()?;
        let ended = journal.ended();
        for execution in &self.succeeded().await? {
            ensure!(ended.contains(execution), "the ledger has a success that never ran: {execution:?}");
        }
        for (upstream, downstream) in self.project.edges() {
            journal.order(upstream, downstream)?;
        }
        Ok(with_metrics)
    }

    /// The leader, if it was started first and never lost a term.
    async fn leader_from_the_beginning(&self) -> Option<Value> {
        let first = self.coordinators.first().filter(|first| first.process.name() == "coordinator-1")?;
        let output = first.process.output();
        let terms = output.lines().filter(|line| line.contains("leading epoch=")).count();
        let leader = self.leader_says("GET", "/api/leader", None).await?;
        (terms == 1 && leader["name"] == "coordinator-1").then_some(leader)
    }

    /// COUNT: what the leader has counted is in the ledger, and nothing else, if it led from the beginning and never
    /// lost its term: then every attempt is of a dispatch of its term. Counters begin at nothing with each coordinator.
    /// False where there is no such leader.
    async fn metrics_are_the_ledger(&self, session: &mut PgConnection) -> Result<bool> {
        // Forty bits of a dispatch's id number it within its term.
        const ENDED: &str = "SELECT COUNT(*) FILTER (WHERE outcome = 'succeeded'), \
            COUNT(*) FILTER (WHERE terminal AND outcome IN ('failed', 'lost')), \
            COUNT(*) FILTER (WHERE dispatch_id >> 40 <> $1) FROM attempts";
        let Some(leader) = self.leader_from_the_beginning().await else { return Ok(false) };
        let epoch = leader["epoch"].as_i64().context("the term of the leader")?;
        let (succeeded, failed, of_others): (i64, i64, i64) =
            sqlx::query_as(ENDED).bind(epoch).fetch_one(session).await?;
        if of_others > 0 {
            return Ok(false);
        }
        let recorded = (succeeded as f64, failed as f64);
        let mut counted = None;
        // They are brought up to date every second.
        let same = wait_for("the metrics to follow", SOON, async || {
            let succeeded = self.metric("backstitch_tasks_succeeded_total").await?;
            counted = Some((succeeded, self.metric("backstitch_tasks_failed_total").await?));
            (counted == Some(recorded)).then_some(())
        });
        let same = same.await.is_ok();
        // One that has lost its term meanwhile took with it what it had not brought up to date.
        ensure!(
            same || self.leader_from_the_beginning().await.is_none(),
            "succeeded and failed: {recorded:?} in the ledger, {counted:?} in the metrics"
        );
        Ok(same)
    }

    /// `backstitch verify` of ledger, leader and broker, also of a cluster at work.
    ///
    /// # Errors
    /// When an invariant is violated, or something cannot be looked at.
    pub async fn verify(&self) -> Result<Value> {
        verify(self.project.path(), &self.database_url(), &self.broker_url()).await
    }

    /// Waits until nothing is on its way: every worker that runs is known to whoever leads, and the queues of tasks and
    /// reports hold nothing, neither waiting nor unacknowledged.
    async fn until_quiet(&mut self) -> Result<()> {
        let running = self
            .workers
            .iter_mut()
            .filter_map(|worker| worker.process.ended().is_none().then(|| worker.process.name().to_owned()));
        let running: BTreeSet<String> = running.collect();
        must_become("a worker that runs is not known", PATIENCE, async || {
            let known = self.leader_says("GET", "/api/workers", None).await?;
            let names: BTreeSet<_> =
                known.as_array()?.iter().filter_map(|known| known["name"].as_str()).collect();
            running.iter().all(|name| names.contains(name.as_str())).then_some(())
        })
        .await?;
        self.until_no_message_of_work().await
    }

    /// Executions that the ledger calls successes.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn succeeded(&self) -> Result<BTreeSet<Execution>> {
        let mut session = PgConnection::connect(&self.database_url()).await?;
        let rows: Vec<(String, String, i64)> = sqlx::query_as(
            "SELECT a.name, t.partition_key, t.dispatch_id FROM attempts t JOIN assets a ON a.id = t.asset_id \
             WHERE t.outcome = 'succeeded'",
        )
        .fetch_all(&mut session)
        .await?;
        Ok(rows.into_iter().map(|(asset, partition, id)| (asset, partition, id.cast_unsigned())).collect())
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
