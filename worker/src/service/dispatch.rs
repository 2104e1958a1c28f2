//! The life of one dispatch in this worker.
//!
//! ```text
//!   held ──slot──▶ announced? ──▶ execution, execution, ... ──▶ settled
//!     │                              │
//!     ├─ cancelled: all cancelled    ├─ cancelled: the rest cancelled
//!     ├─ abandoned: not a word       ├─ abandoned: not another word
//!     └─ drain, or no slot for       └─ interrupted, or far longer than
//!        long: handed back              expected: the rest handed back
//! ```
//!
//! A dispatch takes one slot; its tasks run one after the other, in executions of up to `batch_size`. What becomes
//! of one says nothing of the next.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use backstitch_proto::message::{
    Dispatch, Failure, FailureKind, Outcome, ReturnReason, TaskSpec, TraceContext, Verdict,
};
use futures_util::FutureExt;
use tokio::time::{Instant, sleep};
use tracing::{Instrument, error};

use super::Shared;
use crate::clock::now_us;
use crate::execution::Execution;
use crate::limits::{MESSAGE_BYTES, bounded};
use crate::native::panic_message;
use crate::stop::{Stop, StopSignal};
use crate::trace::DispatchSpan;

/// How long a dispatch waits here for a slot; then it is handed back, for whoever is idle. Far less than a lease: a task
/// whose worker died has waited for one already.
const SLOT_WAIT_MAX: Duration = Duration::from_secs(5);

/// How long a dispatch goes on to its next task. It was packed to take a second: its tasks are not as short as those
/// before them, and what is left is handed back, to be packed anew and shared with other slots.
const DISPATCH_TIME_MAX: Duration = Duration::from_secs(10);

/// Waits for a slot, executes, reports.
pub(super) async fn hold(
    shared: Arc<Shared>,
    dispatch: Arc<Dispatch>,
    mut stop: StopSignal,
    headers: BTreeMap<String, String>,
) {
    let life = AssertUnwindSafe(live(&shared, &dispatch, &mut stop, &headers)).catch_unwind();
    match shared.hard_stop.run_until_cancelled(life).await {
        Some(Ok(())) => {}
        Some(Err(panic)) => {
            // Asset code is guarded elsewhere, so this is a fault of ours. Its dispatch must not stay held for ever,
            // and must not go round for ever either; what was reported before stands, the first result counts.
            let message = format!("the worker failed while it executed the task: {}", panic_message(&*panic));
            error!(dispatch = %dispatch.id, message);
            let failed = Verdict::Failed(Failure {
                kind: FailureKind::Panic,
                message: bounded(message, MESSAGE_BYTES),
                detail: None,
                retryable: true,
            });
            report_all(&shared, &dispatch, &dispatch.tasks, &failed).await;
        }
        // Its execution was dropped, which kills what it started.
        None => shared.reporter.returned(dispatch.id, ReturnReason::Interrupted).await,
    }
}

async fn live(
    shared: &Shared,
    dispatch: &Arc<Dispatch>,
    stop: &mut StopSignal,
    headers: &BTreeMap<String, String>,
) {
    let slot = tokio::select! {
        biased;
        reason = stop.requested() => return end(shared, dispatch, &dispatch.tasks, reason, ReturnReason::NotStarted).await,
        () = shared.draining.cancelled() => return shared.reporter.returned(dispatch.id, ReturnReason::NotStarted).await,
        // Closed never: the semaphore lives as long as the worker.
        slot = shared.slots.acquire() => slot,
        // Long tasks are in front of it, and another worker may be idle.
        () = sleep(SLOT_WAIT_MAX.min(shared.options.ack_after)) => {
            shared.full.send_replace(());
            return shared.reporter.returned(dispatch.id, ReturnReason::NotStarted).await;
        }
    };
    if dispatch.announce_start {
        tokio::select! {
            biased;
            reason = stop.requested() => {
                return end(shared, dispatch, &dispatch.tasks, reason, ReturnReason::Interrupted).await;
            }
            () = shared.reporter.started(dispatch.id) => {}
        }
    }
    shared.table().start(dispatch.id);
    shared.changed.notify_one();
    let begin = Instant::now();
    let DispatchSpan { span, context } = DispatchSpan::new(dispatch, headers);
    // Once for the whole dispatch: to enter a span costs as much as a task that does nothing.
    execute(shared, dispatch, stop, context).instrument(span).await;
    drop(slot);
    shared.pace.observe(begin.elapsed());
    shared.changed.notify_one();
}

async fn execute(
    shared: &Shared,
    dispatch: &Arc<Dispatch>,
    stop: &mut StopSignal,
    trace: Option<TraceContext>,
) {
    let size = shared.executors.batch_size(dispatch);
    let begin = Instant::now();
    let mut first = 0;
    for tasks in dispatch.tasks.chunks(size) {
        if let Some(reason) = stop.now() {
            return end(shared, dispatch, &dispatch.tasks[first..], reason, ReturnReason::Interrupted).await;
        }
        if begin.elapsed() >= DISPATCH_TIME_MAX {
            return shared.reporter.returned(dispatch.id, ReturnReason::NotStarted).await;
        }
        let execution =
            Execution { dispatch, tasks, first, trace, project_dir: &shared.project_dir, stop: &mut *stop };
        let executed = shared.executors.execute(execution).await;
        first += tasks.len();
        // A dispatch has far less than 2^32 tasks: its message is bounded.
        shared.table().progress(dispatch.id, executed.outcomes.len() as u32);
        shared.reporter.outcomes(dispatch.id, trace, executed.outcomes).await;
        if let Some(reason) = executed.stopped {
            return end(shared, dispatch, &dispatch.tasks[first..], reason, ReturnReason::Interrupted).await;
        }
    }
    shared.reporter.settled(dispatch.id).await;
}

/// The dispatch ends before its time; `rest` has not been executed.
async fn end(shared: &Shared, dispatch: &Dispatch, rest: &[TaskSpec], reason: Stop, returned: ReturnReason) {
    match reason {
        Stop::Abandon => {
            let ackers = shared.table().settle(dispatch.id);
            let _ = backstitch_broker::Acker::ack_all(ackers).await;
        }
        Stop::Interrupt => shared.reporter.returned(dispatch.id, returned).await,
        Stop::Cancel => report_all(shared, dispatch, rest, &Verdict::Cancelled).await,
    }
}

/// Reports the same of all `tasks`, which are the last of the dispatch.
async fn report_all(shared: &Shared, dispatch: &Dispatch, tasks: &[TaskSpec], verdict: &Verdict) {
    let outcomes = tasks.iter().map(|task| unexecuted(task, verdict.clone())).collect();
    shared.reporter.outcomes(dispatch.id, None, outcomes).await;
    shared.reporter.settled(dispatch.id).await;
}

fn unexecuted(task: &TaskSpec, verdict: Verdict) -> Outcome {
    let now = now_us();
    Outcome {
        ordinal: task.ordinal,
        started_us: now,
        finished_us: now,
        verdict,
        metadata: Vec::new(),
        data_version: None,
        checks: Vec::new(),
        output: None,
    }
}
