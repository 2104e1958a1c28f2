//! Reading a ledger directly. With a coordinator in this process, what is not in the ledger yet comes from it.

use std::sync::Arc;

use anyhow::Result;
use async_trait::async_trait;
use backstitch_coordinator::api::{
    AssetView, AttemptView, Listing, MaterializationView, RunView, WorkerView,
};
use backstitch_coordinator::engine::Counts;
use backstitch_coordinator::ledger::{
    AttemptQuery, Ledger, LiveRun, MaterializationQuery, PAGE_ROWS_MAX, RunFilter, RunSummary,
};
use backstitch_coordinator::service::{AssetStatusView, Handle};
use backstitch_proto::definition::Definitions;
use backstitch_proto::id::RunId;
use backstitch_proto::partition::{PartitionSubset, Partitions};
use chrono::{DateTime, Utc};

use super::{AttemptsQuery, Look, RunsQuery};
use crate::exit::{Invalid, refused};

/// A ledger, and what helps to understand it.
pub(crate) struct LedgerSource {
    ledger: Arc<dyn Ledger>,
    /// Needed for whatever speaks of assets and of partitions that are missing.
    definitions: Option<Arc<Definitions>>,
    /// The leader of this ledger, if it is this process.
    leader: Option<Handle>,
}

impl LedgerSource {
    /// Reads a ledger that nobody leads, as far as we can see.
    pub(crate) fn new(ledger: Arc<dyn Ledger>, definitions: Option<Arc<Definitions>>) -> Self {
        Self { ledger, definitions, leader: None }
    }

    /// Reads the ledger of the leader in this process.
    pub(crate) fn of_leader(handle: Handle) -> Self {
        let (ledger, definitions) = (Arc::clone(handle.ledger()), Arc::clone(handle.definitions()));
        Self { ledger, definitions: Some(definitions), leader: Some(handle) }
    }

    fn definitions(&self) -> Result<&Definitions> {
        let hint = "assets are defined in a project: name its folder with --project DIR";
        self.definitions.as_deref().ok_or_else(|| Invalid::one(hint).into())
    }

    /// Refuses an asset that is not defined, where that can be told.
    fn check_asset(&self, asset: &str) -> Result<()> {
        match &self.definitions {
            Some(definitions) if definitions.asset(asset).is_none() => {
                Err(Invalid::one(definitions.not_defined(asset)).into())
            }
            _ => Ok(()),
        }
    }

    /// Runs as they are shown; what is live is read once for all of them.
    async fn views(&self, summaries: Vec<RunSummary>) -> Result<Vec<RunView>> {
        let live = match summaries.iter().all(|summary| summary.status.is_terminal()) {
            true => Vec::new(),
            false => self.ledger.load_live().await?.runs,
        };
        let view = |summary: RunSummary| {
            let found = live.iter().find(|run| run.record.id == summary.record.id);
            let mut view = RunView::new(summary, None);
            if let Some(run) = found {
                let counts: Vec<Counts> = counts(run).collect();
                for (asset, counts) in view.assets.iter_mut().zip(&counts) {
                    asset.counts = Some(*counts);
                }
                view.counts = Some(counts.into_iter().fold(Counts::default(), Counts::plus));
            }
            view
        };
        Ok(summaries.into_iter().map(view).collect())
    }

    async fn status(&self, asset: &str, live: &[LiveRun]) -> Result<AssetStatusView> {
        let definitions = self.definitions()?;
        self.check_asset(asset)?;
        let partitions = definitions.resolve_partitions(asset, Utc::now())?;
        let (mut materialized, mut failed) = (PartitionSubset::new(), PartitionSubset::new());
        let mut read = |key: &str, state: backstitch_coordinator::ledger::PartitionState| {
            // A key that the definitions no longer have stays in the ledger, and comes back with them.
            if let Ok(ordinal) = partitions.ordinal(key) {
                if state.materialized {
                    materialized.insert(ordinal);
                }
                if state.failed {
                    failed.insert(ordinal);
                }
            }
        };
        self.ledger.partition_states(asset, &mut read).await?;
        let mut in_progress = PartitionSubset::new();
        for run in live {
            in_progress = in_progress.union(&self.open_tasks(run, asset, &partitions).await?);
        }
        Ok(AssetStatusView::new(asset, &partitions, &materialized, &failed, &in_progress, 0, usize::MAX))
    }

