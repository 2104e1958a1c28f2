//! `backstitch bench`: how fast this release goes on these servers, and how fast the servers let it.
//!
//! It starts a coordinator and workers as processes of their own, exactly as a deployment would, gives them runs over a
//! made-up project, and reads the clock, `/proc`, `/metrics` and the ledger. Figures without a yardstick say little, so
//! in the same run it measures what the two servers do without us: the [`limits`].
//!
//! - [`options`]: what is asked for. [`project`]: the assets that are run. [`noop`]: the worker that runs them.
//! - [`servers`]: a database and queues of its own, so that nothing that is there is disturbed, and their removal.
//! - [`bed`]: one coordinator and its workers on them. [`by_hand`]: workers that somebody else starts.
//! - [`watch`]: what is sampled while a run goes; [`depth`]: the queues. [`show`]: a command as a user meets it.
//! - [`usage`], [`metrics`], [`samples`]: processor time and memory, the coordinator's instruments, percentiles.
//! - [`scenario`]: one file per question. [`report`]: the answers.
//!
//! It refuses a broker on which a coordinator is at work: both would take each other's reports.

mod bed;
mod by_hand;
mod depth;
mod limits;
mod metrics;
mod noop;
mod options;
mod project;
mod report;
mod samples;
mod scenario;
mod servers;
mod show;
mod usage;
mod watch;

use anyhow::Result;
use tokio::select;

pub(crate) use noop::NoopArgs;
pub(crate) use options::BenchArgs;

use crate::display::{print, print_json};
use crate::exit::Exit;
use crate::signals::Signals;
use servers::Servers;

impl BenchArgs {
    pub(crate) async fn run(self) -> Result<Exit> {
        let plan = self.plan()?;
        let mut signals = Signals::listen()?;
        let servers = Servers::prepare(&self.urls()?, plan.workers == 0).await?;
        let measured = select! {
            measured = scenario::run(&plan, &servers) => measured.map(Some),
            () = signals.next() => Ok(None),
        };
        let removed = servers.remove(self.keep()).await;
        let Some(report) = measured? else { return Ok(Exit::Interrupted) };
        removed?;
        if self.json() {
            print_json(&report)?;
        } else {
            print(&report.to_text())?;
        }
        Ok(if report.holds() { Exit::Done } else { Exit::Failed })
    }
}
