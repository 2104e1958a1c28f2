//! `backstitch runs`: list, show, watch, cancel, pause, resume, change, retry.

mod list;
mod request;
mod retry;
mod show;
mod watch;

use anyhow::Result;
use backstitch_coordinator::api::RunView;
use clap::{Args, Subcommand};

use crate::display::{OutputArgs, elapsed};
use crate::exit::Exit;
use crate::settings::PlaceArgs;
use request::{Change, Request};

pub(super) use watch::follow_to_end;

#[derive(Args, Debug)]
pub(crate) struct RunsArgs {
    #[command(subcommand)]
    command: RunsCommand,
}

#[derive(Debug, Subcommand)]
enum RunsCommand {
    /// List runs, newest first
    List(list::ListArgs),
    /// Show a run, and why its tasks failed
    Show(show::ShowArgs),
    /// Follow a run until it ends
    Watch(OneArgs),
    /// Cancel a run: nothing more starts, and what runs is ended
    Cancel(OneArgs),
    /// Stop starting tasks of a run
    Pause(OneArgs),
    /// Go on with a paused run
    Resume(OneArgs),
    /// Change the priority of a run, or how many of its tasks execute at once
    Change(ChangeArgs),
    /// Run again what did not succeed in an ended run
    Retry(retry::RetryArgs),
}

/// One run.
#[derive(Args, Debug)]
struct OneArgs {
    /// Id of the run, or `latest`
    run: String,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    place: PlaceArgs,
}

/// A change of one run.
#[derive(Args, Debug)]
struct ChangeArgs {
    #[command(flatten)]
    change: Change,
    #[command(flatten)]
    one: OneArgs,
}

impl RunsArgs {
    pub(crate) async fn run(self) -> Result<Exit> {
        match self.command {
            RunsCommand::List(args) => args.run().await,
            RunsCommand::Show(args) => args.run().await,
            RunsCommand::Watch(args) => watch::run(args).await,
            RunsCommand::Cancel(args) => request::run(args, Request::Cancel).await,
            RunsCommand::Pause(args) => request::run(args, Request::Pause).await,
            RunsCommand::Resume(args) => request::run(args, Request::Resume).await,
            RunsCommand::Change(args) => request::run(args.one, Request::Change(args.change)).await,
            RunsCommand::Retry(args) => args.run().await,
        }
    }
}

/// From submission to end, once it has ended.
fn took(run: &RunView) -> Option<String> {
    (run.finished_at? - run.created_at).to_std().ok().map(elapsed)
}
