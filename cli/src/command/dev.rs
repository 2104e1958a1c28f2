//! `backstitch dev`: everything in one process, with the API up, until it is told to stop.

use anyhow::Result;
use clap::Args;

use crate::display::{plural, print};
use crate::embedded::{Embedded, Listen, Roles};
use crate::exit::Exit;
use crate::project::Project;
use crate::settings::{
    self, HistoryArgs, ListenArgs, PlaceArgs, ProjectArgs, SettingsFile, SlotsArgs, StateArgs,
};
use crate::signals::Signals;
use crate::source;

#[derive(Args, Debug)]
pub(crate) struct DevArgs {
    #[command(flatten)]
    api: ListenArgs,
    #[command(flatten)]
    slots: SlotsArgs,
    #[command(flatten)]
    history: HistoryArgs,
    #[command(flatten)]
    project: ProjectArgs,
    #[command(flatten)]
    state: StateArgs,
}

impl DevArgs {
    pub(crate) async fn run(self) -> Result<Exit> {
        let project = Project::load(&settings::project_dir(&self.project))?;
        let file = SettingsFile::of(&self.project)?;
        let place = PlaceArgs { project: self.project, state: self.state, ..PlaceArgs::default() };
        let ledger = source::own(&place).await?;
        let mut signals = Signals::listen()?;
        let roles = Roles {
            slots: Some(self.slots.slots(&file)?),
            listen: Listen::On(self.api.listen(&file)?),
            keep_history: self.history.keep(&file)?,
        };
        let mut embedded = Embedded::start(&project, ledger, roles).await?;
        print(&welcome(&project, embedded.url().unwrap_or_default()))?;
        let broken = tokio::select! {
            () = signals.next() => None,
            error = embedded.broken() => Some(error),
        };
        if let Some(error) = broken {
            return Err(error);
        }
        eprintln!("Stopping: what runs has some time to end (Ctrl-C again ends at once)");
        tokio::select! {
            stopped = embedded.stop() => stopped.map(|()| Exit::Done),
            () = signals.next() => Ok(Exit::Interrupted),
        }
    }
}

fn welcome(project: &Project, url: &str) -> String {
    let assets = plural(project.definitions.topological().len() as u64, "asset");
    format!(
        "Backstitch runs {assets} of {} at {url}\n\n\
         \x20 submit   backstitch backfill --all --watch --server {url}\n\
         \x20 look     backstitch runs list --server {url}\n\
         \x20 API      {url}/api/openapi.json\n\
         \x20 metrics  {url}/metrics\n\
         \x20 stop     Ctrl-C\n",
        project.dir.display()
    )
}
