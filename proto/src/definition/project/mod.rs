//! A project as it is written: the types behind `backstitch.yaml`, its JSON Schema and the pinned JSON.
//!
//! These are plain data with public fields; being well typed is all that they promise. What holds between them
//! (names that exist, no cycles, mappings that fit) is promised by [`Definitions`](super::Definitions), which is
//! the only thing the rest of the system works with.

mod asset;
mod retries;
mod short_form;

use std::{collections::BTreeMap, num::NonZeroU32};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::{
    asset::{Asset, AssetPartitions, Dep, PoolUse},
    retries::{Backoff, Jitter, Retries},
};
use super::{
    config::RunConfig,
    name::{AssetName, CalendarName, JobName, PartitionsName, PoolName, QueueName},
};
use crate::partition::{Calendar, PartitionsDefinition};

/// Everything a project defines.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Project {
    /// Sets of days that partitions definitions may name, such as the trading days of an exchange.
    // Empty in checked definitions: the days stand where they were named.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub calendars: BTreeMap<CalendarName, Calendar>,
    /// Partitions definitions that several assets share, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub partitions: BTreeMap<PartitionsName, PartitionsDefinition>,
    /// The data products, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub assets: BTreeMap<AssetName, Asset>,
    /// Selections of assets that are launched together, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub jobs: BTreeMap<JobName, Job>,
    /// Concurrency budgets: how many slots of each pool may be taken at once, over all runs and workers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pools: BTreeMap<PoolName, NonZeroU32>,
    /// Worker queues. Optional: when there are any, an asset's queue must be one of them or `default`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub queues: BTreeMap<QueueName, Queue>,
}

/// A named selection of assets with its config.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// Which assets: a selection such as `daily_summary+` or `group:reports, tag:team=weather`.
    pub select: String,
    /// What the job is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Config of its runs: `field: value` for every asset that has the field, `asset.field: value` for one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: RunConfig,
    /// Labels that its runs carry.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// A worker queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    /// Which workers take from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}
