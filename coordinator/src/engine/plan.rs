//! What the engine knows of a run when it starts: assets bound to partition spaces, and who needs whom.

use std::sync::Arc;

use backstitch_proto::definition::Retries;
use backstitch_proto::mapping::Mapper;
use backstitch_proto::message::Invocation;
use backstitch_proto::partition::{PartitionSubset, Partitions};

use crate::ledger::RunRecord;

/// A run, bound to the definitions that it is pinned to.
#[derive(Clone, Debug)]
pub struct RunPlan {
    /// The submission.
    pub record: RunRecord,
    /// One entry per `record.assets`, in the same order: upstream assets first.
    pub assets: Vec<AssetPlan>,
}

/// How the tasks of one asset of a run are executed, and what they wait for.
#[derive(Clone, Debug)]
pub struct AssetPlan {
    /// Name of the asset.
    pub name: Arc<str>,
    /// The partition space of which the run's ordinals speak.
    pub partitions: Partitions,
    /// What workers are told.
    pub invocation: Arc<Invocation>,
    /// Worker queue.
    pub queue: Arc<str>,
    /// Concurrency budget that each running task takes from.
    pub pool: Option<PoolUse>,
    /// What happens after a failure.
    pub retry: Retries,
    /// Among the ready tasks of a run, those of a higher priority go first.
    pub priority: i32,
    /// Upstream assets inside the run. May hold the asset itself.
    pub upstreams: Vec<Upstream>,
    /// Tasks that need upstream partitions that do not exist yet, and may wait for them (`missing: wait`).
    pub held: Vec<Held>,
}

/// Tasks that do not start before an instant.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// From then on all upstream partitions that they need exist, microseconds since the Unix epoch.
    pub until_us: i64,
    /// Ordinals.
    pub tasks: PartitionSubset,
}

/// One asset that another needs, inside the same run.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Position in [`RunPlan::assets`].
    pub index: usize,
    /// Which of its partitions are needed.
    pub mapper: Mapper,
}

/// A share of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolUse {
    /// Name of the pool.
    pub name: Arc<str>,
    /// Slots that one running task takes.
    pub slots: u32,
    /// Slots that the pool has.
    pub limit: u32,
}
