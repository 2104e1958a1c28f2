//! One term of leadership: the loop that owns the engine.
//!
//! Every input (a request, a report, a heartbeat, a receipt of the outbox, the end of a commit, the time) goes through one
//! `select!`, so the engine needs no lock. Three things wait, each in a queue of its own: effects for room in the outbox,
//! requests for the catalog, and requests that plan for the commit under way. The loop waits for ledger and broker
//! nowhere else, except to ask for the newest epoch when a report names a later one than its own.

mod clock;
mod commits;
mod requests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backstitch_broker::{ConnectionState, Topology};
use backstitch_proto::id::Epoch;
use backstitch_proto::message::{DispatchReport, Heartbeat, Report};
use chrono::{DateTime, Utc};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::info;

use self::clock::Clock;
use self::commits::{AfterCommit, Committing};
use super::catalog::{Catalog, Reading};
use super::command::Command;
use super::commit_size::CommitSize;
use super::echo::Echo;
use super::intake::{Delivered, Intake};
use super::metrics::Metrics;
use super::outbox::{self, Parcel, Receipt};
use super::spans::record_spans;
use super::{COMMANDS_MAX, Coordinator, TermError, pinned};
use crate::engine::{Effect, Engine};
use crate::ledger::{Ledger, Term};

/// Inputs taken without looking at the committer in between, so that none of them starves.
const INPUTS_PER_TURN: usize = 256;

/// Counting tasks costs a pass over the bitmaps of all live runs, so it is done this often at most.
const OBSERVE_EVERY: Duration = Duration::from_secs(1);

struct Leader<'a> {
    coordinator: &'a mut Coordinator,
    epoch: Epoch,
    engine: Engine,
    catalog: Catalog,
    clock: Clock,
    intake: Intake,
    echo: Echo,
    outbox: mpsc::Sender<Parcel>,
    receipts: mpsc::Receiver<Receipt>,
    after_commit: AfterCommit,
    committing: Option<Committing>,
    /// Effects of what is committed that are not performed yet: of each open dispatch one at most.
    pending_effects: VecDeque<Effect>,
    commit_size: CommitSize,
    metrics: Metrics,
    /// When gauges were brought in step last.
    gauges_updated: Instant,
    /// What the catalog waits for, and the requests that wait for the catalog.
    catalog_load: Option<AbortOnDropHandle<Reading>>,
    awaiting_catalog: VecDeque<Command>,
    /// Requests that wait for the commit under way.
    awaiting_commit: Vec<Command>,
}

/// Leads until the term is lost, or until `shutdown` fires.
pub(super) async fn lead(
    coordinator: &mut Coordinator,
    term: &Term,
    shutdown: &CancellationToken,
) -> Result<(), TermError> {
    let epoch = term.epoch();
    let lost = term.lost();
    let mut leader = tokio::select! {
        leader = Leader::recover(coordinator, epoch) => leader?,
        () = shutdown.cancelled() => return Ok(()),
        () = lost.cancelled() => return Err(TermError::Deposed),
    };
    leader.coordinator.handle.leading(Some(epoch));
    let mut broker_state = leader.coordinator.broker.state();
    leader.note_broker(&mut broker_state);
    loop {
        leader.start_commit()?;
        // Outside of everything that asks the ledger or the broker, which may never answer.
        tokio::select! {
            () = shutdown.cancelled() => return leader.finish().await,
            () = lost.cancelled() => return Err(TermError::Deposed),
            taken = leader.wait_for_input(&mut broker_state) => taken?,
        }
    }
}

/// Whether `epoch` is the newest term in the ledger. If so, a message that names a later term is from before the ledger
/// was set back, and may be taken. A ledger that does not answer counts as no: giving up is always safe.
async fn is_newest(ledger: Arc<dyn Ledger>, epoch: Epoch) -> bool {
    let leader = ledger.leader().await;
    leader.is_ok_and(|leader| leader.is_some_and(|leader| leader.epoch == epoch))
}

