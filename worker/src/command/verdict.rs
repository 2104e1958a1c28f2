//! How an execution ended and what it reported, to one outcome per task. Pure.
//!
//! What the child said of a partition counts first. For the others the way it ended decides: status 0 is success,
//! anything else is failure. What it reported of the asset as a whole holds for each of them.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use backstitch_proto::definition::template::TemplateError;
use backstitch_proto::message::{Failure, FailureKind, Outcome, TaskSpec, Verdict};
use nix::sys::signal::Signal;

use super::capture::Capture;
use super::process::{Ended, Program};
use crate::clock::now_us;
use crate::execution::{Executed, Execution, keep_output};
use crate::limits::{NAME_BYTES, bounded, bounded_checks, bounded_failure, bounded_metadata};
use crate::pipes::session::{ChildError, PartitionOutcome, Reported, Session};
use crate::stop::Stop;

/// Everything known of an execution that is over.
#[derive(Debug)]
pub(crate) struct Evidence {
    /// How it ended.
    pub(crate) ended: Ended,
    /// What it reported; an error when that could not be read.
    pub(crate) reported: io::Result<Session>,
    /// The timeout it ran under.
    pub(crate) timeout: Option<Duration>,
}

/// Why nothing was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NotStarted {
    message: String,
    retryable: bool,
}

impl Evidence {
    /// Evidence of an execution that did not get as far as a child.
    pub(crate) fn not_started(reason: NotStarted) -> Self {
        let reported = Ok(Session::new("", Capture::default()));
        Self { ended: Ended::NotStarted(reason), reported, timeout: None }
    }
}

impl NotStarted {
    /// The operating system refused to start the program.
    pub(crate) fn spawn(program: &Program, error: &io::Error) -> Self {
        let (name, folder) = (&program.name, program.folder.display());
        let message = match error.kind() {
            io::ErrorKind::NotFound if !program.folder.is_dir() => {
                format!("the project folder {folder} does not exist on the worker: is it mounted there?")
            }
            io::ErrorKind::NotFound => format!(
                "command `{name}` was not found: is it installed on the worker, and is its path relative to the \
                 project folder {folder}?"
            ),
            io::ErrorKind::PermissionDenied => {
                format!("command `{name}` may not be executed by the worker: is it executable (`chmod +x`)?")
            }
            io::ErrorKind::ArgumentListTooLong => {
                return Self {
                    message: format!(
                        "arguments and variables of command `{name}` are too long for the operating system: lower \
                         the asset's `batch_size`, or shorten its config"
                    ),
                    retryable: false,
                };
            }
            _ if error.raw_os_error() == Some(nix::libc::ENOEXEC) => {
                format!(
                    "command `{name}` is no program that the worker's machine can run: does it lack a `#!` line?"
                )
            }
            _ => format!("command `{name}` could not be started: {error}"),
        };
        // Another worker, or this one a little later, may be able to.
        Self { message, retryable: true }
    }

    /// The files for the child could not be written.
    pub(crate) fn scratch(error: &io::Error) -> Self {
        let folder = std::env::temp_dir();
        let message = format!(
            "the files for the command could not be written to {}: {error}; is the disk of the worker full?",
            folder.display()
        );
        Self { message, retryable: true }
    }

    /// A placeholder cannot be filled in.
    pub(crate) fn template(error: &TemplateError) -> Self {
        Self { message: format!("the command of the asset cannot be filled in: {error}"), retryable: false }
    }

    /// There is no program to start.
    pub(crate) fn empty() -> Self {
        Self { message: "the command of the asset is empty: name a program".to_owned(), retryable: false }
    }
}

/// The outcomes of the tasks of `execution`.
pub(crate) fn outcomes(
    execution: &Execution<'_>,
    evidence: Evidence,
    started_us: i64,
    capture: &Capture,
) -> Executed {
    let Evidence { ended, reported, timeout } = evidence;
    let stopped = match ended {
        Ended::Stopped(reason) => Some(reason),
        _ => None,
    };
    if stopped == Some(Stop::Abandon) {
        return Executed { outcomes: Vec::new(), stopped };
    }
    let mut session = reported.unwrap_or_else(|error| {
        capture.line(&format!("[backstitch] WARNING what the command reported could not be read: {error}"));
        Session::new(&execution.dispatch.asset, capture.clone())
    });
    for unknown in
        session.partitions.keys().filter(|key| execution.tasks.iter().all(|task| task.key != **key))
    {
        let key = bounded(unknown.clone(), NAME_BYTES);
        capture.line(&format!(
            "[backstitch] WARNING an outcome was reported for \"{key}\", which is not in this batch"
        ));
    }
    let by_end = by_end(&ended, session.exception.take(), timeout, execution);
    if let (Ended::Exited(status), Some(error)) = (&ended, &by_end.unheeded)
        && status.success()
    {
        capture.line(&format!(
            "[backstitch] WARNING the command reported an exception but exited with 0: {error}"
        ));
    }
    let finished_us = now_us();
    let mut outcomes: Vec<Outcome> = execution
        .tasks
        .iter()
        .filter_map(|task| {
            let own = session.partitions.remove(&task.key);
            let verdict = verdict(own.as_ref(), by_end.verdict.as_ref())?;
            Some(outcome(task, verdict, own, &session.reported, capture, (started_us, finished_us)))
        })
        .collect();
    keep_output(&mut outcomes, capture);
    Executed { outcomes, stopped }
}

