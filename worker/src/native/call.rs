//! Calls of native functions: what they return, and every other way in which a call can end.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use backstitch_proto::message::{Failure, FailureKind, Outcome, TaskSpec, Verdict};
use futures_util::FutureExt;
use tokio::time::{sleep, timeout};

use super::registry::Function;
use super::{AssetError, BatchOutcome, Context, Materialization, Registry};
use crate::clock::now_us;
use crate::execution::{Executed, Execution, keep_output};
use crate::limits::{NAME_BYTES, bounded, bounded_checks, bounded_failure, bounded_metadata};
use crate::stop::{Stop, StopSignal};

/// How a call ended.
enum Ended<T> {
    Returned(Result<T, AssetError>),
    Panicked(String),
    TimedOut(Duration),
    Stopped(Stop),
}

/// Executes the tasks by the function that is registered for their asset.
pub(crate) async fn execute(execution: &mut Execution<'_>, registry: &Registry) -> Executed {
    match registry.get(&execution.dispatch.asset) {
        Some(Function::One(function)) => one_by_one(execution, function).await,
        Some(Function::Batch(function)) => together(execution, function).await,
        None => unknown(execution, registry),
    }
}

async fn one_by_one<Fut>(execution: &mut Execution<'_>, function: impl Fn(Context) -> Fut) -> Executed
where
    Fut: Future<Output = Result<Materialization, AssetError>>,
{
    let mut executed = Executed { outcomes: Vec::with_capacity(execution.tasks.len()), stopped: None };
    for (offset, task) in execution.tasks.iter().enumerate() {
        let started_us = now_us();
        let context = Context::new(execution, offset, 1);
        let ended = match execution.stop.now() {
            Some(reason) => Ended::Stopped(reason),
            None => call(execution, &context, async { function(context.clone()).await }).await,
        };
        if let Ended::Stopped(reason) = ended {
            executed.stopped = Some(reason);
        }
        if let Some(result) = by_end(ended) {
            let mut outcome = outcome(task, result, &context, started_us);
            outcome.output = context.capture().output();
            executed.outcomes.push(outcome);
        }
    }
    executed
}

async fn together<Fut>(execution: &mut Execution<'_>, function: impl Fn(Context) -> Fut) -> Executed
where
    Fut: Future<Output = Result<BatchOutcome, AssetError>>,
{
    let started_us = now_us();
    let context = Context::new(execution, 0, execution.tasks.len());
    let ended = call(execution, &context, async { function(context.clone()).await }).await;
    let stopped = if let Ended::Stopped(reason) = ended { Some(reason) } else { None };
    let Some(result) = by_end(ended) else {
        return Executed { outcomes: Vec::new(), stopped };
    };
    let shared = context.take_metadata();
    let outcomes = execution.tasks.iter().map(|task| {
        let own = match &result {
            Ok(batch) => match batch.partitions.get(&task.key) {
                Some(Ok(materialization)) => Ok(materialization.clone()),
                Some(Err(error)) => Err(Verdict::Failed(failure(error.clone()))),
                None => Ok(Materialization::new()),
            },
            Err(verdict) => Err(verdict.clone()),
        };
        for (name, value) in &shared {
            context.metadata(name.clone(), value.clone());
        }
        outcome(task, own, &context, started_us)
    });
    let mut outcomes: Vec<Outcome> = outcomes.collect();
    keep_output(&mut outcomes, context.capture());
    Executed { outcomes, stopped }
}

/// Awaits a call, or ends it. The call is polled first: one that is done at once pays for nothing else.
async fn call<T>(
    execution: &mut Execution<'_>,
    context: &Context,
    future: impl Future<Output = Result<T, AssetError>>,
) -> Ended<T> {
    let invocation = &execution.dispatch.invocation;
    let limit = invocation.timeout_ms.map(Duration::from_millis);
    let stop: &mut StopSignal = execution.stop;
    // A panicking function leaves only its own state behind, and its future is not polled again.
    let mut future = std::pin::pin!(AssertUnwindSafe(future).catch_unwind());
    let timed_out = async {
        match limit {
            Some(limit) => {
                sleep(limit).await;
                limit
            }
            None => std::future::pending().await,
        }
    };
    let ended = tokio::select! {
        biased;
        result = &mut future => {
            return result.map_or_else(|panic| Ended::Panicked(panic_message(&*panic)), Ended::Returned);
        }
        reason = stop.requested() => Ended::Stopped(reason),
        limit = timed_out => Ended::TimedOut(limit),
    };
    context.cancellation().cancel();
    // What it returns now is the answer to being told to end; only that it cleans up matters.
    let _ = timeout(Duration::from_millis(invocation.grace_ms), future).await;
    match ended {
        // A stronger reason may have come while it was ending.
        Ended::Stopped(reason) => Ended::Stopped(stop.now().unwrap_or(reason)),
        other => other,
    }
}

/// What a task makes of the end of its call; `None`: it has no outcome and is handed back.
fn by_end<T>(ended: Ended<T>) -> Option<Result<T, Verdict>> {
    let failed = |kind, message| Some(Err(Verdict::Failed(of_kind(kind, message))));
    match ended {
        Ended::Returned(Ok(value)) => Some(Ok(value)),
        Ended::Returned(Err(error)) => Some(Err(Verdict::Failed(failure(error)))),
        Ended::Panicked(message) => {
            failed(FailureKind::Panic, format!("the asset's function panicked: {message}"))
        }
        Ended::TimedOut(limit) => {
            let seconds = limit.as_secs_f64();
            let message =
                format!("the asset's function ran longer than its timeout of {seconds} s and was ended");
            failed(FailureKind::Timeout, message)
        }
        Ended::Stopped(Stop::Cancel) => Some(Err(Verdict::Cancelled)),
        Ended::Stopped(Stop::Interrupt | Stop::Abandon) => None,
    }
}

fn unknown(execution: &Execution<'_>, registry: &Registry) -> Executed {
    let asset = &execution.dispatch.asset;
    let known = registry.assets().join(", ");
    let known = if known.is_empty() { "none".to_owned() } else { known };
    let message = format!(
        "this worker has no function for asset \"{asset}\" (registered: {known}): give the asset a `command`, or a \
         `queue` that only workers with its function consume"
    );
    let now = now_us();
    let outcomes = execution.tasks.iter().enumerate().map(|(offset, task)| {
        let verdict = Verdict::Failed(of_kind(FailureKind::UnknownAsset, message.clone()));
        outcome(task, Err(verdict), &Context::new(execution, offset, 1), now)
    });
    Executed { outcomes: outcomes.collect(), stopped: None }
}

/// The outcome of a task, without what was logged: a batch keeps that once.
fn outcome(
    task: &TaskSpec,
    result: Result<Materialization, Verdict>,
    context: &Context,
    started_us: i64,
) -> Outcome {
    let mut metadata = context.take_metadata();
    let (verdict, materialization) = match result {
        Ok(materialization) => (Verdict::Succeeded, materialization),
        Err(verdict) => {
            // Without a materialization there is nothing for the metadata to describe.
            metadata.clear();
            (verdict, Materialization::new())
        }
    };
    let Materialization { metadata: own, data_version, checks } = materialization;
    if !own.is_empty() {
        metadata.retain(|(name, _)| !own.iter().any(|(newer, _)| newer == name));
        metadata.extend(own);
    }
    let (metadata, left_out) = bounded_metadata(metadata);
    if left_out > 0 {
        context.log(format!(
            "[backstitch] WARNING {left_out} entries of metadata are too large and were left out"
        ));
    }
    Outcome {
        ordinal: task.ordinal,
        started_us,
        finished_us: now_us(),
        verdict,
        metadata,
        data_version: data_version.map(|version| bounded(version, NAME_BYTES)),
        checks: bounded_checks(checks),
        output: None,
    }
}

fn failure(AssetError { message, detail, retryable }: AssetError) -> Failure {
    bounded_failure(Failure { kind: FailureKind::Error, message, detail, retryable })
}

fn of_kind(kind: FailureKind, message: String) -> Failure {
    bounded_failure(Failure { kind, message, detail: None, retryable: true })
}

/// What a panic said.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}
