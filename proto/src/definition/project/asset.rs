//! An asset as it is written.

use std::{borrow::Cow, collections::BTreeMap, num::NonZeroU32};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize};

use super::{Retries, short_form};
use crate::{
    definition::{
        config::ConfigField,
        duration::HumanDuration,
        name::{AssetName, GroupName, PartitionsName, PoolName, QueueName},
    },
    mapping::PartitionMapping,
    partition::PartitionsDefinition,
};

/// Time between TERM and KILL when nothing else is said.
const GRACE: HumanDuration = HumanDuration::from_secs(10);

/// A data product: what it is made from, how it is sliced, and what makes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Asset {
    /// What it is, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The group it is shown in; selected with `group:name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupName>,
    /// Labels; selected with `tag:key=value`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// How it is sliced: the name of a shared definition, or one written here. Absent: one slice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partitions: Option<AssetPartitions>,
    /// The assets it is made from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deps: Vec<Dep>,
    /// The program that makes it, as an argument array: no shell reads it. Absent: a native function of this
    /// name, registered with the worker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// Environment variables of the command.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// What a run may set, field by field.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, ConfigField>,
    /// What happens after a failure.
    #[serde(skip_serializing_if = "Retries::is_default")]
    pub retries: Retries,
    /// Longest time of one attempt. Absent: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<HumanDuration>,
    /// Time between TERM and KILL when an attempt is cancelled or times out.
    pub grace: HumanDuration,
    /// The concurrency budget it draws on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolUse>,
    /// The worker queue its tasks go to.
    pub queue: QueueName,
    /// Tasks with a higher priority are dispatched first.
    pub priority: i32,
    /// Names the logic; recorded with each materialization. A change of it makes nothing missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code_version: Option<String>,
    /// How many partitions one invocation may be given at once.
    pub batch_size: NonZeroU32,
}

impl Default for Asset {
    fn default() -> Self {
        Self {
            description: None,
            group: None,
            tags: BTreeMap::new(),
            partitions: None,
            deps: Vec::new(),
            command: None,
            env: BTreeMap::new(),
            config: BTreeMap::new(),
            retries: Retries::default(),
            timeout: None,
            grace: GRACE,
            pool: None,
            queue: QueueName::default_queue(),
            priority: 0,
            code_version: None,
            batch_size: NonZeroU32::MIN,
        }
    }
}

/// How an asset is sliced.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum AssetPartitions {
    /// By a definition of the project's `partitions`.
    Named(PartitionsName),
    /// By a definition of its own.
    Inline(Box<PartitionsDefinition>),
}

impl<'de> Deserialize<'de> for AssetPartitions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        short_form::text_or_mapping(
            deserializer,
            "the name of a partitions definition, or one written out",
            Self::Named,
            |definition: PartitionsDefinition| Self::Inline(Box::new(definition)),
        )
    }
}

impl JsonSchema for AssetPartitions {
    fn schema_name() -> Cow<'static, str> {
        "AssetPartitions".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        short_form::schema::<PartitionsName, PartitionsDefinition>(generator)
    }
}

/// One dependency: an upstream asset, and which of its partitions are needed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Dep {
    /// The upstream asset.
    pub asset: AssetName,
    /// Which upstream partitions a partition needs. Absent: inferred from the two partitions definitions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mapping: Option<PartitionMapping>,
}

/// A dependency with its mapping.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DepFields {
    /// The upstream asset.
    asset: AssetName,
    /// Which upstream partitions a partition needs. Absent: inferred from the two partitions definitions.
    #[serde(default)]
    mapping: Option<PartitionMapping>,
}

impl Dep {
    /// Depends on `asset`, with the inferred mapping.
    pub fn on(asset: AssetName) -> Self {
        Self { asset, mapping: None }
    }
}

impl<'de> Deserialize<'de> for Dep {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        short_form::text_or_mapping(
            deserializer,
            "the name of an asset, or a mapping with `asset` and `mapping`",
            Self::on,
            |DepFields { asset, mapping }| Self { asset, mapping },
        )
    }
}

impl JsonSchema for Dep {
    fn schema_name() -> Cow<'static, str> {
        "Dep".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        short_form::schema::<AssetName, DepFields>(generator)
    }
}

/// What a task takes of a pool while it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PoolUse {
    /// The pool.
    pub name: PoolName,
    /// How many of its slots.
    pub slots: NonZeroU32,
}

/// A pool with the slots that a task takes of it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PoolUseFields {
    /// The pool.
    name: PoolName,
    /// How many of its slots a task takes.
    #[serde(default = "one")]
    slots: NonZeroU32,
}

const fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

impl PoolUse {
    /// Takes one slot of `name`.
    pub fn of(name: PoolName) -> Self {
        Self { name, slots: one() }
    }
}

impl<'de> Deserialize<'de> for PoolUse {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        short_form::text_or_mapping(
            deserializer,
            "the name of a pool, or a mapping with `name` and `slots`",
            Self::of,
            |PoolUseFields { name, slots }| Self { name, slots },
        )
    }
}

impl JsonSchema for PoolUse {
    fn schema_name() -> Cow<'static, str> {
        "PoolUse".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        short_form::schema::<PoolName, PoolUseFields>(generator)
    }
}
