//! Consecutive ordinals as selections.
//!
//! State is kept by ordinal, so what people ask about it (which partitions are missing?) is answered by intervals of
//! ordinals. In one dimension an interval is a range of keys. In several it begins and ends somewhere inside a row of
//! cells; what lies between are whole rows. So it falls into a few *blocks*, at most two per dimension and one more,
//! each of which one selection names:
//!
//! ```text
//!            eu  us          interval      blocks
//!   Mon       .   x          Mon|us        Mon|us
//!   Tue       x   x            ...         date=Tue...Wed
//!   Wed       x   x          Thu|eu        Thu|eu
//!   Thu       x   .
//! ```

use std::ops::RangeInclusive;

use super::Partitions;
use super::keys::RANGE_SEPARATOR;
use super::product::{Dimension, Product};
use super::ranges::quoted;
use super::space::Space;

/// Consecutive partitions that one selection names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Their ordinals.
    pub ordinals: RangeInclusive<u32>,
    /// The selection that reads back as exactly these.
    pub selection: String,
}

impl Partitions {
    /// An interval of ordinals as blocks, in order. Ordinals that do not exist are left out.
    pub fn blocks(&self, ordinals: RangeInclusive<u32>) -> Vec<Block> {
        let Some(last) = self.len().checked_sub(1) else { return Vec::new() };
        let (from, to) = (*ordinals.start(), last.min(*ordinals.end()));
        if from > to {
            return Vec::new();
        }
        if let Space::Product(product) = &self.space {
            return product_blocks(product, from, to);
        }
        let selection = match (self.is_partitioned(), from == to) {
            (false, _) => "all".to_owned(),
            (true, true) => self.key(from).map_or_else(String::new, |key| quoted(&key)),
            (true, false) => interval(self, from, to),
        };
        vec![Block { ordinals: from..=to, selection }]
    }
}

fn product_blocks(product: &Product, from: u32, to: u32) -> Vec<Block> {
    let (Some(dense_from), Some(dense_to)) = (product.dense_of(from), product.dense_of(to)) else {
        return Vec::new();
    };
    let mut split = Split { product, conditions: Vec::new(), blocks: Vec::new() };
    split.rows(&product.dimensions, 0, dense_from, dense_to);
    // A block between two cells that exist may hold none.
    let mut next = from;
    let mut blocks = Vec::new();
    for (dense, selection) in split.blocks {
        let count = match &product.existing {
            None => dense.end() - dense.start() + 1,
            // Ordinals are below u32::MAX.
            Some(existing) => existing.count_in(*dense.start()..*dense.end() + 1) as u32,
        };
        if count > 0 {
            blocks.push(Block { ordinals: next..=next + (count - 1), selection });
            next += count;
        }
    }
    blocks
}

/// The division of one interval of dense numbers.
struct Split<'a> {
    product: &'a Product,
    /// What the outer dimensions are pinned to.
    conditions: Vec<String>,
    blocks: Vec<(RangeInclusive<u32>, String)>,
}

impl Split<'_> {
    /// Divides the numbers `from` to `to`, which count from `base`, by the outermost of these dimensions.
    fn rows(&mut self, dimensions: &[Dimension], base: u32, from: u32, to: u32) {
        let Some((dimension, inner)) = dimensions.split_first() else {
            let key = self.product.key(base).map_or_else(String::new, |key| quoted(&key));
            return self.blocks.push((base..=base, key));
        };
        let stride = dimension.stride;
        let (mut first, mut end) = (from / stride, to / stride + 1);
        let begins_inside = !from.is_multiple_of(stride);
        let ends_inside = to % stride != stride - 1;
        if begins_inside || (ends_inside && first + 1 == end) || (stride == 1 && first + 1 == end) {
            let row_end = if first + 1 == end { to % stride } else { stride - 1 };
            self.pinned(dimension, inner, base, first, (from % stride, row_end));
            first += 1;
        }
        let tail = (ends_inside && first < end).then(|| end - 1);
        end -= u32::from(tail.is_some());
        if first < end {
            self.whole(dimension, base, first, end - 1);
        }
        if let Some(at) = tail {
            self.pinned(dimension, inner, base, at, (0, to % stride));
        }
    }

    /// A part of the row of one coordinate.
    fn pinned(&mut self, dimension: &Dimension, inner: &[Dimension], base: u32, at: u32, part: (u32, u32)) {
        let key = dimension.partitions.key(at).map_or_else(String::new, |key| quoted(&key));
        self.conditions.push(format!("{}={key}", dimension.name));
        self.rows(inner, base + at * dimension.stride, part.0, part.1);
        self.conditions.pop();
    }

    /// Whole rows.
    fn whole(&mut self, dimension: &Dimension, base: u32, first: u32, last: u32) {
        let mut conditions = self.conditions.clone();
        let everything = first == 0 && last + 1 == dimension.partitions.len();
        if !everything {
            let side = match first == last {
                true => dimension.partitions.key(first).map_or_else(String::new, |key| quoted(&key)),
                false => interval(&dimension.partitions, first, last),
            };
            conditions.push(format!("{}={side}", dimension.name));
        }
        let selection = if conditions.is_empty() { "all".to_owned() } else { conditions.join(" & ") };
        let numbers =
            base + first * dimension.stride..=base + last * dimension.stride + (dimension.stride - 1);
        self.blocks.push((numbers, selection));
    }
}

/// A range of keys as the selection grammar reads it.
fn interval(partitions: &Partitions, from: u32, to: u32) -> String {
    let key = |ordinal| partitions.key(ordinal).map_or_else(String::new, |key| quoted(&key));
    format!("{}{RANGE_SEPARATOR}{}", key(from), key(to))
}
