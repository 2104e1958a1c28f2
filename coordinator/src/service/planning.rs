//! From a submission to tasks: pure, given the catalog.
//!
//! Partitions are selected at the roots: a selected asset without a selected partitioned upstream takes the text as
//! written; what is downstream of it takes the partitions that depend on those, through the mappings. So
//! `readings+` over one day means that day's readings, its summary, and the month that it is in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use backstitch_proto::definition::{AssetName, Definitions, config, selection::Selection};
use backstitch_proto::id::RunId;
use backstitch_proto::mapping::Mapper;
use backstitch_proto::partition::{PartitionSubset, Partitions};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::binding::resolve_config;
use super::catalog::{AssetStatus, Catalog};
use super::nonexistent;
use super::submission::{Filter, PlanPreview, PlannedTasks, PlannedWait, Submission, SubmissionError};
use crate::engine::RunPlan;
use crate::ledger::{PlannedAsset, RunOrigin, RunRecord};

/// Ranges of partitions that a preview lists per asset.
const PREVIEW_RANGES: usize = 5;

/// What a submission comes to.
#[derive(Default)]
pub(super) struct Planned {
    pub(super) preview: PlanPreview,
    pub(super) assets: Vec<PlannedAsset>,
}

impl Planned {
    /// Adds an asset, of which `selected` were asked for and `targets` are to run.
    fn add(
        &mut self,
        asset: Arc<str>,
        partitions: &Partitions,
        selected: u64,
        targets: PartitionSubset,
        waits: Vec<PlannedWait>,
    ) {
        self.preview.assets.push(planned_tasks(&asset, partitions, selected, &targets, waits));
        self.preview.tasks += targets.len();
        self.assets.push(PlannedAsset { asset, targets });
    }
}

/// What a submission would run in a project of which nothing is materialized.
///
/// # Errors
/// When the submission makes no sense, with everything that is wrong with it.
pub fn preview(
    submission: &Submission,
    definitions: &Arc<Definitions>,
    now_us: i64,
) -> Result<PlanPreview, SubmissionError> {
    let now = DateTime::from_timestamp_micros(now_us).unwrap_or_default();
    plan(submission, &mut Catalog::empty(definitions, now), now_us).map(|planned| planned.preview)
}

/// Works out what a submission would run.
pub(super) fn plan(
    submission: &Submission,
    catalog: &mut Catalog,
    now_us: i64,
) -> Result<Planned, SubmissionError> {
    let definitions = catalog.definitions();
    let selected = select_assets(submission, &definitions)?;
    check_config(submission, &definitions, &selected)?;
    let now = DateTime::from_timestamp_micros(now_us).unwrap_or_default();
    let mut problems = Vec::new();
    let mut chosen: BTreeMap<AssetName, (Partitions, PartitionSubset)> = BTreeMap::new();
    let mut planned = Planned::default();
    for name in definitions.topological().iter().filter(|name| selected.contains(*name)) {
        let Some(status) = catalog.asset_at(name.as_str(), now) else {
            problems
                .push(format!("asset \"{name}\": its partitions cannot be told; see the coordinator's log"));
            continue;
        };
        let AssetStatus { partitions, materialized, failed } = status.clone();
        let subset = match select_partitions(submission, &definitions, name, &partitions, &chosen) {
            Ok(subset) => subset,
            Err(problem) => {
                problems.push(problem);
                continue;
            }
        };
        let targets = match submission.filter {
            Filter::All => subset.clone(),
            Filter::Missing => subset.difference(&materialized),
            Filter::Failed => subset.intersection(&failed),
        };
        match waits(name.as_str(), &partitions, &targets, catalog, now) {
            Ok(waits) => planned.add(name.as_str().into(), &partitions, subset.len(), targets, waits),
            Err(missing) => problems.extend(missing),
        }
        chosen.insert(name.clone(), (partitions, subset));
    }
    if problems.is_empty() { Ok(planned) } else { Err(SubmissionError { problems }) }
}

