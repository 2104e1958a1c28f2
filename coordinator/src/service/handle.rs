//! What API and CLI hold: requests to whoever leads, and reads that anybody can answer.

use std::sync::{Arc, Mutex};

use backstitch_broker::{Broker, ConnectionState};
use backstitch_proto::definition::Definitions;
use backstitch_proto::id::{Epoch, RunId};
use backstitch_proto::partition::PartitionSubset;
use chrono::{DateTime, Utc};
use thiserror::Error;
use tokio::sync::{broadcast, mpsc, oneshot};

use super::catalog::{AssetStatus, Catalog};
use super::command::{Command, Look};
use super::pinned::Pinned;
use super::status::{AssetStatusView, RANGES_MAX};
use super::submission::{PlanPreview, Submission, SubmissionError, Submitted};
use crate::engine::{Engine, RequestError, RunSnapshot, WorkerState};
use crate::ledger::{Ledger, RunStatus};

/// Ended runs that a slow listener may be behind before it misses some.
const FINISHED_RUNS_MAX: usize = 1_024;

/// A request was not carried out.
#[derive(Debug, Error)]
pub enum HandleError {
    /// This process is a standby.
    #[error("this coordinator does not lead")]
    NotLeading,
    /// The term ended between the request and its answer.
    #[error("leadership ended before the answer: the request may have been carried out")]
    Unanswered,
    /// The submission makes no sense.
    #[error(transparent)]
    Submission(SubmissionError),
    /// There is no such run.
    #[error("there is no run {0}")]
    UnknownRun(RunId),
    /// The run is live.
    #[error("run {0} has not ended: cancel it, or wait until it has")]
    NotEnded(RunId),
    /// What the run was made of cannot be told any more.
    #[error("this program cannot read the definitions that run {run} is pinned to: {problem}")]
    Unreadable {
        /// The run.
        run: RunId,
        /// What is wrong with them.
        problem: String,
    },
    /// The run is not live.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The ledger could not be read.
    #[error("reading the ledger")]
    Ledger(#[from] crate::ledger::LedgerError),
}

/// A run is terminal, durably.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunFinished {
    /// The run.
    pub run: RunId,
    /// How it ended.
    pub status: RunStatus,
}

/// A way to a coordinator. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
    ledger: Arc<dyn Ledger>,
    broker: Arc<dyn Broker>,
    definitions: Arc<Definitions>,
    finished_runs: broadcast::Sender<RunFinished>,
    leading: Arc<Mutex<Option<Epoch>>>,
}

impl Handle {
    pub(super) fn new(
        commands: mpsc::Sender<Command>,
        ledger: Arc<dyn Ledger>,
        broker: Arc<dyn Broker>,
        definitions: Arc<Definitions>,
    ) -> Self {
        let (finished_runs, _) = broadcast::channel(FINISHED_RUNS_MAX);
        Self { commands, ledger, broker, definitions, finished_runs, leading: Arc::default() }
    }

    /// Accepts a run; returns once it is durable.
    ///
    /// # Errors
    /// When the submission makes no sense, or this process does not lead.
    pub async fn submit(&self, submission: Submission) -> Result<Submitted, HandleError> {
        if let Some(key) = &submission.client_key
            && let Some(run) = self.ledger.run_by_client_key(key).await?
        {
            return Ok(Submitted { run: Some(run), existing: true, plan: PlanPreview::default() });
        }
        self.request(|reply| Command::Submit { submission: Box::new(submission), reply }).await
    }

    /// Submits a run of exactly those tasks of an ended run that did not succeed; returns once it is durable.
    ///
    /// # Errors
    /// When there is no such run, when it has not ended, when its definitions cannot be read, or when this process does not
    /// lead.
    pub async fn retry(&self, run: RunId) -> Result<Submitted, HandleError> {
        let summary = self.ledger.run(run).await?.ok_or(HandleError::UnknownRun(run))?;
        if !summary.status.is_terminal() {
            return Err(HandleError::NotEnded(run));
        }
        let succeeded = self.ledger.succeeded(run).await?;
        let plan = Pinned::default().plan(self.ledger.as_ref(), &summary.record).await?;
        let ended = Box::new(plan.map_err(|problem| HandleError::Unreadable { run, problem })?);
        self.request(|reply| Command::Retry { ended, succeeded, reply }).await
    }

    /// What a submission would run.
    ///
    /// # Errors
    /// As for [`Handle::submit`].
    pub async fn plan(&self, submission: Submission) -> Result<PlanPreview, HandleError> {
        self.request(|reply| Command::Plan { submission: Box::new(submission), reply }).await
    }

    /// Cancels a live run.
    ///
    /// # Errors
    /// When it is not live, or this process does not lead.
    pub async fn cancel(&self, run: RunId) -> Result<(), HandleError> {
        self.request(|reply| Command::Cancel { run, reply }).await
    }

    /// Pauses or resumes a live run.
    ///
    /// # Errors
    /// As for [`Handle::cancel`].
    pub async fn pause(&self, run: RunId, paused: bool) -> Result<(), HandleError> {
        self.request(|reply| Command::Pause { run, paused, reply }).await
    }

    /// Moves a live run to another priority class.
    ///
    /// # Errors
    /// As for [`Handle::cancel`].
    pub async fn reprioritise(&self, run: RunId, priority: i32) -> Result<(), HandleError> {
        self.request(|reply| Command::Reprioritise { run, priority, reply }).await
    }

    /// Changes how many tasks of a live run may execute at once.
    ///
    /// # Errors
    /// As for [`Handle::cancel`].
    pub async fn throttle(&self, run: RunId, max_parallel: Option<u32>) -> Result<(), HandleError> {
        self.request(|reply| Command::Throttle { run, max_parallel, reply }).await
    }

