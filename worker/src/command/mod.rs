//! Asset code in any language: a child process per execution.
//!
//! ```text
//!   scratch folder (Pipes context, messages, metadata)     scratch.rs
//!   arguments and variables                                render.rs, environment.rs
//!   spawn as leader of a new process group                 process.rs, guarded by watchdog.rs
//!     both streams drained into a bounded capture          capture.rs
//!     messages file tailed                                 pipes/
//!     timeout or stop: TERM to the group, grace, KILL
//!   how it ended, what it reported -> one outcome per task verdict.rs
//! ```
//!
//! A program is started from its argument array as it stands: no shell reads it, so no partition key can become a
//! command. When the leader ends, what is left of its group is killed: an execution that has ended leaves nothing
//! behind that still writes.
//!
//! A child is asked to end with TERM, not with INT as Dagster does: a shell that waits for a program ignores INT
//! when the program handles it, background jobs of a shell ignore it from the start, and TERM is what every
//! container runtime sends.

pub(crate) mod capture;
mod environment;
mod metadata_file;
mod process;
mod render;
mod scratch;
mod verdict;
mod watchdog;

use std::time::Duration;

pub(crate) use self::watchdog::Watchdog;

use self::capture::Capture;
use self::environment::Environment;
use self::process::{Ended, Program};
use self::scratch::Scratch;
use self::verdict::{Evidence, NotStarted};
use crate::clock::now_us;
use crate::execution::{Executed, Execution};

/// Executes tasks as one child process.
pub(crate) async fn execute(
    execution: &mut Execution<'_>,
    command: &[String],
    env: &[(String, String)],
    watchdog: &Watchdog,
) -> Executed {
    let started_us = now_us();
    let capture = Capture::default();
    let prepared = prepare(execution, command, env, &capture).await;
    let (program, scratch) = match prepared {
        Ok(prepared) => prepared,
        Err(failure) => {
            let evidence = Evidence::not_started(failure);
            return verdict::outcomes(execution, evidence, started_us, &capture);
        }
    };
    let timeout = execution.dispatch.invocation.timeout_ms.map(Duration::from_millis);
    let grace = Duration::from_millis(execution.dispatch.invocation.grace_ms);
    let (ended, reported) =
        process::run(&program, timeout, grace, execution.stop, scratch, &capture, watchdog).await;
    let ended = ended.unwrap_or_else(|error| Ended::NotStarted(NotStarted::spawn(&program, &error)));
    verdict::outcomes(execution, Evidence { ended, reported, timeout }, started_us, &capture)
}

async fn prepare(
    execution: &Execution<'_>,
    command: &[String],
    env: &[(String, String)],
    capture: &Capture,
) -> Result<(Program, Scratch), NotStarted> {
    let scratch =
        Scratch::create(execution, capture.clone()).await.map_err(|error| NotStarted::scratch(&error))?;
    let values = render::Values::new(execution);
    let render =
        |template: &String| render::render(template, &values).map_err(|error| NotStarted::template(&error));
    let arguments = command.iter().map(render).collect::<Result<Vec<_>, _>>()?;
    let extra = env
        .iter()
        .map(|(name, value)| Ok((name.clone(), render(value)?)))
        .collect::<Result<Vec<_>, NotStarted>>()?;
    let environment = Environment::new(execution, &scratch, extra);
    Ok((Program::new(arguments, environment, execution.project_dir)?, scratch))
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
