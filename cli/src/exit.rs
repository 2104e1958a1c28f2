//! What the end of a command means to a script.
//!
//! | status | meaning |
//! |---|---|
//! | 0 | everything that was asked for is done; for a backfill: every task succeeded |
//! | 1 | it ran, and something failed; or it could not run for a reason outside of the request |
//! | 2 | the request or the project makes no sense; nothing was done |
//! | 130 | interrupted |

use std::process::ExitCode;

use backstitch_coordinator::service::{HandleError, SubmissionError};
use backstitch_proto::definition::Problems;
use thiserror::Error;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything is done.
    Done,
    /// Something failed.
    Failed,
    /// The request makes no sense.
    Invalid,
    /// Ended by INT or TERM before everything was done.
    Interrupted,
}

impl Exit {
    /// The exit status, as scripts see it.
    pub(crate) const fn status(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Invalid => 2,
            // 128 + SIGINT, as shells count.
            Self::Interrupted => 130,
        }
    }

    /// Ends the process with this status, at once.
    pub(crate) fn end_process(self) -> ! {
        std::process::exit(self.status().into())
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.status())
    }
}

/// The user asked for something that makes no sense. Everything that is wrong, one sentence each.
#[derive(Debug, Error)]
pub(crate) enum Invalid {
    /// The project file.
    #[error("{0}")]
    Definitions(Problems),
    /// The request.
    #[error("{}", .0.join("\n"))]
    Request(Vec<String>),
}

impl Invalid {
    /// One thing that is wrong.
    pub(crate) fn one(problem: impl Into<String>) -> Self {
        Self::Request(vec![problem.into()])
    }
}

impl From<SubmissionError> for Invalid {
    fn from(error: SubmissionError) -> Self {
        Self::Request(error.problems)
    }
}

/// What a refusal of the coordinator is to the user.
pub(crate) fn refused(error: HandleError) -> anyhow::Error {
    match error {
        HandleError::Submission(submission) => Invalid::from(submission).into(),
        HandleError::UnknownRun(run) => Invalid::one(format!("there is no run {run}")).into(),
        other => other.into(),
    }
}

/// Tells the user why a command ended early, in sentences.
pub(crate) fn report(error: &anyhow::Error) -> Exit {
    match error.downcast_ref::<Invalid>() {
        // Each line begins with its place in the file, where editors and people look for it.
        Some(Invalid::Definitions(problems)) => {
            eprintln!("{problems}");
            Exit::Invalid
        }
        Some(Invalid::Request(problems)) => {
            for problem in problems {
                eprintln!("error: {problem}");
            }
            Exit::Invalid
        }
        None => {
            eprintln!("error: {error:#}");
            Exit::Failed
        }
    }
}