    /// A live run; `None` if it is unknown or has ended.
    ///
    /// # Errors
    /// When this process does not lead.
    pub async fn live_run(&self, run: RunId) -> Result<Option<RunSnapshot>, HandleError> {
        self.look(move |engine| engine.run(run)).await
    }

    /// Those of these runs that are live, in their order.
    ///
    /// # Errors
    /// When this process does not lead.
    pub async fn live_among(&self, runs: Vec<RunId>) -> Result<Vec<RunSnapshot>, HandleError> {
        self.look(move |engine| runs.into_iter().filter_map(|run| engine.run(run)).collect()).await
    }

    /// All live runs, oldest first.
    ///
    /// # Errors
    /// When this process does not lead.
    pub async fn live_runs(&self) -> Result<Vec<RunSnapshot>, HandleError> {
        self.look(|engine| engine.runs().collect()).await
    }

    /// Workers within their lease.
    ///
    /// # Errors
    /// When this process does not lead.
    pub async fn workers(&self) -> Result<Vec<WorkerState>, HandleError> {
        self.look(|engine| engine.workers().cloned().collect()).await
    }

    /// Violated invariants that the engine can see.
    ///
    /// # Errors
    /// When this process does not lead.
    pub async fn violations(&self) -> Result<Vec<crate::engine::Violation>, HandleError> {
        self.look(|engine| engine.violations()).await
    }

    /// The state of the partitions of an asset, as ranges from the partition with ordinal `cursor` on.
    ///
    /// # Errors
    /// When this process does not lead.
    pub async fn asset_status(
        &self,
        asset: &str,
        cursor: u32,
        limit: usize,
    ) -> Result<Option<AssetStatusView>, HandleError> {
        let asset = asset.to_owned();
        let look = move |engine: &Engine, catalog: &mut Catalog| {
            asset_status(engine, catalog, &asset, Utc::now(), cursor, limit.min(RANGES_MAX))
        };
        self.ask(look, Command::LookUp).await
    }

    /// Runs that finish, from now on.
    pub fn finished_runs(&self) -> broadcast::Receiver<RunFinished> {
        self.finished_runs.subscribe()
    }

    /// The term in which this process leads, if it does.
    pub fn epoch(&self) -> Option<Epoch> {
        // Nothing can panic while it holds the lock.
        *self.leading.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The state of the broker connection.
    pub fn broker_state(&self) -> ConnectionState {
        self.broker.state().borrow().clone()
    }

    /// For reads that need no leader.
    pub fn ledger(&self) -> &Arc<dyn Ledger> {
        &self.ledger
    }

    /// The definitions of this process.
    pub fn definitions(&self) -> &Arc<Definitions> {
        &self.definitions
    }

    pub(super) fn leading(&self, epoch: Option<Epoch>) {
        *self.leading.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = epoch;
    }

    pub(super) fn run_finished(&self, finished: RunFinished) {
        // Nobody listening is fine.
        _ = self.finished_runs.send(finished);
    }

    async fn request<T>(
        &self,
        command: impl FnOnce(super::command::Reply<T>) -> Command,
    ) -> Result<T, HandleError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| HandleError::NotLeading)?;
        // A term that ends before the commit takes its replies with it.
        answer.await.unwrap_or(Err(HandleError::Unanswered))
    }

    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Engine) -> T + Send + 'static,
    ) -> Result<T, HandleError> {
        self.ask(move |engine, _| look(engine), Command::Look).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Engine, &mut Catalog) -> T + Send + 'static,
        command: impl FnOnce(Look) -> Command,
    ) -> Result<T, HandleError> {
        let (reply, answer) = oneshot::channel();
        let look =
            Box::new(move |engine: &Engine, catalog: &mut Catalog| _ = reply.send(look(engine, catalog)));
        self.commands.send(command(look)).await.map_err(|_| HandleError::NotLeading)?;
        answer.await.map_err(|_| HandleError::NotLeading)
    }
}

fn asset_status(
    engine: &Engine,
    catalog: &mut Catalog,
    asset: &str,
    now: DateTime<Utc>,
    cursor: u32,
    limit: usize,
) -> Option<AssetStatusView> {
    let AssetStatus { partitions, materialized, failed } = catalog.asset_at(asset, now)?;
    let mut in_progress = PartitionSubset::default();
    for (space, subset) in engine.in_progress(asset) {
        in_progress |= &space.carry_over(&subset, partitions).subset;
    }
    Some(AssetStatusView::new(asset, partitions, materialized, failed, &in_progress, cursor, limit))
}

#[cfg(test)]
mod tests {
    use backstitch_proto::id::Epoch;

    use super::*;
    use crate::engine::Options;

    #[test]
    fn a_day_that_is_over_is_shown_without_anybody_submitting() {
        let yaml = "assets: {a: {partitions: {kind: daily, start: 2024-01-01}, command: [x]}}";
        let definitions = Arc::new(Definitions::from_yaml("backstitch.yaml", yaml).expect("a valid project"));
        let engine = Engine::new(Epoch(1), Options::default());
        let at = |text: &str| text.parse::<DateTime<Utc>>().expect("an instant");
        let mut catalog = Catalog::empty(&definitions, at("2024-01-05T12:00:00Z"));
        let mut total = |now| {
            let status = asset_status(&engine, &mut catalog, "a", now, 0, RANGES_MAX).expect("the asset");
            status.counts.total
        };
        assert_eq!(total(at("2024-01-05T23:59:59Z")), 4);
        assert_eq!(total(at("2024-01-06T00:00:00Z")), 5);
    }
}
