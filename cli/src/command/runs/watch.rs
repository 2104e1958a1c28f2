//! `backstitch runs watch`, and the end of every command that follows a run.

use anyhow::Result;
use backstitch_coordinator::api::RunView;
use backstitch_coordinator::ledger::RunStatus;
use backstitch_proto::id::RunId;

use super::OneArgs;
use crate::display::{OutputArgs, print, print_json};
use crate::exit::Exit;
use crate::follow::{OnInterrupt, follow};
use crate::signals::Signals;
use crate::source::{self, Leading, Look};
use crate::summary::RunWithFailures;

pub(super) async fn run(args: OneArgs) -> Result<Exit> {
    let look = source::look(&args.place).await?;
    let run = source::find_run(look.as_ref(), &args.run).await?;
    let view = look.run(run).await?;
    if view.status.is_terminal() {
        return ended(look.as_ref(), view, args.output, &args.place.flags(), false).await;
    }
    let mut leading = Leading::elsewhere(&args.place).await?;
    let flags = args.place.flags();
    let mut signals = Signals::listen()?;
    follow_to_end(&mut leading, run, OnInterrupt::Leave, &mut signals, args.output, &flags).await
}

/// Follows a run to its end and says how it ended.
pub(in crate::command) async fn follow_to_end(
    leading: &mut Leading,
    run: RunId,
    on_interrupt: OnInterrupt,
    signals: &mut Signals,
    output: OutputArgs,
    flags: &str,
) -> Result<Exit> {
    let Some(followed) = follow(leading, run, on_interrupt, signals).await? else {
        eprintln!("Run {run} goes on; `backstitch runs cancel {run}{flags}` cancels it.");
        return Ok(Exit::Interrupted);
    };
    ended(leading.look.as_ref(), followed.run, output, flags, followed.interrupted).await
}

/// Says how a run ended.
async fn ended(
    look: &dyn Look,
    run: RunView,
    output: OutputArgs,
    flags: &str,
    interrupted: bool,
) -> Result<Exit> {
    let status = run.status;
    let outcome = RunWithFailures::of(look, run).await?;
    if output.json() {
        print_json(&outcome)?;
    } else {
        print(&outcome.to_text(flags))?;
    }
    Ok(match status {
        RunStatus::Succeeded => Exit::Done,
        _ if interrupted => Exit::Interrupted,
        _ => Exit::Failed,
    })
}
