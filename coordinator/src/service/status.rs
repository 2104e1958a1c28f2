//! The state of the partitions of an asset, as people read it: counts, and ranges of the same state.
//!
//! The same for the leader, which has everything in memory, and for whoever reads a ledger that nobody leads.

use backstitch_proto::partition::{PartitionSubset, Partitions};
use serde::{Deserialize, Serialize};

use super::catalog::PartitionCounts;

/// Ranges of one answer at most.
pub const RANGES_MAX: usize = 1_000;

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
    pub status: String,
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
        let named = [
            (&materialized, "materialized"),
            (&failed, "failed"),
            (in_progress, "in_progress"),
            (&missing, "missing"),
        ];
        let (ranges, next) = tiles(partitions, named, cursor, limit);
        Self { asset: asset.to_owned(), partitioned: partitions.is_partitioned(), counts, ranges, next }
    }
}

/// Ranges of sets that tile the space, in order, and where the rest begins.
fn tiles(
    partitions: &Partitions,
    named: [(&PartitionSubset, &str); 4],
    cursor: u32,
    limit: usize,
) -> (Vec<StatusRange>, Option<u32>) {
    let before = PartitionSubset::from_range(0..cursor);
    let named = named.map(|(set, name)| (set.difference(&before), name));
    let mut tiles: Vec<_> = named.iter().map(|(set, name)| (set.ranges().peekable(), *name)).collect();
    let mut ranges = Vec::new();
    loop {
        let nearest = tiles
            .iter_mut()
            .filter_map(|(tile, name)| {
                tile.peek().map(|range| *range.start()).map(|start| (start, tile, *name))
            })
            .min_by_key(|(start, _, _)| *start);
        let Some((start, tile, name)) = nearest else { return (ranges, None) };
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
                status: name.to_owned(),
            });
        }
    }
}
