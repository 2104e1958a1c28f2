//! Subsets as people read them: ranges of keys.

use std::fmt::Write as _;
use std::ops::RangeInclusive;

use super::keys::RANGE_SEPARATOR;
use super::lines::lines;
use super::product::Product;
use super::select::needs_quotes;
use super::space::Space;
use super::{PartitionSubset, Partitions};

/// Consecutive partitions, by the keys of the first and the last.
///
/// In a multi definition the range runs along the primary dimension and the other parts of the two keys
/// are equal, so that `start...end` reads back as exactly these partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    /// Key of the first.
    pub start: String,
    /// Key of the last.
    pub end: String,
    /// How many partitions.
    pub count: u32,
}

impl KeyRange {
    /// As the selection grammar reads it.
    pub fn to_text(&self) -> String {
        match self.count {
            1 => quoted(&self.start),
            _ => format!("{}{RANGE_SEPARATOR}{}", quoted(&self.start), quoted(&self.end)),
        }
    }
}

/// A key as the selection grammar reads it.
pub(crate) fn quoted(key: &str) -> String {
    if needs_quotes(key) {
        format!("\"{}\"", key.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        key.to_owned()
    }
}

impl Partitions {
    /// The ranges of keys that make up a subset, in order.
    pub fn key_ranges<'a>(&'a self, subset: &'a PartitionSubset) -> Box<dyn Iterator<Item = KeyRange> + 'a> {
        match &self.space {
            Space::Product(product) => Box::new(product_ranges(product, subset)),
            _ => Box::new(subset.ranges().filter_map(|range| self.key_range(&range))),
        }
    }

    /// How many ranges of keys make up a subset, without a look at a key.
    pub fn count_key_ranges(&self, subset: &PartitionSubset) -> u64 {
        match &self.space {
            Space::Product(product) => lines(product, subset).map(|line| line.members.len() as u64).sum(),
            _ => subset.ranges().count() as u64,
        }
    }

    fn key_range(&self, range: &RangeInclusive<u32>) -> Option<KeyRange> {
        let count = range.end() - range.start() + 1;
        Some(KeyRange { start: self.key(*range.start())?, end: self.key(*range.end())?, count })
    }

    /// A subset as text: up to `limit` ranges, and how much was left out. Without anything left out the
    /// text is a selection that reads back as the same subset.
    pub fn format_ranges(&self, subset: &PartitionSubset, limit: usize) -> String {
        if !self.is_partitioned() {
            return if subset.is_empty() { "nothing".to_owned() } else { "the whole asset".to_owned() };
        }
        if subset.is_empty() {
            return "nothing".to_owned();
        }
        let mut ranges = self.key_ranges(subset);
        let mut shown = 0;
        let mut text = String::new();
        for range in ranges.by_ref().take(limit) {
            let comma = if text.is_empty() { "" } else { ", " };
            // Writing into a String cannot fail.
            let _ = write!(text, "{comma}{}", range.to_text());
            shown += u64::from(range.count);
        }
        let left = subset.len() - shown;
        if left > 0 {
            let and = if text.is_empty() { "" } else { " and " };
            let _ = write!(text, "{and}{left} more");
        }
        text
    }
}

/// Ranges along the primary dimension, for each combination of the others in order.
fn product_ranges<'a>(
    product: &'a Product,
    subset: &PartitionSubset,
) -> impl Iterator<Item = KeyRange> + use<'a> {
    let stride = product.dimensions[product.primary].stride;
    lines(product, subset).flat_map(move |line| {
        line.members.into_iter().filter_map(move |range| {
            let key = |at: u32| product.key(line.start + at * stride);
            let count = range.end() - range.start() + 1;
            Some(KeyRange { start: key(*range.start())?, end: key(*range.end())?, count })
        })
    })
}
