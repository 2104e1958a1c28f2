//! Somebody who leads, for requests: whoever leads already, or this process for a moment.

use anyhow::{Result, anyhow, bail};
use async_trait::async_trait;
use backstitch_coordinator::ledger::Address;
use backstitch_coordinator::service::{Handle, PlanPreview, Submission, Submitted};
use backstitch_proto::id::RunId;

use super::{Ask, Found, LedgerSource, Look, Server};
use crate::embedded::{Embedded, Roles};
use crate::exit::refused;
use crate::project::Project;
use crate::settings::PlaceArgs;

/// A leader, and its ledger.
pub(crate) struct Leading {
    /// For reading.
    pub(crate) look: Box<dyn Look>,
    /// For requests.
    pub(crate) ask: Box<dyn Ask>,
    /// The coordinator in this process, if it is one.
    pub(crate) embedded: Option<Embedded>,
}

impl Leading {
    /// A coordinator elsewhere.
    pub(crate) fn at(server: Server) -> Self {
        Self { look: Box::new(server.clone()), ask: Box::new(server), embedded: None }
    }

    /// This process.
    pub(crate) fn here(embedded: Embedded) -> Self {
        let handle = embedded.handle().clone();
        Self {
            look: Box::new(LedgerSource::of_leader(handle.clone())),
            ask: Box::new(handle),
            embedded: Some(embedded),
        }
    }

    /// Whoever leads where the arguments point to. The ledger of a project that nobody works on is led from here,
    /// in the given roles.
    pub(crate) async fn find(args: &PlaceArgs, roles: impl FnOnce(&Project) -> Roles) -> Result<Self> {
        match Found::at(args).await? {
            Found::Leader(leader) => Ok(Self::at(leader)),
            Found::Named { address, .. } => Err(no_leader(&address)),
            Found::Own { project, ledger } => {
                let roles = roles(&project);
                Ok(Self::here(Embedded::start(&project, ledger, roles).await?))
            }
        }
    }

    /// Whoever leads already, in another process.
    pub(crate) async fn elsewhere(args: &PlaceArgs) -> Result<Self> {
        match Found::at(args).await? {
            Found::Leader(leader) => Ok(Self::at(leader)),
            Found::Named { address, .. } => Err(no_leader(&address)),
            Found::Own { .. } => bail!(
                "no process works on this project's ledger: the next `backstitch backfill` or `backstitch dev` \
                 goes on with its runs"
            ),
        }
    }

    /// Ends what runs in this process.
    pub(crate) async fn stop(self) -> Result<()> {
        match self.embedded {
            Some(embedded) => embedded.stop().await,
            None => Ok(()),
        }
    }
}

/// How a ledger that was named comes to a leader.
pub(crate) const LEADER_MEND: &str = "start one with `backstitch coordinator`, or name it with --server URL";

/// Nobody leads on a ledger that was named.
pub(crate) fn no_leader(address: &Address) -> anyhow::Error {
    anyhow!("no coordinator leads on {address}, or it is not reached from here: {LEADER_MEND}")
}

#[async_trait]
impl Ask for Handle {
    async fn plan(&self, submission: &Submission) -> Result<PlanPreview> {
        Self::plan(self, submission.clone()).await.map_err(refused)
    }

    async fn submit(&self, submission: &Submission) -> Result<Submitted> {
        Self::submit(self, submission.clone()).await.map_err(refused)
    }

    async fn retry(&self, run: RunId) -> Result<Submitted> {
        Self::retry(self, run).await.map_err(refused)
    }

    async fn cancel(&self, run: RunId) -> Result<()> {
        Self::cancel(self, run).await.map_err(refused)
    }

    async fn pause(&self, run: RunId, paused: bool) -> Result<()> {
        Self::pause(self, run, paused).await.map_err(refused)
    }

    async fn reprioritise(&self, run: RunId, priority: i32) -> Result<()> {
        Self::reprioritise(self, run, priority).await.map_err(refused)
    }

    async fn throttle(&self, run: RunId, max_parallel: u32) -> Result<()> {
        let bound = (max_parallel > 0).then_some(max_parallel);
        Self::throttle(self, run, bound).await.map_err(refused)
    }

    async fn violations(&self) -> Result<Vec<String>> {
        let found = Self::violations(self).await.map_err(refused)?;
        Ok(found.iter().map(ToString::to_string).collect())
    }
}