/// Until the outbox takes another message.
async fn room_in(outbox: &mpsc::Sender<Parcel>) {
    if outbox.reserve().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Waits until the catalog has been read; for ever if it already was.
async fn reading_done(reading: &mut Option<AbortOnDropHandle<Reading>>) -> Reading {
    let Some(task) = reading else { return std::future::pending().await };
    let read = task.await;
    *reading = None;
    read.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))
}

impl<'a> Leader<'a> {
    /// Rebuilds everything from the ledger.
    async fn recover(coordinator: &'a mut Coordinator, epoch: Epoch) -> Result<Self, TermError> {
        let ledger = &coordinator.ledger;
        let clock = Clock::default();
        let mut live = ledger.load_live().await.map_err(TermError::Ledger)?;
        // By a clock that is behind that of the leader before, partitions of its runs are still to come.
        let evaluated_us = live.runs.iter().map(|live| live.record.evaluated_us).max();
        let evaluated = evaluated_us.and_then(DateTime::from_timestamp_micros);
        let now = evaluated.map_or_else(Utc::now, |evaluated| evaluated.max(Utc::now()));
        let (catalog, reading) = Catalog::begin(&coordinator.definitions, now);
        let (plans, set_aside) =
            pinned::plans(ledger.as_ref(), &mut live).await.map_err(TermError::Ledger)?;
        let mut queues = coordinator.definitions.worker_queues();
        queues.extend(plans.values().flat_map(|plan| &plan.assets).map(|asset| asset.queue.to_string()));
        let broker = &coordinator.broker;
        broker.declare(&Topology::for_worker_queues(&queues)).await.map_err(TermError::Broker)?;
        info!(runs = live.runs.len(), dispatches = live.dispatches.len(), "recovered from the ledger");
        let options = coordinator.options.engine;
        let mut engine = Engine::recover(epoch, options, live, plans, broker.survives_restart(), clock.now());
        let intake = Intake::open(broker, epoch).await.map_err(TermError::Broker)?;
        let back_for_ms = broker.restored_at().map(|at| at.elapsed().as_millis() as u64);
        engine.listen(clock.now(), back_for_ms);
        engine.set_aside(set_aside);
        let echo = Echo::start(broker, move || clock.now().mono_ms).await.map_err(TermError::Broker)?;
        let (outbox, receipts) = outbox::open(broker).await.map_err(TermError::Broker)?;
        let from = Arc::clone(&coordinator.ledger);
        let reading = tokio::spawn(async move { reading.finish(from.as_ref()).await });
        let after_commit = AfterCommit::default();
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
            receipts,
            after_commit,
            committing: None,
            pending_effects: VecDeque::new(),
            commit_size: CommitSize::default(),
            metrics,
            gauges_updated: Instant::now(),
            catalog_load: Some(AbortOnDropHandle::new(reading)),
            awaiting_catalog: VecDeque::new(),
            awaiting_commit: Vec::new(),
        })
    }

    /// The catalog is complete: whoever waited for it has their turn.
    fn catalog_read(&mut self, read: Reading) {
        self.catalog.take_in(read);
        for command in std::mem::take(&mut self.awaiting_catalog) {
            self.command(command);
        }
    }

    /// The next commit may hold one more report. Once a user waits for it, it takes no more and stays short.
    fn commit_admits_report(&self) -> bool {
        self.awaiting_commit.is_empty()
            && self.after_commit.replies.is_empty()
            && self.commit_size.admits(self.engine.pending_attempts(), self.after_commit.bytes)
    }

    /// Waits for something to happen, and takes it in with what else has arrived. Cancel-safe: a report that never reached
    /// the engine is not acknowledged, so the broker delivers it again.
    async fn wait_for_input(
        &mut self,
        broker_state: &mut watch::Receiver<ConnectionState>,
    ) -> Result<(), TermError> {
        // Nothing is decided while a commit is under way; its end is what the loop waits for then.
        let deadline_ms = self.engine.next_deadline_ms().filter(|_| self.committing.is_none());
        let wake = self.clock.at(deadline_ms);
        let admits_report = self.commit_admits_report();
        tokio::select! {
            committed = commits::commit_done(&mut self.committing) => self.committed(committed)?,
            Some(command) = self.coordinator.commands.recv(), if self.awaiting_commit.len() < COMMANDS_MAX => {
                self.command(command);
            }
            read = reading_done(&mut self.catalog_load) => self.catalog_read(read),
            Some(delivered) = self.intake.reports.recv(), if admits_report => self.report(delivered).await?,
            Some(heartbeat) = self.intake.heartbeats.recv() => self.heartbeat(&heartbeat),
            Some(receipt) = self.receipts.recv() => self.on_receipt(receipt),
            () = room_in(&self.outbox), if !self.pending_effects.is_empty() => self.perform(),
            Ok(()) = broker_state.changed() => self.note_broker(broker_state),
            () = wake => {}
        }
        self.drain_inputs().await
    }

    /// Takes everything that has arrived, so that it goes into one commit.
    async fn drain_inputs(&mut self) -> Result<(), TermError> {
        for _ in 0..INPUTS_PER_TURN {
            let mut taken = false;
            if self.commit_admits_report()
                && let Ok(delivered) = self.intake.reports.try_recv()
            {
                self.report(delivered).await?;
                taken = true;
            }
            if let Ok(receipt) = self.receipts.try_recv() {
                self.on_receipt(receipt);
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

    async fn report(&mut self, delivered: Delivered) -> Result<(), TermError> {
        let Delivered { report, bytes, acker } = delivered;
        if self.engine.is_outlived_by(&report)
            && !is_newest(Arc::clone(&self.coordinator.ledger), self.epoch).await
        {
            // Not acknowledged, so the broker gives it to the successor.
            return Err(TermError::Deposed);
        }
        self.after_commit.bytes += bytes;
        self.after_commit.spans.extend(record_spans(&report));
        self.metrics.reported(bytes);
        self.measure(&report);
        self.engine.report(report, self.clock.now());
        self.after_commit.ackers.push(acker);
        self.note_unacknowledged();
        Ok(())
    }

    /// Takes the times of a report. Clocks of workers may be ahead of ours: then the wait counts as none.
    fn measure(&mut self, report: &Report) {
        for news in &report.dispatches {
            let DispatchReport::Outcomes { dispatch, outcomes, .. } = news else { continue };
            let Some(first) = outcomes.first() else { continue };
            if let Some(decided_us) = self.engine.unreported_since_us(*dispatch) {
                self.metrics.started(micros(first.started_us.saturating_sub(decided_us)));
            }
            self.after_commit.starts_us.push(first.started_us);
        }
    }

    fn heartbeat(&mut self, heartbeat: &Heartbeat) {
        match self.echo.sent_ms(heartbeat) {
            Some(sent_ms) => {
                self.engine.echo(sent_ms);
                if self.intake.reports.is_empty() && self.commit_admits_report() {
                    self.engine.intake_is_idle(self.clock.now());
                }
            }
            None if Echo::is_foreign(heartbeat) => {}
            None => self.engine.heartbeat(heartbeat, self.clock.now()),
        }
        if self.gauges_updated.elapsed() >= OBSERVE_EVERY {
            self.observe();
        }
    }

    fn observe(&mut self) {
        self.gauges_updated = Instant::now();
        self.metrics.observe(&self.engine);
    }

    fn on_receipt(&mut self, receipt: Receipt) {
        let now = self.clock.now();
        match receipt {
            Receipt::Confirmed(id) => self.engine.confirmed(id, now),
            Receipt::Impossible(id, why) => self.engine.unpublishable(id, &why, now),
        }
    }

    fn note_broker(&mut self, state: &mut watch::Receiver<ConnectionState>) {
        let state = state.borrow_and_update();
        self.metrics.broker(&state);
        self.engine.broker_open(state.is_connected());
    }
}

/// A span of time that two clocks may disagree about.
fn micros(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

#[cfg(test)]
mod tests;
