//! One term of leadership: the loop that owns the engine.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::tracing::{Instrument, Span, error, info, info_span};
use backstitch_broker::{Acker, ConnectionState, Topology};
use backstitch_proto::definition::Definitions;
use backstitch_proto::id::{DispatchId, Epoch};
use backstitch_proto::message::{DispatchReport, Heartbeat, Report};
use backstitch_proto::partition::PartitionSubset;
use chrono::Utc;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::catalog::{Catalog, Reading};
use super::command::{Command, PlanPreview, Submission, SubmissionError, Submitted};
use super::echo::Echo;
use super::handle::{HandleError, Progress};
use super::intake::Intake;
use super::metrics::{BatchSize, Metrics};
use super::outbox::{self, Parcel};
use super::planning::{self, Planned};
use super::room::Room;
use super::tracing::{dispatch_span, record_spans};
use super::{COMMANDS_MAX, Coordinator, TermError, committer};
use crate::engine::{Effect, Engine, Now, RunPlan, Sealed};
use crate::ledger::{Batch, CommitError, LedgerError, LiveRun, Term};

/// Inputs taken without looking at the committer in between, so that none of them starves.
const INPUTS_PER_TURN: usize = 256;

/// Counting tasks costs a pass over the bitmaps of all live runs, so it is done this often at most.
const OBSERVE_EVERY: Duration = Duration::from_secs(1);

/// What waits for a commit besides the effects of the engine.
#[derive(Default)]
struct Waiting {
    /// Reports whose effect is in the batch.
    ackers: Vec<Acker>,
    /// End when the outcomes that they speak of are durable.
    spans: Vec<Span>,
    /// Starts of the first tasks that these reports tell of, microseconds since the Unix epoch.
    starts_us: Vec<i64>,
    /// Users who are told that their request is durable.
    replies: Vec<Box<dyn FnOnce() + Send>>,
}

/// A commit under way.
struct Committing {
    done: BoxFuture<'static, Result<(), (CommitError, Batch)>>,
    attempts: CommittedAttempts,
    effects: Vec<Effect>,
    waiting: Waiting,
    size: BatchSize,
    since: Instant,
}

/// What the catalog has to learn once the batch is durable.
type CommittedAttempts = Vec<super::catalog::Change>;

struct Leader<'a> {
    coordinator: &'a mut Coordinator,
    epoch: Epoch,
    engine: Engine,
    catalog: Catalog,
    clock: Clock,
    intake: Intake,
    echo: Echo,
    outbox: mpsc::Sender<Parcel>,
    confirms: mpsc::Receiver<DispatchId>,
    waiting: Waiting,
    committing: Option<Committing>,
    room: Room,
    metrics: Metrics,
    /// When gauges were brought in step last.
    observed: Instant,
    /// What the catalog waits for, and the requests that wait for the catalog.
    reading: Option<AbortOnDropHandle<Result<Reading, LedgerError>>>,
    deferred: Vec<Command>,
}

/// Leads until the term is lost, or until `shutdown` fires.
pub(super) async fn lead(
    coordinator: &mut Coordinator,
    term: &Term,
    shutdown: &CancellationToken,
) -> Result<(), TermError> {
    let epoch = term.epoch();
    let mut leader = Leader::recover(coordinator, epoch).await?;
    leader.coordinator.handle.leading(Some(epoch));
    let mut broker_state = leader.coordinator.broker.state();
    leader.note_broker(&mut broker_state);
    let lost = term.lost();
    loop {
        leader.turn()?;
        let wake = leader.clock.at(leader.engine.next_deadline_ms());
        let room = leader.has_room();
        tokio::select! {
            () = shutdown.cancelled() => return leader.finish().await,
            () = lost.cancelled() => return Err(TermError::Deposed),
            committed = commit_done(&mut leader.committing) => leader.committed(committed).await?,
            Some(command) = leader.coordinator.commands.recv(), if leader.deferred.len() < COMMANDS_MAX => {
                leader.command(command);
            }
            read = reading_done(&mut leader.reading) => leader.catalog_read(read)?,
            Some((report, acker)) = leader.intake.reports.recv(), if room => leader.report(report, acker)?,
            Some(heartbeat) = leader.intake.heartbeats.recv() => leader.heartbeat(&heartbeat),
            Some(id) = leader.confirms.recv() => leader.confirmed(id),
            Ok(()) = broker_state.changed() => leader.note_broker(&mut broker_state),
            () = wake => {}
        }
        leader.take_what_is_there()?;
    }
}

