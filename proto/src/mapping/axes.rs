//! Relations between products, dimension by dimension.
//!
//! An upstream dimension follows a downstream dimension, or is pinned to some keys, or is free (every
//! key of it). A downstream dimension that nothing follows does not matter. So the whole relation is a
//! product of relations between single dimensions, and a subset that is a union of rectangles maps
//! rectangle by rectangle, side by side. A single space counts as a product of one dimension.

use std::collections::BTreeMap;

use super::blocked::Blocking;
use super::definition::MissingPolicy;
use super::mapper::{Mapper, Upstream};
use super::missing::{Absent, Missing};
use crate::partition::{PartitionSubset, Partitions};

/// A relation between two products.
#[derive(Clone, Debug)]
pub(crate) struct Axes {
    pub(crate) upstream: Product,
    pub(crate) downstream: Product,
    /// By upstream dimension.
    pub(crate) sides: Vec<Side>,
}

/// How an upstream dimension is decided.
#[derive(Clone, Debug)]
pub(crate) enum Side {
    /// By a downstream dimension.
    Follows { dimension: usize, mapper: Mapper },
    /// Always these.
    Pinned { keys: PartitionSubset, absent: Vec<String> },
    /// All of it.
    Free,
}

/// The dimensions of a space; a single space is its own only dimension.
#[derive(Clone, Debug)]
pub(crate) struct Product {
    space: Partitions,
    dimensions: Vec<Partitions>,
}

impl Product {
    pub(crate) fn of(space: &Partitions) -> Self {
        let mut dimensions: Vec<Partitions> = space.dimensions().map(|(_, d)| d.clone()).collect();
        if dimensions.is_empty() {
            dimensions.push(space.clone());
        }
        Self { space: space.clone(), dimensions }
    }

    /// The rectangles that a subset is made of, each as one set per dimension.
    fn rectangles(&self, subset: &PartitionSubset) -> Vec<Vec<PartitionSubset>> {
        let dense = self.space.product().map_or_else(|| subset.clone(), |product| product.expand(subset));
        let lens: Vec<u32> = self.dimensions.iter().map(Partitions::len).collect();
        rectangles(&dense, &lens)
    }

    /// The ordinals of a rectangle.
    fn ordinals(&self, sides: &[PartitionSubset]) -> PartitionSubset {
        match self.space.product() {
            Some(product) => product.compress(&product.rectangle(sides)),
            None => sides.first().cloned().unwrap_or_default(),
        }
    }
}

impl Axes {
    pub(crate) fn upstream_of(&self, downstream: &PartitionSubset) -> Upstream {
        let mut subset = PartitionSubset::new();
        let mut missing = Missing::default();
        for rectangle in self.downstream.rectangles(downstream) {
            let needs: Vec<Need> = self
                .sides
                .iter()
                .zip(&self.upstream.dimensions)
                .map(|(side, dimension)| side.need(dimension, &rectangle))
                .collect();
            let existing: Vec<PartitionSubset> = needs.iter().map(|need| need.existing.clone()).collect();
            subset |= &self.upstream.ordinals(&existing);
            self.note_missing(&needs, &mut missing);
        }
        Upstream { subset, missing }
    }

    pub(crate) fn downstream_of(&self, upstream: &PartitionSubset) -> PartitionSubset {
        let mut subset = PartitionSubset::new();
        for rectangle in self.upstream.rectangles(upstream) {
            let mut sides: Vec<PartitionSubset> =
                self.downstream.dimensions.iter().map(Partitions::all).collect();
            let mut related = true;
            for (side, chosen) in self.sides.iter().zip(&rectangle) {
                match side {
                    Side::Follows { dimension, mapper } => sides[*dimension] = mapper.downstream_of(chosen),
                    Side::Pinned { keys, .. } => related &= keys.intersects(chosen),
                    Side::Free => {}
                }
            }
            if related {
                subset |= &self.downstream.ordinals(&sides);
            }
        }
        subset
    }

    /// Notes the cells that need a cell of which one part does not exist, provided that all others can be told.
    pub(crate) fn blocked(&self, downstream: &PartitionSubset, blocking: &mut Blocking) {
        for rectangle in self.downstream.rectangles(downstream) {
            let mut sides = rectangle.clone();
            let mut blocked: Vec<(usize, Blocking)> = Vec::new();
            let mut pinned_absent = false;
            for (side, upstream) in self.sides.iter().zip(&self.upstream.dimensions) {
                match side {
                    Side::Follows { dimension, mapper } => {
                        let of_side = mapper.blocking(&rectangle[*dimension]);
                        // A part that needs nothing at all makes no cell that could be missing.
                        sides[*dimension] &= &mapper.downstream_of(&upstream.all()).union(&of_side.all());
                        blocked.push((*dimension, of_side));
                    }
                    Side::Pinned { keys, absent } if keys.is_empty() && absent.is_empty() => return,
                    Side::Pinned { absent, .. } => pinned_absent |= !absent.is_empty(),
                    Side::Free if upstream.is_empty() => return,
                    Side::Free => {}
                }
            }
            if pinned_absent {
                blocking.note(MissingPolicy::Error, None, &self.downstream.ordinals(&sides));
            }
            let cells = |dimension: usize, tasks: &PartitionSubset| {
                let mut sides = sides.clone();
                sides[dimension] &= tasks;
                self.downstream.ordinals(&sides)
            };
            for (dimension, of_side) in blocked {
                blocking.note(MissingPolicy::Error, None, &cells(dimension, &of_side.refused));
                for (instant, tasks) in &of_side.waiting {
                    blocking.note(MissingPolicy::Wait, Some(*instant), &cells(dimension, tasks));
                }
            }
        }
    }

