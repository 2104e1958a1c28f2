//! What an outcome means.
//!
//! The fence: an outcome counts if its dispatch is not closed and its task has none yet under that dispatch.
//! Everything else (a second report, a worker that was given up, a task that is being cancelled) is counted and
//! dropped. *At-least-once execution, exactly-once ledger effect.*

use std::sync::Arc;

use backstitch_proto::id::{DispatchId, RunId, WorkerId};
use backstitch_proto::message::{
    DispatchReport, Failure, FailureKind, Outcome, Report, TraceContext, Verdict,
};
use backstitch_proto::partition::PartitionSubset;

use super::metadata::{checks_json, metadata_json};
use super::mutation::Mutation;
use super::open_dispatch::OpenDispatch;
use super::retry::jitter_chance;
use super::run::{AssetState, RunState};
use super::{Engine, Now};
use crate::ledger::{AttemptRecord, AttemptResult};

/// What some outcomes changed in one asset of one run.
#[derive(Default)]
struct Changed {
    succeeded: PartitionSubset,
    failed: PartitionSubset,
    /// Tasks to retry, with the wait before that, milliseconds.
    delayed: Vec<(u32, u64)>,
    duration_us: i64,
    executed: u32,
}

impl Engine {
    /// Whether a report speaks of a dispatch of a later term: then this leader was deposed and does not know it yet.
    ///
    /// Such a report must be neither taken nor acknowledged. It would change nothing here, so nothing would be
    /// committed and nobody would ask for the epoch; and the successor, for whom it was meant, would wait for ever.
    pub fn is_outlived_by(&self, report: &Report) -> bool {
        let term = self.last_dispatch.epoch();
        report.dispatches.iter().any(|news| {
            let (DispatchReport::Started { dispatch }
            | DispatchReport::Outcomes { dispatch, .. }
            | DispatchReport::Returned { dispatch, .. }) = news;
            dispatch.epoch() > term
        })
    }

    /// Takes a report. The broker may forget it once the next batch is committed.
    pub fn report(&mut self, report: Report, now: Now) {
        let worker = report.worker;
        for news in report.dispatches {
            match news {
                DispatchReport::Started { dispatch } => {
                    if let Some(open) = self.open_dispatches.get_mut(&dispatch) {
                        open.started = true;
                    }
                }
                DispatchReport::Outcomes { dispatch, trace, outcomes } => {
                    self.outcomes(Some(worker), dispatch, trace, outcomes, now);
                }
                DispatchReport::Returned { dispatch, reason } => self.returned(worker, dispatch, reason, now),
            }
        }
    }

    /// The message of a dispatch cannot be sent, now or ever: its tasks fail, and say why.
    pub fn unpublishable(&mut self, id: DispatchId, why: &str, now: Now) {
        self.unconfirmed.remove(&id);
        let Some(open) = self.open_dispatches.get(&id) else { return };
        let failure = Failure {
            kind: FailureKind::NotStarted,
            message: format!("its message cannot be sent: {why}"),
            detail: None,
            retryable: false,
        };
        let failed = |ordinal| Outcome {
            ordinal,
            started_us: now.wall_us,
            finished_us: now.wall_us,
            verdict: Verdict::Failed(failure.clone()),
            metadata: Vec::new(),
            data_version: None,
            checks: Vec::new(),
            output: None,
        };
        let outcomes = open.remaining.iter().map(failed).collect();
        self.outcomes(None, id, None, outcomes, now);
    }

