//! From the row of a run to what the engine runs: partition spaces, mappings, and what workers are told.
//!
//! A run stays bound to the definitions and the moment that it was planned with, so that a leader of a later version
//! makes the same of the row as the one that wrote it.

use std::collections::BTreeMap;
use std::sync::Arc;

use backstitch_proto::definition::{Asset, Definitions, config};
use backstitch_proto::mapping::Mapper;
use backstitch_proto::message::{Executor, Invocation};
use backstitch_proto::partition::{PartitionSubset, Partitions};
use chrono::{DateTime, Utc};

use super::nonexistent;
use super::submission::SubmissionError;
use crate::engine::{AssetPlan, PoolUse, RunPlan, Upstream};
use crate::ledger::{PlannedAsset, RunRecord};

/// Binds a run to its definitions.
///
/// # Errors
/// When they do not have what the run names: only for definitions that it was not planned with.
pub fn bind(definitions: &Definitions, record: RunRecord) -> Result<RunPlan, SubmissionError> {
    let now = DateTime::from_timestamp_micros(record.evaluated_us).unwrap_or_default();
    let given: config::RunConfig =
        serde_json::from_str(&record.config_json).map_err(|error| fail(format!("config: {error}")))?;
    let config = resolve_config(definitions, record.job.as_deref(), &record.assets, &given)?;
    let mut assets: Vec<AssetPlan> = Vec::with_capacity(record.assets.len());
    for planned in &record.assets {
        let name = &planned.asset;
        let asset =
            definitions.asset(name).ok_or_else(|| fail(format!("asset \"{name}\" is not defined")))?;
        let partitions = partitions_of(definitions, name, now)
            .map_err(|error| fail(format!("asset \"{name}\": {error}")))?;
        let Dependencies { upstreams, waiting } =
            dependencies(definitions, &record, &partitions, &assets, now)?;
        let pool = asset.pool.as_ref().map(|used| PoolUse {
            name: used.name.as_str().into(),
            slots: used.slots.get(),
            limit: definitions.project().pools.get(&used.name).map_or(u32::MAX, |slots| slots.get()),
        });
        let config_json =
            config.get(name.as_ref()).map_or_else(|| "{}".to_owned(), |config| config.to_string());
        assets.push(AssetPlan {
            name: Arc::clone(name),
            invocation: Arc::new(invocation(asset, &partitions, record.job.clone(), config_json)),
            partitions,
            queue: asset.queue.as_str().into(),
            pool,
            retry: asset.retries.clone(),
            priority: asset.priority,
            upstreams,
            held: nonexistent::held(waiting),
        });
    }
    Ok(RunPlan { record, assets })
}

/// What workers are told of every execution of an asset.
fn invocation(
    asset: &Asset,
    partitions: &Partitions,
    job: Option<String>,
    config_json: String,
) -> Invocation {
    let executor = match &asset.command {
        None => Executor::Native,
        Some(command) => Executor::Command {
            command: command.clone(),
            env: asset.env.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        },
    };
    Invocation {
        executor,
        job,
        config_json,
        code_version: asset.code_version.clone(),
        partitioned: partitions.is_partitioned(),
        dimensions: partitions.dimension_names(),
        batch_size: asset.batch_size.get(),
        // Durations of a project are at most 366 days.
        timeout_ms: asset.timeout.map(|timeout| timeout.get().as_millis() as u64),
        grace_ms: asset.grace.get().as_millis() as u64,
    }
}

/// What the tasks of an asset depend on.
#[derive(Default)]
struct Dependencies {
    /// Assets of the same run.
    upstreams: Vec<Upstream>,
    /// Tasks that wait for a window of an upstream to begin to exist, by when it does.
    waiting: BTreeMap<DateTime<Utc>, PartitionSubset>,
}

/// Of the asset that comes after `assets` in the run.
fn dependencies(
    definitions: &Definitions,
    record: &RunRecord,
    partitions: &Partitions,
    assets: &[AssetPlan],
    now: DateTime<Utc>,
) -> Result<Dependencies, SubmissionError> {
    let Some(planned) = record.assets.get(assets.len()) else { return Ok(Dependencies::default()) };
    let name = &planned.asset;
    let mut found = Dependencies::default();
    let later = record.assets.iter().skip(assets.len() + 1);
    for edge in definitions.upstreams(name) {
        let place =
            |problem: String| fail(format!("asset \"{name}\", dependency \"{}\": {problem}", edge.upstream));
        let index = match edge.upstream.as_str() == &**name {
            true => Some(assets.len()),
            false => assets.iter().position(|plan| *plan.name == *edge.upstream.as_str()),
        };
        if later.clone().any(|later| *later.asset == *edge.upstream.as_str()) {
            return Err(place("it comes later in the run than what needs it".to_owned()));
        }
        // What is outside of the run is not waited for, but it must exist.
        let upstream = match index {
            Some(index) => assets.get(index).map_or(partitions, |plan| &plan.partitions).clone(),
            None => partitions_of(definitions, edge.upstream.as_str(), now).map_err(place)?,
        };
        let mapper =
            Mapper::new(&edge.mapping, &upstream, partitions).map_err(|error| place(error.to_string()))?;
        for (until, tasks) in mapper.blocked(&planned.targets).waiting {
            *found.waiting.entry(until).or_default() |= &tasks;
        }
        found.upstreams.extend(index.map(|index| Upstream { index, mapper }));
    }
    Ok(found)
}

/// Config of each asset, defaults filled in; what the run gives goes before what its job gives.
pub(super) fn resolve_config(
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

fn partitions_of(definitions: &Definitions, asset: &str, now: DateTime<Utc>) -> Result<Partitions, String> {
    definitions.resolve_partitions(asset, now).map_err(|error| error.to_string())
}

fn fail(problem: String) -> SubmissionError {
    SubmissionError { problems: vec![problem] }
}