    /// A cell is missing when one of its parts is: taken apart by the first part that is.
    fn note_missing(&self, needs: &[Need], missing: &mut Missing) {
        for (index, need) in needs.iter().enumerate() {
            for (policy, absent) in &need.absent {
                let sides = needs.iter().zip(&self.upstream.dimensions).enumerate().map(
                    |(at, (other, dimension))| {
                        let existing = Absent::Of(dimension.clone(), other.existing.clone());
                        match at.cmp(&index) {
                            std::cmp::Ordering::Less => vec![existing],
                            std::cmp::Ordering::Equal => vec![absent.clone()],
                            std::cmp::Ordering::Greater => {
                                let absent = other.absent.iter().map(|(_, absent)| absent.clone());
                                std::iter::once(existing).chain(absent).collect()
                            }
                        }
                    },
                );
                // One dimension is not joined to anything.
                let sides: Vec<Vec<Absent>> = sides.collect();
                missing.note(*policy, Absent::Product(sides));
            }
        }
    }
}

/// What is needed of one dimension.
struct Need {
    existing: PartitionSubset,
    absent: Vec<(MissingPolicy, Absent)>,
}

impl Side {
    fn need(&self, dimension: &Partitions, downstream: &[PartitionSubset]) -> Need {
        match self {
            Self::Follows { dimension, mapper } => {
                let Upstream { subset, missing } = mapper.upstream_of(&downstream[*dimension]);
                Need { existing: subset, absent: missing.into_parts() }
            }
            Self::Pinned { keys, absent } => {
                let absent = Some(absent).filter(|absent| !absent.is_empty());
                let absent = absent.map(|keys| (MissingPolicy::Error, Absent::Keys(keys.clone())));
                Need { existing: keys.clone(), absent: absent.into_iter().collect() }
            }
            Self::Free => Need { existing: dimension.all(), absent: Vec::new() },
        }
    }
}

/// Splits a set of mixed-radix numbers into rectangles: rows that look alike are one.
fn rectangles(dense: &PartitionSubset, lens: &[u32]) -> Vec<Vec<PartitionSubset>> {
    if dense.is_empty() {
        return Vec::new();
    }
    let [_, inner @ ..] = lens else { return Vec::new() };
    if inner.is_empty() {
        return vec![vec![dense.clone()]];
    }
    let stride: u32 = inner.iter().product();
    // In an order of its own, so that what is missing is told in the same order every time.
    let mut alike: BTreeMap<Vec<Span>, PartitionSubset> = BTreeMap::new();
    for (rows, row) in rows(dense, stride) {
        alike.entry(row).or_default().insert_range(rows.0..rows.1);
    }
    let mut found = Vec::new();
    for (row, rows) in alike {
        let mut cells = PartitionSubset::new();
        row.iter().for_each(|&(from, to)| cells.insert_range(from..to));
        for mut sides in rectangles(&cells, inner) {
            sides.insert(0, rows.clone());
            found.push(sides);
        }
    }
    found
}

/// A half-open range.
type Span = (u32, u32);

/// Ranges of rows, each with the ranges of columns that its rows hold.
fn rows(dense: &PartitionSubset, stride: u32) -> Vec<(Span, Vec<Span>)> {
    let mut rows: Vec<(Span, Vec<Span>)> = Vec::new();
    let mut put = |row: u32, columns: Span| match rows.last_mut() {
        Some((last, held)) if *last == (row, row + 1) => held.push(columns),
        _ => rows.push(((row, row + 1), vec![columns])),
    };
    let mut whole: Vec<Span> = Vec::new();
    for range in dense.ranges() {
        let (mut from, to) = (*range.start(), range.end() + 1);
        if from % stride != 0 {
            let end = to.min((from / stride + 1) * stride);
            put(from / stride, (from % stride, end - from / stride * stride));
            from = end;
        }
        let full = to / stride * stride;
        if from < full {
            whole.push((from / stride, full / stride));
            from = full;
        }
        if from < to {
            put(from / stride, (0, to - from));
        }
    }
    rows.extend(whole.into_iter().map(|span| (span, vec![(0, stride)])));
    rows
}
