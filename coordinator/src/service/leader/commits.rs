//! From the engine's batch to the ledger, and what may only happen after it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use backstitch_broker::Acker;
use backstitch_proto::message::with_causes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio_util::task::AbortOnDropHandle;
use tracing::{Instrument, Span, error, info, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::{Leader, OBSERVE_EVERY, micros};
use crate::engine::{Effect, Sealed};
use crate::ledger::{Batch, CommitError};
use crate::service::handle::RunFinished;
use crate::service::metrics::BatchSize;
use crate::service::outbox::Parcel;
use crate::service::spans::dispatch_span;
use crate::service::{TermError, committer};

/// What waits for a commit besides the effects of the engine.
#[derive(Default)]
pub(super) struct AfterCommit {
    /// Size of the reports whose effect is in the batch.
    pub(super) bytes: usize,
    /// To acknowledge them.
    pub(super) ackers: Vec<Acker>,
    /// End when the outcomes that they speak of are durable.
    pub(super) spans: Vec<Span>,
    /// Starts of the first tasks that these reports tell of, microseconds since the Unix epoch.
    pub(super) starts_us: Vec<i64>,
    /// Users who are told that their request is durable.
    pub(super) replies: Vec<Box<dyn FnOnce() + Send>>,
}

/// A commit under way.
pub(super) struct Committing {
    /// Gives the batch back once it is durable: the catalog has to learn of it.
    done: BoxFuture<'static, Result<Batch, CommitError>>,
    effects: Vec<Effect>,
    after_commit: AfterCommit,
    size: BatchSize,
    since: Instant,
}

/// The end of the commit under way; never, if there is none.
pub(super) async fn commit_done(committing: &mut Option<Committing>) -> Result<Batch, CommitError> {
    match committing {
        Some(committing) => (&mut committing.done).await,
        None => std::future::pending().await,
    }
}

impl Leader<'_> {
    /// Starts the next commit if none is under way.
    pub(super) fn start_commit(&mut self) -> Result<(), TermError> {
        if self.committing.is_some() {
            return Ok(());
        }
        let Some(Sealed { batch, effects }) = self.engine.seal(self.clock.now()) else {
            // What came changed nothing.
            let after_commit = std::mem::take(&mut self.after_commit);
            self.settle(after_commit);
            return Ok(());
        };
        let after_commit = std::mem::take(&mut self.after_commit);
        let size = BatchSize::of(&batch);
        let done: BoxFuture<'static, _> = if batch.is_empty() {
            std::future::ready(Ok(batch)).boxed()
        } else {
            let span = info_span!(
                "commit",
                attempts = batch.attempts.len(),
                dispatches = batch.dispatches.len(),
                runs = batch.runs.len()
            );
            // A task of its own: the loop goes on feeding the engine while the database works. It ends with the term: a
            // later term of this process shall not wait behind a commit that would be refused.
            let commit = committer::commit(Arc::clone(&self.coordinator.ledger), self.epoch, batch);
            let commit = AbortOnDropHandle::new(tokio::spawn(commit.instrument(span)));
            async move {
                match commit.await {
                    Ok(result) => result,
                    Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
                }
            }
            .boxed()
        };
        self.committing = Some(Committing { done, effects, after_commit, size, since: Instant::now() });
        Ok(())
    }

    /// The batch is durable: what waited for that happens now.
    pub(super) fn committed(&mut self, result: Result<Batch, CommitError>) -> Result<(), TermError> {
        let Some(committed) = self.committing.take() else { return Ok(()) };
        let Committing { effects, after_commit, size, since, .. } = committed;
        let batch = match result {
            Ok(batch) => batch,
            Err(CommitError::Deposed { .. }) => return Err(TermError::Deposed),
            Err(error) => return Err(TermError::Commit(error)),
        };
        let took = since.elapsed();
        self.metrics.committed(&size, took);
        self.commit_size.committed(size.attempts, took);
        self.engine.set_in_flight_tasks_max(self.commit_size.in_flight_tasks_max());
        if self.gauges_updated.elapsed() >= OBSERVE_EVERY {
            self.observe();
        }
        self.catalog.apply(&batch);
        for command in std::mem::take(&mut self.awaiting_commit) {
            self.command(command);
        }
        let now_us = self.clock.now().wall_us;
        after_commit
            .starts_us
            .iter()
            .for_each(|start_us| self.metrics.recorded(micros(now_us.saturating_sub(*start_us))));
        self.settle(after_commit);
        self.pending_effects.extend(effects);
        self.perform();
        Ok(())
    }

    /// Nothing is left to wait for: acknowledges the reports and answers the users.
    fn settle(&self, after: AfterCommit) {
        let AfterCommit { ackers, replies, .. } = after;
        if !ackers.is_empty() {
            tokio::spawn(async move { _ = Acker::ack_all(ackers).await });
            self.note_unacknowledged();
        }
        replies.into_iter().for_each(|reply| reply());
    }

    /// Counts the reports that are here: in front of the engine, behind it, and in the commit under way.
    pub(super) fn note_unacknowledged(&self) {
        let committing =
            self.committing.as_ref().map_or(0, |committing| committing.after_commit.ackers.len());
        self.metrics.unacknowledged(self.intake.reports.len() + self.after_commit.ackers.len() + committing);
    }

    /// Performs what is owed, as far as the outbox takes it: a broker that is away must not hold the leader up.
    pub(super) fn perform(&mut self) {
        while let Some(effect) = self.pending_effects.pop_front() {
            if let Effect::Finished { run, status } = effect {
                info!(%run, ?status, "run finished");
                self.coordinator.handle.run_finished(RunFinished { run, status });
                continue;
            }
            // The outbox ends only with the term.
            let Ok(permit) = self.outbox.clone().try_reserve_owned() else {
                return self.pending_effects.push_front(effect);
            };
            if let Some(parcel) = self.parcel(&effect) {
                if let Some(bytes) = parcel.dispatch_bytes() {
                    self.metrics.dispatched(bytes);
                }
                permit.send(parcel);
            }
        }
    }

    /// The message that an effect sends, if it can be made and somebody still waits for it.
    fn parcel(&mut self, effect: &Effect) -> Option<Parcel> {
        match effect {
            Effect::Publish(id) => {
                let Some((queue, dispatch)) = self.engine.message(*id) else {
                    // Closed in the meantime.
                    self.engine.confirmed(*id, self.clock.now());
                    return None;
                };
                let (traceparent, number) = self.engine.root_of(*id);
                let span = dispatch_span(&dispatch, traceparent, number);
                let made = Parcel::dispatch(queue, &dispatch, &span.context());
                made.map_err(|error| self.engine.unpublishable(*id, &with_causes(&error), self.clock.now()))
                    .ok()
            }
            // A handful of ids: it always fits into a message.
            Effect::Broadcast(control) => Parcel::broadcast(control)
                .inspect_err(|error| {
                    error!(error = error as &dyn std::error::Error, ?control, "a broadcast cannot be made");
                })
                .ok(),
            Effect::Finished { .. } => None,
        }
    }

    /// Lets the commit under way end: a clean stop leaves as little as possible to be done again.
    pub(super) async fn finish(&mut self) -> Result<(), TermError> {
        const LAST_COMMIT_TIMEOUT: Duration = Duration::from_secs(5);
        let deadline = tokio::time::Instant::now() + LAST_COMMIT_TIMEOUT;
        while self.committing.is_some() {
            let Ok(done) = tokio::time::timeout_at(deadline, commit_done(&mut self.committing)).await else {
                return Ok(());
            };
            self.committed(done)?;
        }
        Ok(())
    }
}