/// What is left of an ended run: its tasks that did not succeed, in today's partition spaces.
///
/// `ended` is the run, bound to the definitions that it was pinned to; `succeeded` has one set per asset of it.
///
/// # Errors
/// When tasks need upstream partitions that do not exist (any more).
pub(super) fn rest_of(
    ended: &RunPlan,
    succeeded: &[PartitionSubset],
    catalog: &mut Catalog,
    now_us: i64,
) -> Result<Planned, SubmissionError> {
    let now = DateTime::from_timestamp_micros(now_us).unwrap_or_default();
    let mut problems = Vec::new();
    let mut planned = Planned::default();
    // In the order of today, which may have other dependencies. An asset or a partition that is no longer defined has
    // nothing to retry.
    for name in catalog.definitions().topological() {
        let Some(at) = ended.assets.iter().position(|asset| *asset.name == *name.as_str()) else { continue };
        let (before, asset) = (&ended.record.assets[at], &ended.assets[at]);
        let Some(status) = catalog.asset_at(&asset.name, now) else { continue };
        let rest =
            succeeded.get(at).map_or_else(|| before.targets.clone(), |done| before.targets.difference(done));
        let partitions = status.partitions.clone();
        let targets = asset.partitions.carry_over(&rest, &partitions).subset;
        match waits(&asset.name, &partitions, &targets, catalog, now) {
            Ok(waits) => planned.add(Arc::clone(&asset.name), &partitions, targets.len(), targets, waits),
            Err(missing) => problems.extend(missing),
        }
    }
    if problems.is_empty() { Ok(planned) } else { Err(SubmissionError { problems }) }
}

/// What the tasks of an asset wait for; everything that they need and that will never exist is a problem.
fn waits(
    name: &str,
    partitions: &Partitions,
    targets: &PartitionSubset,
    catalog: &mut Catalog,
    now: DateTime<Utc>,
) -> Result<Vec<PlannedWait>, Vec<String>> {
    let definitions = catalog.definitions();
    let (mut waits, mut problems) = (Vec::new(), Vec::new());
    for edge in definitions.upstreams(name) {
        let Some(upstream) = catalog.asset_at(edge.upstream.as_str(), now) else { continue };
        match nonexistent::waits(edge, &upstream.partitions, partitions, targets) {
            Ok(wait) => waits.extend(wait),
            Err(problem) => problems.push(format!("asset \"{name}\", {problem}")),
        }
    }
    if problems.is_empty() { Ok(waits) } else { Err(problems) }
}

/// The row of the run that a submission becomes.
pub(super) fn record(
    submission: &Submission,
    assets: Vec<PlannedAsset>,
    catalog: &Catalog,
    now_us: i64,
) -> RunRecord {
    let tasks: u64 = assets.iter().map(|asset| asset.targets.len()).sum();
    let fallback = if tasks > 1 { RunOrigin::Backfill } else { RunOrigin::Manual };
    RunRecord {
        id: RunId(Uuid::now_v7()),
        origin: submission.origin.unwrap_or(fallback),
        job: submission.job.clone(),
        selection: submission.assets.clone().or_else(|| submission.job.clone()).unwrap_or_default(),
        partitions: submission.partitions.clone(),
        client_key: submission.client_key.clone(),
        priority: submission.priority.unwrap_or(0),
        max_parallel: submission.max_parallel.filter(|bound| *bound > 0),
        tags: submission.tags.clone().into_iter().collect(),
        config_json: serde_json::Value::Object(submission.config.clone()).to_string(),
        definitions: catalog.fingerprint().to_owned(),
        evaluated_us: now_us,
        created_us: now_us,
        traceparent: submission.traceparent.clone(),
        assets,
    }
}