/// The end of the commit under way; never, if there is none.
async fn commit_done(committing: &mut Option<Committing>) -> Result<(), (CommitError, Batch)> {
    match committing {
        Some(committing) => (&mut committing.done).await,
        None => std::future::pending().await,
    }
}

/// The end of the reading for the catalog; never, if it has been taken in.
async fn reading_done(
    reading: &mut Option<AbortOnDropHandle<Result<Reading, LedgerError>>>,
) -> Result<Reading, LedgerError> {
    let Some(task) = reading else { return std::future::pending().await };
    let read = task.await;
    *reading = None;
    match read {
        Ok(read) => read,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}

impl<'a> Leader<'a> {
    /// Rebuilds everything from the ledger.
    async fn recover(coordinator: &'a mut Coordinator, epoch: Epoch) -> Result<Self, TermError> {
        let ledger = &coordinator.ledger;
        let clock = Clock::default();
        let (catalog, reading) = Catalog::begin(&coordinator.definitions, Utc::now());
        let live = ledger.load_live().await.map_err(TermError::Ledger)?;
        let mut queues: Vec<String> = planning::queues(&coordinator.definitions);
        let mut plans = BTreeMap::new();
        let mut pinned: BTreeMap<String, Arc<Definitions>> = BTreeMap::new();
        for LiveRun { record, .. } in &live.runs {
            let definitions = match pinned.get(&record.definitions) {
                Some(known) => Arc::clone(known),
                None => {
                    let json = ledger.definitions(&record.definitions).await.map_err(TermError::Ledger)?;
                    let parsed: Definitions = serde_json::from_str(json.as_deref().unwrap_or_default())
                        .map_err(|error| TermError::Pinned { run: record.id, source: error.into() })?;
                    let parsed = Arc::new(parsed);
                    pinned.insert(record.definitions.clone(), Arc::clone(&parsed));
                    parsed
                }
            };
            let plan: RunPlan = planning::bind(&definitions, record.clone())
                .map_err(|error| TermError::Pinned { run: record.id, source: error.into() })?;
            queues.extend(plan.assets.iter().map(|asset| asset.queue.to_string()));
            plans.insert(record.id, plan);
        }
        let broker = &coordinator.broker;
        broker.declare(&Topology::for_worker_queues(&queues)).await.map_err(TermError::Broker)?;
        info!(runs = live.runs.len(), dispatches = live.dispatches.len(), "recovered from the ledger");
        let options = coordinator.options.engine;
        let mut engine = Engine::recover(epoch, options, live, plans, broker.survives_restart(), clock.now());
        let intake = Intake::open(broker, epoch).await.map_err(TermError::Broker)?;
        engine.listen(clock.now());
        let echo = Echo::start(broker, move || clock.now().mono_ms).await.map_err(TermError::Broker)?;
        let (outbox, confirms) = outbox::open(broker).await.map_err(TermError::Broker)?;
        let from = Arc::clone(&coordinator.ledger);
        let reading = tokio::spawn(async move { reading.finish(from.as_ref()).await });
        let waiting = Waiting::default();
        let metrics = Metrics::new(&opentelemetry::global::meter("backstitch"));
        Ok(Self {
            coordinator,
            epoch,
            engine,
            catalog,
            clock,
            intake,
            echo,
            outbox,
            confirms,
            waiting,
            committing: None,
            room: Room::default(),
            metrics,
            observed: Instant::now(),
            reading: Some(AbortOnDropHandle::new(reading)),
            deferred: Vec::new(),
        })
    }

    /// The catalog is complete: whoever waited for it has their turn.
    fn catalog_read(&mut self, read: Result<Reading, LedgerError>) -> Result<(), TermError> {
        self.catalog.take_in(read.map_err(TermError::Ledger)?);
        for command in std::mem::take(&mut self.deferred) {
            self.command(command);
        }
        Ok(())
    }

    /// Starts the next commit if none is under way.
    fn turn(&mut self) -> Result<(), TermError> {
        if self.committing.is_some() {
            return Ok(());
        }
        let Some(Sealed { batch, effects }) = self.engine.seal(self.clock.now()) else {
            let waiting = std::mem::take(&mut self.waiting);
            if !waiting.ackers.is_empty() {
                // These reports changed nothing: there is nothing to wait for.
                tokio::spawn(async move { _ = Acker::ack_all(waiting.ackers).await });
            }
            waiting.replies.into_iter().for_each(|reply| reply());
            return Ok(());
        };
        let waiting = std::mem::take(&mut self.waiting);
        let attempts = super::catalog::changes(&batch);
        let size = BatchSize::of(&batch);
        let done: BoxFuture<'static, _> = if batch.is_empty() {
            std::future::ready(Ok(())).boxed()
        } else {
            let span = info_span!(
                "commit",
                attempts = batch.attempts.len(),
                dispatches = batch.dispatches.len(),
                runs = batch.runs.len()
            );
            // A task of its own: the loop goes on feeding the engine while the database works.
            let commit = committer::commit(Arc::clone(&self.coordinator.ledger), self.epoch, batch);
            let commit = tokio::spawn(commit.instrument(span));
            async move {
                match commit.await {
                    Ok(result) => result,
                    Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
                }
            }
            .boxed()
        };
        self.committing = Some(Committing { done, attempts, effects, waiting, size, since: Instant::now() });
        Ok(())
    }

    /// The batch is durable: what waited for that happens now.
    async fn committed(&mut self, result: Result<(), (CommitError, Batch)>) -> Result<(), TermError> {
        let Some(committed) = self.committing.take() else { return Ok(()) };
        let Committing { attempts, effects, waiting, size, since, .. } = committed;
        match result {
            Ok(()) => {}
            Err((CommitError::Deposed { .. }, _)) => return Err(TermError::Deposed),
            Err((error, _)) => return Err(TermError::Commit(error)),
        }
        let took = since.elapsed();
        self.metrics.committed(&size, took);
        self.room.committed(size.attempts, took);
        self.engine.flow(self.room.flow_tasks());
        if self.observed.elapsed() >= OBSERVE_EVERY {
            self.observe();
        }
        self.catalog.apply(attempts);
        if !waiting.ackers.is_empty() {
            tokio::spawn(async move { _ = Acker::ack_all(waiting.ackers).await });
        }
        waiting.replies.into_iter().for_each(|reply| reply());
        let now_us = self.clock.now().wall_us;
        waiting
            .starts_us
            .iter()
            .for_each(|start_us| self.metrics.recorded(micros(now_us.saturating_sub(*start_us))));
        for effect in effects {
            self.perform(effect).await;
        }
        Ok(())
    }

    async fn perform(&mut self, effect: Effect) {
        let parcel = match &effect {
            Effect::Publish(id) => {
                // Closed in the meantime: nobody waits for it any more.
                let Some((queue, dispatch)) = self.engine.message(*id) else {
                    self.engine.confirmed(*id, self.clock.now());
                    return;
                };
                let (traceparent, number) = self.engine.root_of(*id);
                let span = dispatch_span(&dispatch, traceparent, number);
                Parcel::dispatch(queue, &dispatch, &span.context())
            }
            Effect::Broadcast(control) => Parcel::broadcast(control),
            Effect::Finished { run, status } => {
                info!(%run, ?status, "run finished");
                self.coordinator.handle.progressed(Progress::Finished { run: *run, status: *status });
                return;
            }
        };
        match parcel {
            // The outbox ends only with the term.
            Ok(parcel) => _ = self.outbox.send(parcel).await,
            Err(error) => {
                error!(error = &error as &dyn std::error::Error, ?effect, "a message cannot be made");
            }
        }
    }

    /// The next commit may hold one more report. Somebody who waits for it does not wait for those that come later.
    fn has_room(&self) -> bool {
        self.waiting.replies.is_empty() && self.room.beyond(self.engine.pending_attempts())
    }

    /// Takes everything that has arrived, so that it goes into one commit.
    fn take_what_is_there(&mut self) -> Result<(), TermError> {
        for _ in 0..INPUTS_PER_TURN {
            let mut taken = false;
            if self.has_room()
                && let Ok((report, acker)) = self.intake.reports.try_recv()
            {
                self.report(report, acker)?;
                taken = true;
            }
            if let Ok(id) = self.confirms.try_recv() {
                self.confirmed(id);
                taken = true;
            }
            if let Ok(heartbeat) = self.intake.heartbeats.try_recv() {
                self.heartbeat(&heartbeat);
                taken = true;
            }
            if !taken {
                break;
            }
        }
        Ok(())
    }

    fn report(&mut self, report: Report, acker: Acker) -> Result<(), TermError> {
        if self.engine.is_outlived_by(&report) {
            // Not acknowledged, so the broker gives it to the successor.
            return Err(TermError::Deposed);
        }
        self.waiting.spans.extend(record_spans(&report));
        self.time(&report);
        self.engine.report(report, self.clock.now());
        self.waiting.ackers.push(acker);
        Ok(())
    }

    /// Takes the times of a report. Clocks of workers may be ahead of ours: then the wait counts as none.
    fn time(&mut self, report: &Report) {
        self.metrics.reported();
        for news in &report.dispatches {
            let DispatchReport::Outcomes { dispatch, outcomes, .. } = news else { continue };
            let Some(first) = outcomes.first() else { continue };
            if let Some(decided_us) = self.engine.unheard_since_us(*dispatch) {
                self.metrics.started(micros(first.started_us.saturating_sub(decided_us)));
            }
            self.waiting.starts_us.push(first.started_us);
        }
    }

    fn heartbeat(&mut self, heartbeat: &Heartbeat) {
        match self.echo.sent_ms(heartbeat) {
            Some(sent_ms) => self.engine.echo(sent_ms),
            None if Echo::is_foreign(heartbeat) => {}
            None => self.engine.heartbeat(heartbeat, self.clock.now()),
        }
        if self.observed.elapsed() >= OBSERVE_EVERY {
            self.observe();
        }
    }

    fn observe(&mut self) {
        self.observed = Instant::now();
        self.metrics.observe(&self.engine);
    }

    fn confirmed(&mut self, id: DispatchId) {
        self.engine.confirmed(id, self.clock.now());
    }

    fn note_broker(&mut self, state: &mut watch::Receiver<ConnectionState>) {
        let open = state.borrow_and_update().is_connected();
        self.engine.broker_open(open);
    }

    fn command(&mut self, command: Command) {
        if self.reading.is_some() && command.needs_catalog() {
            return self.deferred.push(command);
        }
        let now = self.clock.now();
        match command {
            Command::Look(look) | Command::LookUp(look) => look(&self.engine, &self.catalog),
            Command::Plan { submission, reply } => {
                let planned = planning::plan(&submission, &mut self.catalog, now.wall_us);
                _ = reply.send(planned.map(|planned| planned.preview).map_err(HandleError::Submission));
            }
            Command::Submit { submission, reply } => {
                let submitted = self.submit(&submission, now);
                self.reply_when_durable(reply, submitted);
            }
            Command::Retry { ended, succeeded, reply } => {
                let submitted = self.retry(&ended, &succeeded, now);
                self.reply_when_durable(reply, submitted);
            }
            Command::Cancel { run, reply } => {
                let done = self.engine.cancel(run, now).map_err(HandleError::from);
                self.reply_when_durable(reply, done);
            }
            Command::Pause { run, paused, reply } => {
                let done = self.engine.pause(run, paused).map_err(HandleError::from);
                self.reply_when_durable(reply, done);
            }
            Command::Reprioritise { run, priority, reply } => {
                let done = self.engine.reprioritise(run, priority).map_err(HandleError::from);
                self.reply_when_durable(reply, done);
            }
            Command::Throttle { run, max_parallel, reply } => {
                let done = self.engine.throttle(run, max_parallel).map_err(HandleError::from);
                self.reply_when_durable(reply, done);
            }
        }
    }

    fn submit(&mut self, submission: &Submission, now: Now) -> Result<Submitted, HandleError> {
        if let Some(key) = &submission.client_key
            && let Some(run) = self.engine.run_by_client_key(key)
        {
            return Ok(Submitted { run: Some(run), existing: true, plan: PlanPreview::default() });
        }
        let planned =
            planning::plan(submission, &mut self.catalog, now.wall_us).map_err(HandleError::Submission)?;
        self.start(submission, planned, now)
    }

    fn retry(
        &mut self,
        ended: &RunPlan,
        succeeded: &[PartitionSubset],
        now: Now,
    ) -> Result<Submitted, HandleError> {
        let planned = planning::rest_of(ended, succeeded, &mut self.catalog, now.wall_us);
        let record = &ended.record;
        let submission = Submission {
            assets: Some(record.selection.clone()),
            partitions: record.partitions.clone(),
            config: serde_json::from_str(&record.config_json).unwrap_or_default(),
            tags: record
                .tags
                .iter()
                .cloned()
                .chain([("retry_of".to_owned(), record.id.to_string())])
                .collect(),
            priority: Some(record.priority),
            max_parallel: record.max_parallel,
            origin: Some(record.origin),
            ..Submission::default()
        };
        self.start(&submission, planned, now)
    }

    fn start(
        &mut self,
        submission: &Submission,
        planned: Planned,
        now: Now,
    ) -> Result<Submitted, HandleError> {
        if planned.preview.tasks == 0 {
            return Ok(Submitted { run: None, existing: false, plan: planned.preview });
        }
        let record = planning::record(submission, planned.assets, &self.catalog, now.wall_us);
        record.check().map_err(|error| {
            HandleError::Submission(SubmissionError { problems: vec![error.to_string()] })
        })?;
        let run = record.id;
        let definitions = self.catalog.definitions();
        let plan = planning::bind(&definitions, record).map_err(HandleError::Submission)?;
        self.engine.submit(plan, self.catalog.definitions_json(), now);
        Ok(Submitted { run: Some(run), existing: false, plan: planned.preview })
    }

    /// Success is only said once it is durable; a refusal is true at once.
    fn reply_when_durable<T: Send + 'static>(
        &mut self,
        reply: super::command::Reply<T>,
        answer: Result<T, HandleError>,
    ) {
        match answer {
            Ok(answer) => self.waiting.replies.push(Box::new(move || _ = reply.send(Ok(answer)))),
            Err(refusal) => _ = reply.send(Err(refusal)),
        }
    }

    /// Lets the commit under way end: a clean stop leaves as little as possible to be done again.
    async fn finish(&mut self) -> Result<(), TermError> {
        const PATIENCE: Duration = Duration::from_secs(5);
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while self.committing.is_some() {
            let Ok(done) = tokio::time::timeout_at(deadline, commit_done(&mut self.committing)).await else {
                return Ok(());
            };
            self.committed(done).await?;
        }
        Ok(())
    }
}

/// A span of time that two clocks may disagree about.
fn micros(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

/// The two clocks of the engine.
#[derive(Clone, Copy)]
struct Clock {
    start: Instant,
}

impl Default for Clock {
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock {
    fn now(&self) -> Now {
        // Half a billion years fit.
        let mono_ms = self.start.elapsed().as_millis() as u64;
        Now { mono_ms, wall_us: Utc::now().timestamp_micros() }
    }

    /// Sleeps until the engine's clock shows `deadline_ms`; for ever if there is no deadline.
    async fn at(&self, deadline_ms: Option<u64>) {
        match deadline_ms {
            Some(deadline_ms) => {
                let at = self.start + Duration::from_millis(deadline_ms);
                tokio::time::sleep_until(at.into()).await;
            }
            None => std::future::pending().await,
        }
    }
}
