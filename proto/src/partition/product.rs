//! The cells of a multi definition, as mixed-radix numbers.
//!
//! Dimensions stand in the order of their names and the first is the outermost, so the ordinal of a cell
//! is arithmetic in both directions and no list of cells is ever made. A sparse product (`only`,
//! `except`) keeps a bitmap of the dense numbers that exist; its ordinals count those.

use std::sync::Arc;

use super::keys::KEY_SEPARATOR;
use super::{PartitionSubset, Partitions};

/// A product of spaces.
#[derive(Clone, Debug)]
pub(crate) struct Product {
    pub(crate) dimensions: Arc<[Dimension]>,
    /// Index of the dimension that ranges run along.
    pub(crate) primary: usize,
    /// The dense numbers that exist, if not all do.
    pub(crate) existing: Option<Arc<PartitionSubset>>,
    /// What decides which cells exist, in a form to compare; empty when all do.
    pub(crate) cells: Arc<str>,
    pub(crate) len: u32,
}

/// One factor of a product.
#[derive(Clone, Debug)]
pub(crate) struct Dimension {
    pub(crate) name: String,
    pub(crate) partitions: Partitions,
    /// How far apart two cells are that differ by one in this dimension.
    pub(crate) stride: u32,
}

/// How far ahead a position must lie to be looked up rather than walked to, and how long a range must be to be taken
/// as a whole.
const FAR: u32 = 4_096;

impl Product {
    /// The dense product; `None` when it has more cells than there are ordinals. With an empty dimension it has
    /// none, however long the others are.
    pub(crate) fn dense(dimensions: Vec<(String, Partitions)>, primary: usize) -> Option<Self> {
        let empty = dimensions.iter().any(|(_, partitions)| partitions.is_empty());
        // Cells that do not exist are no distance apart.
        let mut stride = u32::from(!empty);
        let mut factors = Vec::with_capacity(dimensions.len());
        for (name, partitions) in dimensions.into_iter().rev() {
            let len = partitions.len();
            factors.push(Dimension { name, partitions, stride });
            stride = stride.checked_mul(len)?;
        }
        factors.reverse();
        Some(Self { dimensions: factors.into(), primary, existing: None, cells: "".into(), len: stride })
    }

    /// How many cells the dense product has.
    pub(crate) fn dense_len(&self) -> u32 {
        self.dimensions.first().map_or(1, |outer| outer.stride * outer.partitions.len())
    }

    /// The same product with only these cells; `cells` says what decides them.
    pub(crate) fn restricted(mut self, existing: PartitionSubset, cells: &str) -> Self {
        self.cells = cells.into();
        // A subset of at most u32::MAX cells.
        self.len = existing.len() as u32;
        self.existing = Some(Arc::new(existing));
        self
    }

    /// The dense number of an ordinal.
    pub(crate) fn dense_of(&self, ordinal: u32) -> Option<u32> {
        match &self.existing {
            Some(existing) => existing.nth(ordinal),
            None => (ordinal < self.len).then_some(ordinal),
        }
    }

    /// The ordinal of a dense number.
    pub(crate) fn ordinal_of(&self, dense: u32) -> Option<u32> {
        match &self.existing {
            Some(existing) => existing.contains(dense).then(|| existing.rank(dense) as u32),
            None => (dense < self.len).then_some(dense),
        }
    }

    /// The key of a dense number: one key of each dimension, joined.
    pub(crate) fn key(&self, dense: u32) -> Option<String> {
        let mut key = String::new();
        for (index, dimension) in self.dimensions.iter().enumerate() {
            if index > 0 {
                key.push(KEY_SEPARATOR);
            }
            key.push_str(&dimension.partitions.key(self.coordinate(dense, index))?);
        }
        Some(key)
    }

    /// The coordinate of a dense number in one dimension.
    pub(crate) fn coordinate(&self, dense: u32, dimension: usize) -> u32 {
        let Dimension { partitions, stride, .. } = &self.dimensions[dimension];
        dense / stride % partitions.len().max(1)
    }

    /// Dense numbers of a set of ordinals.
    pub(crate) fn expand(&self, subset: &PartitionSubset) -> PartitionSubset {
        let Some(existing) = &self.existing else { return subset.clone() };
        let mut dense = PartitionSubset::new();
        // Ordinals are positions in `existing`, and both ascend: one walk over its runs finds them all. `at` is the
        // position at which the run begins.
        let (mut runs, mut at) = (existing.ranges_from(0), 0);
        let mut run = runs.next();
        for range in subset.ranges() {
            let (mut from, to) = (*range.start(), *range.end());
            if to - from > FAR {
                // Whole containers rather than runs, of which there may be many.
                let Some(first) = existing.nth(from) else { break };
                let Some(last) = existing.nth(to).or(existing.last()) else { break };
                dense |= &existing.intersection(&PartitionSubset::from_range(first..last + 1));
                (runs, at) = (existing.ranges_from(last + 1), to + 1);
                run = runs.next();
                continue;
            }
            if from - at > FAR {
                let Some(member) = existing.nth(from) else { break };
                (runs, at) = (existing.ranges_from(member), from);
                run = runs.next();
            }
            while let Some(members) = &run {
                let last = at + (members.end() - members.start());
                if from <= last {
                    let behind = last.min(to) + 1;
                    dense.insert_range(members.start() + (from - at)..members.start() + (behind - at));
                    if to <= last {
                        break;
                    }
                    from = behind;
                }
                at = last + 1;
                run = runs.next();
            }
        }
        dense
    }

    /// Ordinals of a set of dense numbers; those of cells that do not exist fall out.
    pub(crate) fn compress(&self, dense: &PartitionSubset) -> PartitionSubset {
        let Some(existing) = &self.existing else { return dense.clone() };
        let mut subset = PartitionSubset::new();
        for range in dense.intersection(existing).ranges() {
            let from = existing.rank(*range.start()) as u32;
            subset.insert_range(from..from + (range.end() - range.start()) + 1);
        }
        subset
    }

    /// The dense numbers of all cells whose coordinate lies in the set of its dimension.
    pub(crate) fn rectangle(&self, sides: &[PartitionSubset]) -> PartitionSubset {
        // Without a look at the other sides, which can be long.
        if sides.iter().any(PartitionSubset::is_empty) {
            return PartitionSubset::new();
        }
        rectangle(&self.dimensions, sides)
    }
}

fn rectangle(dimensions: &[Dimension], sides: &[PartitionSubset]) -> PartitionSubset {
    let (Some((dimension, inner)), Some((side, inner_sides))) =
        (dimensions.split_first(), sides.split_first())
    else {
        // The empty product has one cell.
        return PartitionSubset::from_range(0..1);
    };
    let rows = rectangle(inner, inner_sides);
    let stride = dimension.stride;
    let mut cells = PartitionSubset::new();
    if rows.len() == u64::from(stride) {
        for range in side.ranges() {
            cells.insert_range(range.start() * stride..(range.end() + 1) * stride);
        }
        return cells;
    }
    let row: Vec<_> = rows.ranges().collect();
    for outer in side.iter() {
        for range in &row {
            cells.insert_range(outer * stride + range.start()..outer * stride + range.end() + 1);
        }
    }
    cells
}
