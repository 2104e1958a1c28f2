//! The cells of a product that a subset holds, line by line along the primary dimension.
//!
//! A product is made of blocks, one for each combination of the dimensions outside of the primary one, and a block of
//! lines, one for each combination of those inside of it. The cells of a line lie apart by the primary dimension's
//! stride, so they are no range of numbers and must be gathered. Blocks without a member cost nothing, and a block
//! with few costs no more than those: one cell of ten million is found without a look at the others.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::PartitionSubset;
use super::product::Product;

/// The cells of one combination of the other dimensions that a subset holds.
pub(crate) struct Line {
    /// The dense number of its cell whose primary coordinate is 0.
    pub(crate) start: u32,
    /// Ranges of primary coordinates.
    pub(crate) members: Vec<RangeInclusive<u32>>,
}

/// How many times more coordinates than members a block may have for all of its coordinates to be tried. That has a
/// first answer at once, where sorting the members into lines visits each before it has one.
const TRIED_PER_MEMBER: u64 = 16;

/// The lines along the primary dimension that hold any of a subset, in order.
pub(crate) fn lines(product: &Product, subset: &PartitionSubset) -> impl Iterator<Item = Line> + use<> {
    let dense = Arc::new(product.expand(subset));
    let primary = &product.dimensions[product.primary];
    let (stride, len) = (primary.stride, primary.partitions.len());
    let block = stride * len;
    let mut next = 0;
    let blocks = {
        let dense = Arc::clone(&dense);
        std::iter::from_fn(move || {
            let first = dense.iter_range(next..u32::MAX).next()?;
            let start = first / block * block;
            next = start + block;
            Some(start)
        })
    };
    blocks.flat_map(move |start| -> Box<dyn Iterator<Item = Line>> {
        let few = || dense.count_in(start..start + block) * TRIED_PER_MEMBER < u64::from(block);
        if stride == 1 || few() {
            return Box::new(sorted(&dense, start, block, stride).into_iter());
        }
        let dense = Arc::clone(&dense);
        Box::new((start..start + stride).filter_map(move |start| {
            let members = (0..len).filter(|&at| dense.contains(start + at * stride));
            let line = Line { start, members: runs(members) };
            (!line.members.is_empty()).then_some(line)
        }))
    })
}

/// The members of a block by their lines.
fn sorted(dense: &PartitionSubset, start: u32, block: u32, stride: u32) -> Vec<Line> {
    let mut lines: BTreeMap<u32, Vec<RangeInclusive<u32>>> = BTreeMap::new();
    for member in dense.iter_range(start..start + block) {
        let (at, line) = ((member - start) / stride, (member - start) % stride);
        extend(lines.entry(line).or_default(), at);
    }
    lines.into_iter().map(|(line, members)| Line { start: start + line, members }).collect()
}

/// Ascending numbers as ranges.
fn runs(numbers: impl Iterator<Item = u32>) -> Vec<RangeInclusive<u32>> {
    let mut runs = Vec::new();
    numbers.for_each(|number| extend(&mut runs, number));
    runs
}

/// Adds a number behind all others.
fn extend(runs: &mut Vec<RangeInclusive<u32>>, number: u32) {
    match runs.last_mut() {
        Some(run) if run.end() + 1 == number => *run = *run.start()..=number,
        _ => runs.push(number..=number),
    }
}