    /// The tasks of a live run that have not ended, in today's partition space.
    async fn open_tasks(&self, run: &LiveRun, asset: &str, today: &Partitions) -> Result<PartitionSubset> {
        let at = run.record.assets.iter().position(|planned| *planned.asset == *asset);
        let Some((planned, done)) = at.and_then(|at| Some((run.record.assets.get(at)?, run.assets.get(at)?)))
        else {
            return Ok(PartitionSubset::new());
        };
        let open =
            planned.targets.difference(&done.succeeded).difference(&done.failed).difference(&done.cancelled);
        let Some(json) = self.ledger.definitions(&run.record.definitions).await? else { return Ok(open) };
        let pinned: Definitions = serde_json::from_str(&json)?;
        let evaluated = DateTime::from_timestamp_micros(run.record.evaluated_us).unwrap_or_default();
        let then = pinned.resolve_partitions(asset, evaluated)?;
        Ok(then.carry_over(&open, today).subset)
    }
}

#[async_trait]
impl Look for LedgerSource {
    async fn runs(&self, query: &RunsQuery) -> Result<Vec<RunView>> {
        let mut views = Vec::new();
        let mut cursor = None;
        while views.len() < query.limit {
            let filter = RunFilter {
                status: query.status,
                asset: query.asset.clone(),
                origin: None,
                limit: PAGE_ROWS_MAX.min((query.limit - views.len()) as u32),
                cursor,
            };
            let page = self.ledger.runs(&filter).await?;
            views.extend(self.views(page.items).await?);
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        Ok(views)
    }

    async fn run(&self, id: RunId) -> Result<RunView> {
        // A run that ends in between is in the ledger by then: ask the leader first.
        if let Some(leader) = &self.leader
            && let Some(live) = leader.live_run(id).await.map_err(refused)?
        {
            return Ok(RunView::live(live));
        }
        let unknown = || Invalid::one(format!("there is no run {id}"));
        let summary = self.ledger.run(id).await?.ok_or_else(unknown)?;
        Ok(self.views(vec![summary]).await?.pop().ok_or_else(unknown)?)
    }

    async fn attempts(&self, query: AttemptsQuery) -> Result<Vec<AttemptView>> {
        let mut views: Vec<AttemptView> = Vec::new();
        let mut cursor = None;
        while views.len() < query.limit {
            let asked = AttemptQuery {
                only_unsuccessful: query.failed,
                with_output: query.output,
                limit: PAGE_ROWS_MAX.min((query.limit - views.len()) as u32),
                cursor,
                ..AttemptQuery::of_run(query.run)
            };
            let page = self.ledger.attempts(&asked).await?;
            views.extend(page.items.into_iter().map(AttemptView::from));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        Ok(views)
    }

    async fn assets(&self) -> Result<Vec<AssetView>> {
        let definitions = self.definitions()?;
        let live = self.ledger.load_live().await?.runs;
        let mut views = Vec::new();
        for name in definitions.topological() {
            let status = self.status(name.as_str(), &live).await?;
            views.extend(AssetView::new(definitions, name, status.counts));
        }
        Ok(views)
    }

    async fn partitions(&self, asset: &str) -> Result<AssetStatusView> {
        let live = self.ledger.load_live().await?.runs;
        self.status(asset, &live).await
    }

    async fn materializations(
        &self,
        asset: &str,
        partition: Option<&str>,
        cursor: Option<String>,
    ) -> Result<Listing<MaterializationView>> {
        self.check_asset(asset)?;
        let query = MaterializationQuery {
            asset: asset.to_owned(),
            partition_keys: partition.map(|key| vec![key.to_owned()]),
            limit: PAGE_ROWS_MAX,
            cursor,
        };
        let page = self.ledger.materializations(&query).await?;
        Ok(Listing {
            items: page.items.into_iter().map(MaterializationView::from).collect(),
            next: page.next,
        })
    }

    async fn workers(&self) -> Result<Vec<WorkerView>> {
        // Workers are known to a leader only: where nobody leads, nobody has heard of any.
        let Some(leader) = &self.leader else { return Ok(Vec::new()) };
        Ok(leader.workers().await.map_err(refused)?.into_iter().map(WorkerView::from).collect())
    }
}

/// Tasks per state, as far as the ledger tells: what has not ended waits.
fn counts(run: &LiveRun) -> impl Iterator<Item = Counts> + '_ {
    run.record.assets.iter().zip(&run.assets).map(|(planned, done)| {
        let targeted = planned.targets.len();
        let (succeeded, failed, cancelled) = (done.succeeded.len(), done.failed.len(), done.cancelled.len());
        let waiting = targeted - succeeded - failed - cancelled;
        Counts { targeted, waiting, succeeded, failed, cancelled, ..Counts::default() }
    })
}
