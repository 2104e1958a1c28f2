//! `backstitch runs retry`: in this process, or by the coordinator that leads.

use anyhow::Result;
use clap::Args;

use super::{OneArgs, follow_to_end};
use crate::display::{plural, print, print_json};
use crate::embedded::{Listen, Roles};
use crate::exit::Exit;
use crate::follow::OnInterrupt;
use crate::settings::{SettingsFile, SlotsArgs};
use crate::signals::Signals;
use crate::source::{self, Leading};

#[derive(Args, Debug)]
pub(super) struct RetryArgs {
    #[command(flatten)]
    one: OneArgs,
    #[command(flatten)]
    slots: SlotsArgs,
}

impl RetryArgs {
    pub(super) async fn run(self) -> Result<Exit> {
        let args = self.one;
        let slots = self.slots.slots(&SettingsFile::of(&args.place.project)?)?;
        let mut leading = Leading::find(&args.place, |_| Roles {
            slots: Some(slots),
            listen: Listen::AnyPort,
            keep_history: None,
        })
        .await?;
        let mut signals = Signals::listen()?;
        let ended = retry_with(&mut leading, &args, &mut signals).await;
        let stopped = leading.stop().await;
        let exit = ended?;
        stopped?;
        Ok(exit)
    }
}

async fn retry_with(leading: &mut Leading, args: &OneArgs, signals: &mut Signals) -> Result<Exit> {
    let before = source::find_run(leading.look.as_ref(), &args.run).await?;
    let submitted = leading.ask.retry(before).await?;
    let Some(run) = submitted.run else {
        if args.output.json() {
            print_json(&submitted)?;
        } else {
            print(&format!("Nothing to do: every task of run {before} succeeded."))?;
        }
        return Ok(Exit::Done);
    };
    let what = format!("Run {run}: {} of run {before} again", plural(submitted.plan.tasks, "task"));
    if leading.embedded.is_some() {
        eprintln!("{what}");
        let flags = args.place.flags();
        return follow_to_end(leading, run, OnInterrupt::Cancel, signals, args.output, &flags).await;
    }
    if args.output.json() {
        print_json(&submitted)?;
    } else {
        print(&what)?;
    }
    Ok(Exit::Done)
}