/// What the end of the execution means for tasks that the child said nothing of.
struct ByEnd {
    /// `None`: nothing, they are handed back.
    verdict: Option<Verdict>,
    /// Message of an exception that the way of ending contradicts.
    unheeded: Option<String>,
}

fn by_end(
    ended: &Ended,
    exception: Option<ChildError>,
    timeout: Option<Duration>,
    execution: &Execution<'_>,
) -> ByEnd {
    let failed = |kind, message, detail, retryable| {
        Some(Verdict::Failed(bounded_failure(Failure { kind, message, detail, retryable })))
    };
    let verdict = match ended {
        Ended::Exited(status) if status.success() => {
            return ByEnd {
                verdict: Some(Verdict::Succeeded),
                unheeded: exception.map(|error| error.message),
            };
        }
        Ended::Exited(status) => {
            let (kind, how) = abnormal(*status);
            let (message, detail) = match exception {
                Some(ChildError { message, stack }) => (message, Some(stack)),
                None => (format!("command `{}` {how}", program(execution)), None),
            };
            failed(kind, message, detail, true)
        }
        Ended::TimedOut => {
            let seconds = timeout.unwrap_or_default().as_secs_f64();
            let message = format!(
                "command `{}` ran longer than its timeout of {seconds} s and was ended: raise the asset's `timeout`, \
                 or find out what it waits for",
                program(execution)
            );
            failed(FailureKind::Timeout, message, exception.map(|error| error.stack), true)
        }
        Ended::NotStarted(NotStarted { message, retryable }) => {
            failed(FailureKind::NotStarted, message.clone(), None, *retryable)
        }
        Ended::Stopped(Stop::Cancel) => Some(Verdict::Cancelled),
        Ended::Stopped(Stop::Interrupt | Stop::Abandon) => None,
    };
    ByEnd { verdict, unheeded: None }
}

fn abnormal(status: ExitStatus) -> (FailureKind, String) {
    if let Some(signal) = status.signal() {
        let name = Signal::try_from(signal).map_or_else(|_| "signal".to_owned(), |signal| signal.to_string());
        let hint = if signal == Signal::SIGKILL as i32 { " (out of memory?)" } else { "" };
        return (FailureKind::Signal(signal), format!("was ended by {name} ({signal}){hint}"));
    }
    let code = status.code().unwrap_or(-1);
    (FailureKind::Exit(code), format!("exited with status {code}"))
}

fn program<'a>(execution: &'a Execution<'_>) -> &'a str {
    match &execution.dispatch.invocation.executor {
        backstitch_proto::message::Executor::Command { command, .. } => {
            command.first().map_or("", String::as_str)
        }
        backstitch_proto::message::Executor::Native => "",
    }
}

fn verdict(own: Option<&PartitionOutcome>, by_end: Option<&Verdict>) -> Option<Verdict> {
    match own {
        Some(PartitionOutcome { result: Ok(()), .. }) => Some(Verdict::Succeeded),
        Some(PartitionOutcome { result: Err(message), .. }) => {
            Some(Verdict::Failed(bounded_failure(Failure {
                kind: FailureKind::Error,
                message: message.clone(),
                detail: None,
                retryable: true,
            })))
        }
        None => by_end.cloned(),
    }
}

fn outcome(
    task: &TaskSpec,
    verdict: Verdict,
    own: Option<PartitionOutcome>,
    shared: &Reported,
    capture: &Capture,
    (started_us, finished_us): (i64, i64),
) -> Outcome {
    let mut outcome = Outcome {
        ordinal: task.ordinal,
        started_us,
        finished_us,
        verdict,
        metadata: Vec::new(),
        data_version: None,
        checks: bounded_checks(shared.checks.clone()),
        output: None,
    };
    // Without a materialization there is nothing for the metadata to describe.
    if outcome.verdict == Verdict::Succeeded {
        let mut metadata = shared.metadata.clone();
        let mut data_version = shared.data_version.clone();
        if let Some(own) = own {
            metadata.retain(|(name, _)| !own.metadata.iter().any(|(newer, _)| newer == name));
            metadata.extend(own.metadata);
            data_version = own.data_version.or(data_version);
        }
        let (kept, left_out) = bounded_metadata(metadata);
        if left_out > 0 {
            capture.line(&format!(
                "[backstitch] WARNING {left_out} entries of metadata are too large and were left out"
            ));
        }
        outcome.metadata = kept;
        outcome.data_version = data_version.map(|version| bounded(version, NAME_BYTES));
    }
    outcome
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
