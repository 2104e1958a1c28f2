//! `backstitch runs cancel`, `pause`, `resume`, `change`.

use anyhow::{Result, bail};
use backstitch_coordinator::api::RunView;
use backstitch_coordinator::ledger::RunStatus;
use backstitch_proto::id::RunId;
use clap::Args;

use super::OneArgs;
use crate::display::{plural, print, print_json};
use crate::embedded::{Listen, Roles};
use crate::exit::Exit;
use crate::source::{self, Leading};

/// What is asked of a live run.
#[derive(Clone, Copy)]
pub(super) enum Request {
    Cancel,
    Pause,
    Resume,
    Change(Change),
}

/// What is to be different from now on.
#[derive(Args, Clone, Copy, Debug)]
#[group(required = true, multiple = true)]
pub(super) struct Change {
    /// Runs of a higher number go first
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    priority: Option<i32>,
    /// Tasks of this run that may execute at once; 0 for as many as there are slots
    #[arg(long, value_name = "N")]
    max_parallel: Option<u32>,
}

pub(super) async fn run(args: OneArgs, request: Request) -> Result<Exit> {
    let leading =
        Leading::find(&args.place, |_| Roles { slots: None, listen: Listen::Nowhere, keep_history: None })
            .await?;
    let asked = ask(&leading, &args.run, request).await;
    let stopped = leading.stop().await;
    let (run, view) = asked?;
    stopped?;
    if args.output.json() {
        print_json(&view)?;
    } else {
        print(&match request {
            Request::Cancel => format!("Run {run} is {}.", view.status),
            Request::Pause => format!(
                "Run {run} is paused; `backstitch runs resume {run}{}` goes on with it.",
                args.place.flags()
            ),
            Request::Resume => format!("Run {run} goes on."),
            Request::Change(_) => format!(
                "Run {run} has priority {} and {}.",
                view.priority,
                view.max_parallel.map_or_else(
                    || "no bound on its tasks at once".to_owned(),
                    |bound| format!("executes at most {} at once", plural(u64::from(bound), "task"))
                )
            ),
        })?;
    }
    Ok(Exit::Done)
}

async fn ask(leading: &Leading, run: &str, request: Request) -> Result<(RunId, RunView)> {
    let run = source::find_run(leading.look.as_ref(), run).await?;
    // An id that is unknown and a run that has ended are told apart, which "not live" would not.
    let before = leading.look.run(run).await?;
    if before.status.is_terminal() {
        bail!(
            "run {run} has ended: it {}",
            match before.status {
                RunStatus::Cancelled => "was cancelled",
                status => status.as_str(),
            }
        );
    }
    match request {
        Request::Cancel => leading.ask.cancel(run).await?,
        Request::Pause => leading.ask.pause(run, true).await?,
        Request::Resume => leading.ask.pause(run, false).await?,
        Request::Change(Change { priority, max_parallel }) => {
            if let Some(priority) = priority {
                leading.ask.reprioritise(run, priority).await?;
            }
            if let Some(bound) = max_parallel {
                leading.ask.throttle(run, bound).await?;
            }
        }
    }
    Ok((run, leading.look.run(run).await?))
}
