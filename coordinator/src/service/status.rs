//! The state of the partitions of an asset, as people read it: counts, and ranges of the same state.
//!
//! The same for the leader, which has everything in memory, and for whoever reads a ledger that nobody leads.

use backstitch_proto::partition::{PartitionSubset, Partitions};
use serde::{Deserialize, Serialize};

use super::catalog::PartitionCounts;

/// Ranges of one answer at most.
pub const RANGES_MAX: usize = 1_000;

/// Where a partition stands, as people read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartitionStatus {
    /// Up to date.
    Materialized,
    /// Its last task failed for good.
    Failed,
    /// A live run has a task for it that has not ended.
    InProgress,
    /// None of the others.
    Missing,
}

impl PartitionStatus {
    /// The word for it, as serde writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Materialized => "materialized",
            Self::Failed => "failed",
            Self::InProgress => "in_progress",
            Self::Missing => "missing",
        }
    }
}

/// Partitions next to each other that are in the same state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StatusRange {
    /// First key.
    pub start: String,
    /// Last key.
    pub end: String,
    /// Partitions in between, both included.
    pub count: u32,
    /// The selection that reads back as exactly these.
    pub selection: String,
    /// `materialized`, `failed`, `in_progress` or `missing`.
    #[schema(value_type = String)]
    pub status: PartitionStatus,
}

/// The state of the partitions of one asset.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AssetStatusView {
    /// The asset.
    pub asset: String,
    /// It is partitioned.
    pub partitioned: bool,
    /// How many partitions are in which state.
    pub counts: PartitionCounts,
    /// Ranges in order; at most [`RANGES_MAX`].
    pub ranges: Vec<StatusRange>,
    /// Pass this as `cursor` for the ranges that follow.
    pub next: Option<u32>,
}

impl AssetStatusView {
    /// The state of `partitions`: ranges from the partition with ordinal `cursor` on, at most `limit` of them. What
    /// is in progress is shown as that, whatever it was before; then what failed; then what is materialized.
    pub fn new(
        asset: &str,
        partitions: &Partitions,
        materialized: &PartitionSubset,
        failed: &PartitionSubset,
        in_progress: &PartitionSubset,
        cursor: u32,
        limit: usize,
    ) -> Self {
        let failed = failed.difference(in_progress);
        let materialized = materialized.difference(in_progress).difference(&failed);
        let missing = partitions.all().difference(in_progress).difference(&failed).difference(&materialized);
        let counts = PartitionCounts {
            total: u64::from(partitions.len()),
            materialized: materialized.len(),
            failed: failed.len(),
            in_progress: in_progress.len(),
            missing: missing.len(),
        };
        // These four tile the space.
        let states = [
            (&materialized, PartitionStatus::Materialized),
            (&failed, PartitionStatus::Failed),
            (in_progress, PartitionStatus::InProgress),
            (&missing, PartitionStatus::Missing),
        ];
        let (ranges, next) = tiles(partitions, states, cursor, limit);
        Self { asset: asset.to_owned(), partitioned: partitions.is_partitioned(), counts, ranges, next }
    }
}

/// Ranges of sets that tile the space, in order, and where the rest begins.
fn tiles(
    partitions: &Partitions,
    states: [(&PartitionSubset, PartitionStatus); 4],
    cursor: u32,
    limit: usize,
) -> (Vec<StatusRange>, Option<u32>) {
    let before = PartitionSubset::from_range(0..cursor);
    let states = states.map(|(set, status)| (set.difference(&before), status));
    let mut tiles: Vec<_> = states.iter().map(|(set, status)| (set.ranges().peekable(), *status)).collect();
    let mut ranges = Vec::new();
    loop {
        let nearest = tiles
            .iter_mut()
            .filter_map(|(tile, status)| {
                tile.peek().map(|range| *range.start()).map(|start| (start, tile, *status))
            })
            .min_by_key(|(start, _, _)| *start);
        let Some((start, tile, status)) = nearest else { return (ranges, None) };
        let Some(range) = tile.next() else { return (ranges, None) };
        for block in partitions.blocks(start..=*range.end()) {
            let (first, last) = (*block.ordinals.start(), *block.ordinals.end());
            if ranges.len() == limit {
                return (ranges, Some(first));
            }
            ranges.push(StatusRange {
                start: partitions.key(first).unwrap_or_default(),
                end: partitions.key(last).unwrap_or_default(),
                count: last - first + 1,
                selection: block.selection,
                status,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_has_one_word_here_and_in_json() {
        use PartitionStatus::{Failed, InProgress, Materialized, Missing};
        for status in [Materialized, Failed, InProgress, Missing] {
            assert_eq!(serde_json::to_value(status).expect("a word"), status.as_str());
        }
    }
}
