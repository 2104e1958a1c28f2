//! Where a command reads, and whom it asks.
//!
//! Reading needs nobody: a ledger answers by itself, and a coordinator only adds what is not in the ledger yet
//! ([`Look`]). Requests need a leader ([`Ask`]): one that runs somewhere, or, for the ledger of a project that
//! nobody works on, one inside this process for as long as the request takes.

mod leading;
mod ledger;
mod server;

use std::sync::Arc;

use anyhow::Result;
use async_trait::async_trait;
use backstitch_coordinator::api::{
    AssetView, AttemptView, Listing, MaterializationView, RunView, WorkerView,
};
use backstitch_coordinator::ledger::{Address, Ledger, RunStatus};
use backstitch_coordinator::service::{AssetStatusView, PlanPreview, Submission, Submitted};
use backstitch_proto::definition::PROJECT_FILE;
use backstitch_proto::id::RunId;

pub(crate) use leading::{LEADER_MEND, Leading, no_leader};
pub(crate) use ledger::LedgerSource;
pub(crate) use server::{Server, Unanswered, leader_of};

use crate::exit::Invalid;
use crate::project::Project;
use crate::settings::{self, Place, PlaceArgs};

/// Which runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct RunsQuery {
    /// Only in this state.
    pub(crate) status: Option<RunStatus>,
    /// Only those that target this asset.
    pub(crate) asset: Option<String>,
    /// The newest this many.
    pub(crate) limit: usize,
}

/// Which attempts of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AttemptsQuery {
    /// The run.
    pub(crate) run: RunId,
    /// Only those that did not succeed.
    pub(crate) failed: bool,
    /// With what they printed.
    pub(crate) output: bool,
    /// The first this many.
    pub(crate) limit: usize,
}

/// What can be read.
#[async_trait]
pub(crate) trait Look: Send + Sync {
    /// Runs, newest first.
    async fn runs(&self, query: &RunsQuery) -> Result<Vec<RunView>>;
    /// One run.
    async fn run(&self, id: RunId) -> Result<RunView>;
    /// Attempts by asset, partition and number.
    async fn attempts(&self, query: AttemptsQuery) -> Result<Vec<AttemptView>>;
    /// All assets, every upstream before its downstreams.
    async fn assets(&self) -> Result<Vec<AssetView>>;
    /// The state of the partitions of an asset, all of its ranges.
    async fn partitions(&self, asset: &str) -> Result<AssetStatusView>;
    /// One page of the latest materializations of an asset, by key.
    async fn materializations(
        &self,
        asset: &str,
        partition: Option<&str>,
        cursor: Option<String>,
    ) -> Result<Listing<MaterializationView>>;
    /// Workers within their lease.
    async fn workers(&self) -> Result<Vec<WorkerView>>;
}

/// What can be asked of a leader.
#[async_trait]
pub(crate) trait Ask: Send + Sync {
    /// What a submission would run.
    async fn plan(&self, submission: &Submission) -> Result<PlanPreview>;
    /// Accepts a run, durably.
    async fn submit(&self, submission: &Submission) -> Result<Submitted>;
    /// Runs again what an ended run did not finish.
    async fn retry(&self, run: RunId) -> Result<Submitted>;
    /// Ends a live run.
    async fn cancel(&self, run: RunId) -> Result<()>;
    /// Stops or resumes the dispatching of a live run.
    async fn pause(&self, run: RunId, paused: bool) -> Result<()>;
    /// Moves a live run to another priority class.
    async fn reprioritise(&self, run: RunId, priority: i32) -> Result<()>;
    /// Changes how many tasks of a live run may execute at once; 0 is no bound.
    async fn throttle(&self, run: RunId, max_parallel: u32) -> Result<()>;
    /// Invariants that do not hold, a sentence each.
    async fn violations(&self) -> Result<Vec<String>>;
}

/// What is found where the arguments point to.
enum Found {
    /// A coordinator that was named, or that leads on the ledger there.
    Leader(Server),
    /// A ledger that was named, and nobody who leads on it is reached from here.
    Named { address: Address, ledger: Arc<dyn Ledger> },
    /// The ledger of a project that nobody works on.
    Own { project: Project, ledger: Arc<dyn Ledger> },
}

impl Found {
    async fn at(args: &PlaceArgs) -> Result<Self> {
        match args.place()? {
            Place::Server(url) => Ok(Self::Leader(Server::new(&url)?)),
            Place::Database(address) => {
                let ledger = open(&address).await?;
                let leader = leader_of(ledger.as_ref()).await?;
                Ok(leader.map_or(Self::Named { address, ledger }, Self::Leader))
            }
            Place::Own => {
                // First: where there is no project, no ledger is made.
                let project = Project::load(&settings::project_dir(&args.project))?;
                let ledger = own(args).await?;
                let leader = leader_of(ledger.as_ref()).await?;
                Ok(leader.map_or(Self::Own { project, ledger }, Self::Leader))
            }
        }
    }
}

/// Where the arguments say that a command reads. A ledger whose leader answers is read through the leader, which
/// knows what is going on right now.
pub(crate) async fn look(args: &PlaceArgs) -> Result<Box<dyn Look>> {
    Ok(match Found::at(args).await? {
        Found::Leader(leader) => Box::new(leader),
        Found::Named { ledger, .. } => Box::new(LedgerSource::new(ledger, project_if_any(args)?)),
        Found::Own { project, ledger } => Box::new(LedgerSource::new(ledger, Some(project.definitions))),
    })
}

/// Opens a ledger that somebody else takes care of: its schema is theirs.
pub(crate) async fn open(address: &Address) -> Result<Arc<dyn Ledger>> {
    Ok(backstitch_coordinator::ledger::connect(address).await?)
}

/// Opens the project's own ledger, making it if there is none, and bringing its schema up to date.
pub(crate) async fn own(args: &PlaceArgs) -> Result<Arc<dyn Ledger>> {
    let address = settings::own_ledger(&args.project, &args.state)?;
    backstitch_coordinator::ledger::migrate(&address).await?;
    open(&address).await
}

/// The definitions of the project, if there is one: a named ledger can be read without.
fn project_if_any(args: &PlaceArgs) -> Result<Option<Arc<backstitch_proto::definition::Definitions>>> {
    let dir = settings::project_dir(&args.project);
    if args.project.project.is_none() && !dir.join(PROJECT_FILE).exists() {
        return Ok(None);
    }
    Ok(Some(Project::load(&dir)?.definitions))
}

/// A run as users name it: its id, or `latest`.
pub(crate) async fn find_run(look: &dyn Look, text: &str) -> Result<RunId> {
    if text == "latest" {
        let newest = look.runs(&RunsQuery { limit: 1, ..RunsQuery::default() }).await?;
        let newest = newest.first().ok_or_else(|| Invalid::one("there is no run yet"))?;
        return Ok(RunId(newest.id));
    }
    let hint = "`backstitch runs list` shows the ids, and `latest` is the newest";
    text.parse().map_err(|_| Invalid::one(format!("\"{text}\" is not the id of a run: {hint}")).into())
}
