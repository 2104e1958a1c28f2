//! Relations by key: the same key on both sides, or a table of keys.

use super::blocked::Blocking;
use super::definition::MissingPolicy;
use crate::partition::{PartitionSubset, Windows};

/// The partition with the same key, in spaces that number their keys alike up to a shift.
#[derive(Clone, Debug)]
pub(crate) struct Shift {
    /// Upstream ordinal less downstream ordinal.
    pub(crate) delta: i64,
    pub(crate) upstream_len: u32,
    pub(crate) downstream_len: u32,
}

impl Shift {
    pub(crate) fn upstream_of(&self, downstream: &PartitionSubset) -> PartitionSubset {
        downstream.shifted(self.delta, self.upstream_len)
    }

    pub(crate) fn downstream_of(&self, upstream: &PartitionSubset) -> PartitionSubset {
        upstream.shifted(-self.delta, self.downstream_len)
    }

    /// Downstream ordinals whose counterpart does not exist.
    pub(crate) fn without_counterpart(&self, downstream: &PartitionSubset) -> PartitionSubset {
        downstream.difference(&self.downstream_of(&self.upstream_of(downstream)))
    }
}

/// Notes who waits for windows of the same ticks that do not exist: for those that no time brings all at once, for the
/// others one by one, because each comes at an instant of its own.
pub(crate) fn wait_for_windows(
    without: &PartitionSubset,
    upstream: &Windows,
    downstream: &Windows,
    blocking: &mut Blocking,
) {
    let coming = without.intersection(&PartitionSubset::from_range(upstream.ever(downstream)));
    blocking.note(MissingPolicy::Wait, None, &without.difference(&coming));
    for (ordinal, exists_from) in upstream.exist_from(downstream, &coming) {
        blocking.note(MissingPolicy::Wait, exists_from, &PartitionSubset::from_ordinals([ordinal]));
    }
}

/// Keys to keys, many to many.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    /// By downstream ordinal.
    pub(crate) upstream: Vec<PartitionSubset>,
    /// By upstream ordinal.
    pub(crate) downstream: Vec<PartitionSubset>,
}

impl Table {
    /// A table of pairs (upstream, downstream) of ordinals.
    pub(crate) fn new(pairs: &[(u32, u32)], upstream_len: u32, downstream_len: u32) -> Self {
        let mut upstream = vec![PartitionSubset::new(); downstream_len as usize];
        let mut downstream = vec![PartitionSubset::new(); upstream_len as usize];
        for &(up, down) in pairs {
            upstream[down as usize].insert(up);
            downstream[up as usize].insert(down);
        }
        Self { upstream, downstream }
    }
}

/// The union of what a table gives for each ordinal.
pub(crate) fn gather(table: &[PartitionSubset], ordinals: &PartitionSubset) -> PartitionSubset {
    let mut gathered = PartitionSubset::new();
    for ordinal in ordinals.iter() {
        if let Some(entry) = table.get(ordinal as usize) {
            gathered |= entry;
        }
    }
    gathered
}
