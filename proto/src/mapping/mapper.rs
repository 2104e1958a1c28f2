//! A mapping bound to two concrete spaces.

use std::sync::Arc;

use super::axes::Axes;
use super::bind::bind;
use super::blocked::{Blocked, Blocking};
use super::definition::{MissingPolicy, PartitionMapping};
use super::error::MappingError;
use super::keyed::{Shift, Table, gather, wait_for_windows};
use super::missing::{Absent, Missing};
use super::overlap::Overlap;
use crate::partition::{PartitionSubset, Partitions};

/// Answers which upstream partitions a subset needs, and which downstream partitions need a subset.
///
/// Bound to the partitions that existed when it was made; cheap to clone and to share.
#[derive(Clone, Debug)]
pub struct Mapper {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    relation: Relation,
    missing: MissingPolicy,
    upstream: Partitions,
    downstream: Partitions,
}

/// What a subset needs.
#[derive(Clone, Debug, Default)]
pub struct Upstream {
    /// What exists of it.
    pub subset: PartitionSubset,
    /// What does not.
    pub missing: Missing,
}

/// The ways to relate two spaces.
#[derive(Clone, Debug)]
pub(crate) enum Relation {
    /// Everything needs everything.
    All,
    /// Everything needs these, of which some may not exist.
    Fixed { needed: PartitionSubset, absent: Vec<String> },
    /// The same key, in spaces that number alike.
    Shift(Shift),
    /// The same key, looked up.
    SameKey,
    /// A table of keys, with required keys that do not exist by downstream ordinal.
    Table(Table),
    /// Windows that overlap.
    Overlap(Overlap),
    /// Dimension by dimension.
    Axes(Axes),
}

impl Mapper {
    /// Binds a mapping to two spaces. Call [`validate`](super::validate) on the definitions first: it says more
    /// about what would work.
    pub fn new(
        mapping: &PartitionMapping,
        upstream: &Partitions,
        downstream: &Partitions,
    ) -> Result<Self, MappingError> {
        let (relation, missing) = bind(mapping, upstream, downstream)?;
        let inner = Inner { relation, missing, upstream: upstream.clone(), downstream: downstream.clone() };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Every downstream partition needs every upstream partition.
    pub fn needs_everything(&self) -> bool {
        matches!(self.inner.relation, Relation::All)
    }

    /// The upstream partitions that a downstream subset needs: what exists of them, and what does not.
    pub fn upstream_of(&self, downstream: &PartitionSubset) -> Upstream {
        let Inner { relation, missing: policy, upstream, downstream: space } = self.inner.as_ref();
        let mut missing = Missing::default();
        if downstream.is_empty() {
            return Upstream::default();
        }
        let subset = match relation {
            Relation::All => upstream.all(),
            Relation::Fixed { needed, absent } => {
                missing.note(*policy, Absent::Keys(absent.clone()));
                needed.clone()
            }
            Relation::Shift(shift) => {
                let without = shift.without_counterpart(downstream);
                missing.note(*policy, Absent::Of(space.clone(), without));
                shift.upstream_of(downstream)
            }
            Relation::SameKey => {
                let (subset, without) = space.same_keys(upstream, downstream);
                missing.note(*policy, Absent::Of(space.clone(), without));
                subset
            }
            Relation::Table(table) => gather(&table.upstream, downstream),
            Relation::Overlap(overlap) => {
                let mut absent = Vec::new();
                let subset = overlap.upstream_of(downstream, &mut absent);
                absent.into_iter().for_each(|absent| missing.note(*policy, absent));
                subset
            }
            Relation::Axes(axes) => return axes.upstream_of(downstream),
        };
        Upstream { subset, missing }
    }

    /// The downstream partitions that need any of an upstream subset.
    pub fn downstream_of(&self, upstream: &PartitionSubset) -> PartitionSubset {
        let Inner { relation, upstream: space, downstream, .. } = self.inner.as_ref();
        if upstream.is_empty() {
            return PartitionSubset::new();
        }
        match relation {
            Relation::All => downstream.all(),
            Relation::Fixed { needed, .. } if needed.intersects(upstream) => downstream.all(),
            Relation::Fixed { .. } => PartitionSubset::new(),
            Relation::Shift(shift) => shift.downstream_of(upstream),
            Relation::SameKey => space.same_keys(downstream, upstream).0,
            Relation::Table(table) => gather(&table.downstream, upstream),
            Relation::Overlap(overlap) => overlap.downstream_of(upstream),
            Relation::Axes(axes) => axes.downstream_of(upstream),
        }
    }

    /// Those of a downstream subset that need upstream partitions which do not exist, and what becomes of them.
    pub fn blocked(&self, downstream: &PartitionSubset) -> Blocked {
        self.blocking(downstream).settle()
    }

    pub(crate) fn blocking(&self, downstream: &PartitionSubset) -> Blocking {
        let Inner { relation, missing: policy, upstream, downstream: space } = self.inner.as_ref();
        let mut blocking = Blocking::default();
        if downstream.is_empty() || *policy == MissingPolicy::Skip {
            return blocking;
        }
        let mut same_key = |without: &PartitionSubset| {
            if *policy == MissingPolicy::Error {
                // When they come does not matter.
                return blocking.note(*policy, None, without);
            }
            for ordinal in without.iter() {
                let exists_from = space.key(ordinal).and_then(|key| upstream.exists_from(&key));
                blocking.note(*policy, exists_from, &PartitionSubset::from_ordinals([ordinal]));
            }
        };
        match relation {
            Relation::All | Relation::Table(_) => {}
            Relation::Fixed { absent, .. } => {
                for key in absent {
                    blocking.note(*policy, upstream.exists_from(key), downstream);
                }
            }
            Relation::Shift(shift) => {
                let without = shift.without_counterpart(downstream);
                match (upstream.windows(), space.windows(), policy) {
                    (Some(up), Some(down), MissingPolicy::Wait) => {
                        wait_for_windows(&without, up, down, &mut blocking);
                    }
                    _ => same_key(&without),
                }
            }
            Relation::SameKey => same_key(&space.same_keys(upstream, downstream).1),
            Relation::Overlap(overlap) => overlap.blocked(downstream, *policy, &mut blocking),
            Relation::Axes(axes) => axes.blocked(downstream, &mut blocking),
        }
        blocking
    }
}