    fn outcomes(
        &mut self,
        worker: Option<WorkerId>,
        id: DispatchId,
        trace: Option<TraceContext>,
        outcomes: Vec<Outcome>,
        now: Now,
    ) {
        let under = self.sabotage_fence(id, &outcomes);
        let repeats_count = self.is_sabotaged(Mutation::NoFirstOutcome);
        let Some(open) = self.open_dispatches.get_mut(&under) else {
            self.statistics.stale_outcomes += outcomes.len() as u64;
            return;
        };
        let (run_id, index) = (open.run, open.asset);
        // A dispatch is closed before its run goes.
        let Some(run) = self.runs.get_mut(&run_id) else { return };
        let mut changed = Changed::default();
        for outcome in outcomes {
            if !open.remaining.remove(outcome.ordinal) && !repeats_count {
                self.statistics.stale_outcomes += 1;
                continue;
            }
            let record = accept(run, open, id, worker, trace, outcome, &mut changed);
            self.batch.attempts.extend(record);
        }
        open.has_outcome = true;
        let is_finished = open.remaining.is_empty();
        self.statistics.succeeded += changed.succeeded.len();
        self.statistics.failed += changed.failed.len();
        if changed.executed > 0 {
            let name = Arc::clone(&run.assets[index].plan.name);
            let mean_us = changed.duration_us.max(0) as f64 / f64::from(changed.executed);
            self.pace.entry(name).or_default().observe(mean_us);
        }
        run.release_downstream(index, &changed.succeeded);
        run.skip_downstream(index, changed.failed);
        for (task, delay_ms) in changed.delayed {
            self.delays.insert(run_id, index, task, delay_ms, now);
        }
        if is_finished {
            self.close(under);
        }
        self.finish_if_done(run_id, now);
    }
}

/// Moves the task of an accepted outcome, and writes down the attempt.
fn accept(
    run: &mut RunState,
    open: &OpenDispatch,
    id: DispatchId,
    worker: Option<WorkerId>,
    trace: Option<TraceContext>,
    outcome: Outcome,
    changed: &mut Changed,
) -> Option<AttemptRecord> {
    let (run_id, cancelling) = (run.record.id, run.cancelling);
    let state = &mut run.assets[open.asset];
    let task = outcome.ordinal;
    state.in_flight.remove(task);
    let result = match outcome.verdict {
        _ if cancelling => {
            state.cancelled.insert(task);
            AttemptResult::Cancelled
        }
        // Nobody cancelled the run: the worker was mistaken, and the task has spent nothing.
        Verdict::Cancelled => {
            state.ready.insert(task);
            return None;
        }
        Verdict::Succeeded => {
            state.succeeded.insert(task);
            changed.succeeded.insert(task);
            AttemptResult::Succeeded
        }
        Verdict::Failed(failure) => {
            state.attempts.increment(task);
            let failures = u32::from(state.attempts.get(task) - state.losses.get(task));
            let terminal = !failure.retryable || failures > state.plan.retry.max_retries;
            if terminal {
                state.failed.insert(task);
                changed.failed.insert(task);
            } else {
                let chance = jitter_chance(run_id, open.asset, task, open.attempt);
                let delay = state.plan.retry.delay_before(failures, chance);
                state.delayed.insert(task);
                // A delay is at most 366 days.
                changed.delayed.push((task, delay.as_millis() as u64));
            }
            AttemptResult::Failed { failure, terminal }
        }
    };
    state.suspects.remove(task);
    changed.executed += 1;
    changed.duration_us += outcome.finished_us.saturating_sub(outcome.started_us);
    Some(AttemptRecord {
        worker,
        started_us: outcome.started_us,
        finished_us: outcome.finished_us,
        metadata_json: metadata_json(outcome.metadata),
        data_version: outcome.data_version,
        checks_json: checks_json(outcome.checks),
        trace_id: trace.map(|trace| trace.trace_id),
        output: outcome.output,
        ..attempt_record(run_id, state, open, id, task, result)
    })
}

/// The record of an attempt of which only the engine knows.
pub(super) fn attempt_record(
    run: RunId,
    state: &AssetState,
    open: &OpenDispatch,
    dispatch: DispatchId,
    task: u32,
    result: AttemptResult,
) -> AttemptRecord {
    AttemptRecord {
        run,
        // A project has at most 10,000 assets.
        asset_index: open.asset as u16,
        asset: Arc::clone(&state.plan.name),
        ordinal: task,
        partition_key: state.plan.partitions.key(task).unwrap_or_default(),
        attempt: open.attempt,
        dispatch,
        worker: None,
        started_us: open.created_us,
        finished_us: open.created_us,
        result,
        metadata_json: None,
        data_version: None,
        code_version: state.plan.invocation.code_version.as_deref().map(Arc::from),
        checks_json: None,
        trace_id: None,
        output: None,
    }
}
