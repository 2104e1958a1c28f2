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
use backstitch_proto::message::{Executor, Invocation};
use backstitch_proto::partition::{NoDynamicKeys, PartitionSubset, Partitions, PartitionsDefinition};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::catalog::Catalog;
use super::command::{Filter, PlanPreview, PlannedTasks, PlannedWait, Submission, SubmissionError};
use super::missing;
use crate::engine::{AssetPlan, PoolUse, RunPlan, Upstream};
use crate::ledger::{PlannedAsset, RunOrigin, RunRecord};

/// Ranges of partitions that a preview lists per asset.
const PREVIEW_RANGES: usize = 5;

/// What a submission comes to.
pub(super) struct Planned {
    pub(super) preview: PlanPreview,
    pub(super) assets: Vec<PlannedAsset>,
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
    let mut planned = Planned { preview: PlanPreview::default(), assets: Vec::new() };
    for name in definitions.topological().iter().filter(|name| selected.contains(*name)) {
        let Some(status) = catalog.asset_at(name.as_str(), now) else {
            problems
                .push(format!("asset \"{name}\": its partitions cannot be told; see the coordinator's log"));
            continue;
        };
        let status = status.clone();
        let partitions = status.partitions.clone();
        let subset = match select_partitions(submission, &definitions, name, &partitions, &chosen) {
            Ok(subset) => subset,
            Err(problem) => {
                problems.push(problem);
                continue;
            }
        };
        let targets = match submission.filter {
            Filter::All => subset.clone(),
            Filter::Missing => subset.difference(&status.materialized),
            Filter::Failed => subset.intersection(&status.failed),
        };
        let mut tasks = planned_tasks(name.as_str(), &partitions, &subset, &targets);
        match waits(name.as_str(), &partitions, &targets, catalog, now) {
            Ok(waits) => tasks.waits = waits,
            Err(missing) => problems.extend(missing),
        }
        planned.preview.assets.push(tasks);
        planned.preview.tasks += targets.len();
        planned.assets.push(PlannedAsset { asset: name.as_str().into(), targets });
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
    let mut planned = Planned { preview: PlanPreview::default(), assets: Vec::new() };
    for (at, (before, asset)) in ended.record.assets.iter().zip(&ended.assets).enumerate() {
        // An asset or a partition that is no longer defined has nothing to retry.
        let Some(status) = catalog.asset_at(&asset.name, now) else { continue };
        let rest =
            succeeded.get(at).map_or_else(|| before.targets.clone(), |done| before.targets.difference(done));
        let partitions = status.partitions.clone();
        let targets = asset.partitions.carry_over(&rest, &partitions).subset;
        let mut tasks = planned_tasks(&asset.name, &partitions, &targets, &targets);
        match waits(&asset.name, &partitions, &targets, catalog, now) {
            Ok(waits) => tasks.waits = waits,
            Err(missing) => problems.extend(missing),
        }
        planned.preview.assets.push(tasks);
        planned.preview.tasks += targets.len();
        planned.assets.push(PlannedAsset { asset: Arc::clone(&asset.name), targets });
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
        match missing::waits(edge, &upstream.partitions, partitions, targets) {
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

/// Binds a run to its definitions: partition spaces, mappings and what workers are told.
pub fn bind(definitions: &Definitions, record: RunRecord) -> Result<RunPlan, SubmissionError> {
    let fail = |problem: String| SubmissionError { problems: vec![problem] };
    let now = DateTime::from_timestamp_micros(record.evaluated_us).unwrap_or_default();
    let config: config::RunConfig =
        serde_json::from_str(&record.config_json).map_err(|error| fail(format!("config: {error}")))?;
    let config = resolve_config(definitions, record.job.as_deref(), &record.assets, &config)?;
    let mut assets: Vec<AssetPlan> = Vec::with_capacity(record.assets.len());
    for planned in &record.assets {
        let name = &planned.asset;
        let asset =
            definitions.asset(name).ok_or_else(|| fail(format!("asset \"{name}\" is not defined")))?;
        let partitions = partitions_of(definitions, name)
            .resolve(now, &NoDynamicKeys)
            .map_err(|error| fail(format!("asset \"{name}\": {error}")))?;
        let executor = match &asset.command {
            None => Executor::Native,
            Some(command) => Executor::Command {
                command: command.clone(),
                env: asset.env.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            },
        };
        let config_json =
            config.get(name.as_ref()).map_or_else(|| "{}".to_owned(), |config| config.to_string());
        let invocation = Invocation {
            executor,
            job: record.job.clone(),
            config_json,
            code_version: asset.code_version.clone(),
            partitioned: partitions.is_partitioned(),
            dimensions: partitions.dimension_names(),
            batch_size: asset.batch_size.get(),
            // Durations of a project are at most 366 days.
            timeout_ms: asset.timeout.map(|timeout| timeout.get().as_millis() as u64),
            grace_ms: asset.grace.get().as_millis() as u64,
        };
        let pool = asset.pool.as_ref().map(|used| PoolUse {
            name: used.name.as_str().into(),
            slots: used.slots.get(),
            limit: definitions.project().pools.get(&used.name).map_or(u32::MAX, |slots| slots.get()),
        });
        let mut upstreams = Vec::new();
        let mut waiting: BTreeMap<_, PartitionSubset> = BTreeMap::new();
        for edge in definitions.upstreams(name) {
            let place = |problem: String| {
                fail(format!("asset \"{name}\", dependency \"{}\": {problem}", edge.upstream))
            };
            let index = match edge.upstream.as_str() == &**name {
                true => Some(assets.len()),
                false => assets.iter().position(|plan| *plan.name == *edge.upstream.as_str()),
            };
            // What is outside of the run is not waited for, but it must exist.
            let upstream = match index {
                Some(index) => assets.get(index).map_or(&partitions, |plan| &plan.partitions).clone(),
                None => partitions_of(definitions, edge.upstream.as_str())
                    .resolve(now, &NoDynamicKeys)
                    .map_err(|error| place(error.to_string()))?,
            };
            let mapper = Mapper::new(&edge.mapping, &upstream, &partitions)
                .map_err(|error| place(error.to_string()))?;
            for (until, tasks) in mapper.blocked(&planned.targets).waiting {
                *waiting.entry(until).or_default() |= &tasks;
            }
            upstreams.extend(index.map(|index| Upstream { index, mapper }));
        }
        assets.push(AssetPlan {
            name: Arc::clone(name),
            partitions,
            invocation: Arc::new(invocation),
            queue: asset.queue.as_str().into(),
            pool,
            retry: asset.retries.clone(),
            priority: asset.priority,
            upstreams,
            held: missing::held(waiting),
        });
    }
    Ok(RunPlan { record, assets })
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
            let job = definitions.job(job).ok_or_else(|| fail(format!("job \"{job}\" is not defined")))?;
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
        let of_this = mapper.downstream_of(subset);
        mapped = Some(mapped.map_or_else(|| of_this.clone(), |so_far| so_far.union(&of_this)));
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

/// Config of each asset, defaults filled in; what the run gives goes before what its job gives.
fn resolve_config(
    definitions: &Definitions,
    job: Option<&str>,
    assets: &[PlannedAsset],
    given: &config::RunConfig,
) -> Result<BTreeMap<String, serde_json::Value>, SubmissionError> {
    let mut config =
        job.and_then(|job| definitions.job(job)).map(|job| job.config.clone()).unwrap_or_default();
    config.extend(given.clone());
    let known = &definitions.project().assets;
    let selected = assets.iter().filter_map(|planned| Some(known.get_key_value(&*planned.asset)?.0));
    let resolved = config::resolve(definitions, selected, &config)
        .map_err(|errors| SubmissionError { problems: errors.0.iter().map(ToString::to_string).collect() })?;
    Ok(resolved
        .into_iter()
        .map(|(name, config)| (name.to_string(), serde_json::Value::Object(config)))
        .collect())
}

fn partitions_of<'a>(definitions: &'a Definitions, asset: &str) -> &'a PartitionsDefinition {
    definitions.partitions_of(asset).unwrap_or(&PartitionsDefinition::Unpartitioned)
}

fn planned_tasks(
    name: &str,
    partitions: &Partitions,
    selected: &PartitionSubset,
    targets: &PartitionSubset,
) -> PlannedTasks {
    let mut shown = Vec::new();
    let mut more_ranges = 0;
    if partitions.is_partitioned() {
        shown.extend(partitions.key_ranges(targets).take(PREVIEW_RANGES).map(|range| range.to_text()));
        more_ranges = partitions.count_key_ranges(targets) - shown.len() as u64;
    }
    PlannedTasks {
        asset: name.to_string(),
        selected: selected.len(),
        tasks: targets.len(),
        partitions: shown,
        more_ranges,
        waits: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preview_names_the_first_ranges_as_they_are_selected_and_counts_the_others() {
        let keys: Vec<String> = (0..20).map(|at| format!("day {at}, all")).collect();
        let days = PartitionsDefinition::of_keys(keys).resolve(DateTime::<Utc>::UNIX_EPOCH, &NoDynamicKeys);
        let days = days.expect("a list");
        let targets: PartitionSubset = (0..20).filter(|at| at % 3 != 2).collect();
        let planned = planned_tasks("report", &days, &days.all(), &targets);
        assert_eq!((planned.tasks, planned.partitions.len(), planned.more_ranges), (14, PREVIEW_RANGES, 2));
        assert_eq!(planned.partitions[0], "\"day 0, all\"...\"day 1, all\"");
        let shown = days.parse(&planned.partitions.join(", ")).expect("it reads back");
        assert_eq!(shown, targets.iter().take(2 * PREVIEW_RANGES).collect());
    }
}