fn select_assets(
    submission: &Submission,
    definitions: &Definitions,
) -> Result<BTreeSet<AssetName>, SubmissionError> {
    let fail = |problem: String| SubmissionError { problems: vec![problem] };
    let text = match (&submission.assets, &submission.job) {
        (Some(_), Some(_)) => return Err(fail("give either `assets` or `job`, not both".to_owned())),
        (None, None) => return Err(fail("give `assets` or `job`; `*` selects every asset".to_owned())),
        (Some(assets), None) => assets.clone(),
        (None, Some(job)) => {
            let job = definitions.job(job).ok_or_else(|| fail(definitions.job_not_defined(job)))?;
            job.select.clone()
        }
    };
    let selection: Selection = text.parse().map_err(|error| fail(format!("assets: {error}")))?;
    selection
        .resolve(definitions.project())
        .map_err(|errors| SubmissionError { problems: errors.0.iter().map(ToString::to_string).collect() })
}

fn select_partitions(
    submission: &Submission,
    definitions: &Definitions,
    name: &AssetName,
    partitions: &Partitions,
    chosen: &BTreeMap<AssetName, (Partitions, PartitionSubset)>,
) -> Result<PartitionSubset, String> {
    let Some(text) = &submission.partitions else { return Ok(partitions.all()) };
    let mut mapped: Option<PartitionSubset> = None;
    for edge in definitions.upstreams(name.as_str()).filter(|edge| edge.upstream != *name) {
        let Some((upstream, subset)) = chosen.get(&edge.upstream) else { continue };
        if !upstream.is_partitioned() {
            continue;
        }
        let mapper = Mapper::new(&edge.mapping, upstream, partitions)
            .map_err(|error| format!("asset \"{name}\", dependency \"{}\": {error}", edge.upstream))?;
        *mapped.get_or_insert_default() |= &mapper.downstream_of(subset);
    }
    match mapped {
        Some(mapped) => Ok(mapped),
        None if !partitions.is_partitioned() => Ok(partitions.all()),
        None => partitions.parse(text).map_err(|error| format!("asset \"{name}\", partitions: {error}")),
    }
}

fn check_config(
    submission: &Submission,
    definitions: &Definitions,
    selected: &BTreeSet<AssetName>,
) -> Result<(), SubmissionError> {
    let given: config::RunConfig = submission.config.clone().into_iter().collect();
    let assets: Vec<PlannedAsset> = selected
        .iter()
        .map(|name| PlannedAsset { asset: name.as_str().into(), targets: PartitionSubset::default() })
        .collect();
    resolve_config(definitions, submission.job.as_deref(), &assets, &given).map(|_| ())
}

fn planned_tasks(
    name: &str,
    partitions: &Partitions,
    selected: u64,
    targets: &PartitionSubset,
    waits: Vec<PlannedWait>,
) -> PlannedTasks {
    let mut shown = Vec::new();
    let mut more_ranges = 0;
    if partitions.is_partitioned() {
        shown.extend(partitions.key_ranges(targets).take(PREVIEW_RANGES).map(|range| range.to_text()));
        more_ranges = partitions.count_key_ranges(targets) - shown.len() as u64;
    }
    PlannedTasks {
        asset: name.to_string(),
        selected,
        tasks: targets.len(),
        partitions: shown,
        more_ranges,
        waits,
    }
}

#[cfg(test)]
mod tests {
    use backstitch_proto::partition::{NoDynamicKeys, PartitionsDefinition};

    use super::*;

    #[test]
    fn a_preview_names_the_first_ranges_as_they_are_selected_and_counts_the_others() {
        let keys: Vec<String> = (0..20).map(|at| format!("day {at}, all")).collect();
        let days = PartitionsDefinition::of_keys(keys).resolve(DateTime::<Utc>::UNIX_EPOCH, &NoDynamicKeys);
        let days = days.expect("a list");
        let targets: PartitionSubset = (0..20).filter(|at| at % 3 != 2).collect();
        let planned = planned_tasks("report", &days, days.all().len(), &targets, Vec::new());
        assert_eq!((planned.tasks, planned.partitions.len(), planned.more_ranges), (14, PREVIEW_RANGES, 2));
        assert_eq!(planned.partitions[0], "\"day 0, all\"...\"day 1, all\"");
        let shown = days.parse(&planned.partitions.join(", ")).expect("it reads back");
        assert_eq!(shown, targets.iter().take(2 * PREVIEW_RANGES).collect());
    }
}
