//! Whether a mapping can relate two definitions, decided before anything runs.

use std::collections::{BTreeMap, BTreeSet};

use super::definition::{DimensionMapping, PartitionMapping, WINDOW_OFFSET_MAX};
use super::error::MappingError;
use super::infer::infer;
use crate::partition::{KeyError, KeyList, MultiPartitions, PartitionsDefinition};

/// Checks a mapping against the two definitions; the error says what would work.
pub fn validate(
    mapping: &PartitionMapping,
    upstream: &PartitionsDefinition,
    downstream: &PartitionsDefinition,
) -> Result<(), MappingError> {
    use PartitionsDefinition::{Dynamic, Multi, Static, TimeWindow, Unpartitioned};
    let incompatible = |advice: &str| {
        Err(MappingError::Incompatible {
            mapping: mapping.kind(),
            upstream: upstream.kind(),
            downstream: downstream.kind(),
            advice: advice.to_owned(),
        })
    };
    match mapping {
        PartitionMapping::All | PartitionMapping::Last => Ok(()),
        PartitionMapping::Identity { .. } => match (upstream, downstream) {
            (Unpartitioned, Unpartitioned) => Ok(()),
            (TimeWindow(_), TimeWindow(_)) => match keys_unlike(upstream, downstream) {
                None => Ok(()),
                Some((up, down)) => incompatible(&format!(
                    "no key is the same on both sides ({up:?} upstream, {down:?} downstream); use time_window for the \
                     windows that overlap, or give both the same format"
                )),
            },
            (Static(_) | Dynamic(_), Static(_) | Dynamic(_)) => Ok(()),
            (Multi(up), Multi(down)) if up.dimensions.keys().eq(down.dimensions.keys()) => {
                let mut dimensions = up.dimensions.iter().zip(down.dimensions.values());
                dimensions.try_for_each(|((name, up), down)| check_dimension(name, Some(mapping), up, down))
            }
            (Multi(_), Multi(_)) => incompatible(
                "identity needs dimensions of the same names; use kind: multi and say which dimensions correspond",
            ),
            (Multi(_), _) | (_, Multi(_)) => {
                incompatible("use kind: dimension and name the dimension that corresponds, or all")
            }
            (Unpartitioned, _) | (_, Unpartitioned) => incompatible("use all, or leave the mapping out"),
            _ => incompatible("their keys are of different nature; use all, last or specific"),
        },
        PartitionMapping::TimeWindow { start_offset, end_offset, .. } => {
            for (field, value) in [("start_offset", *start_offset), ("end_offset", *end_offset)] {
                if value.unsigned_abs() > WINDOW_OFFSET_MAX.unsigned_abs() {
                    return Err(MappingError::OffsetOutOfRange { field, value });
                }
            }
            if start_offset > end_offset {
                let (start_offset, end_offset) = (*start_offset, *end_offset);
                return Err(MappingError::EmptyWindow { start_offset, end_offset });
            }
            match (upstream, downstream) {
                (TimeWindow(_), TimeWindow(_)) => Ok(()),
                (Multi(_), _) | (_, Multi(_)) => incompatible(
                    "windows overlap between single definitions; put it inside kind: dimension or kind: multi as that dimension's mapping",
                ),
                (Unpartitioned, _) | (_, Unpartitioned) => incompatible("use all, or leave the mapping out"),
                _ => incompatible("both sides must be made of time windows; use all, last or specific"),
            }
        }
        PartitionMapping::Specific { keys, .. } => match upstream {
            Unpartitioned => {
                incompatible("an unpartitioned upstream has no keys; use all, or leave the mapping out")
            }
            _ if keys.is_empty() => Err(MappingError::NoKeys),
            _ => keys.iter().try_for_each(|key| possible(upstream, key)),
        },
        PartitionMapping::Static { map } => match (upstream, downstream) {
            (Static(up), Static(down)) => {
                map.keys().try_for_each(|key| known("upstream", &up.keys, key))?;
                map.values().flatten().try_for_each(|key| known("downstream", &down.keys, key))
            }
            (Static(_) | Dynamic(_), Static(_) | Dynamic(_)) => Ok(()),
            _ => incompatible(
                "a table of keys relates static or dynamic definitions; use all, last or specific",
            ),
        },
        PartitionMapping::Dimension { dimension, mapping } => {
            let (multi, side) = match (upstream, downstream) {
                (Multi(_), Multi(_)) => return incompatible("both sides are multi; use kind: multi"),
                (Multi(multi), _) => (multi, "the upstream definition"),
                (_, Multi(multi)) => (multi, "the downstream definition"),
                _ => return incompatible("neither side has dimensions; use the mapping inside it alone"),
            };
            let inner = dimension_of(multi, dimension, side)?;
            let (up, down) =
                if matches!(upstream, Multi(_)) { (inner, downstream) } else { (upstream, inner) };
            check_dimension(dimension, mapping.as_deref(), up, down)
        }
        PartitionMapping::Multi { dimensions } => match (upstream, downstream) {
            (Multi(up), Multi(down)) => check_dimensions(dimensions, up, down),
            (Multi(_), Unpartitioned) | (Unpartitioned, Multi(_)) => {
                incompatible("use all, or leave the mapping out")
            }
            (Multi(_), _) | (_, Multi(_)) => incompatible(
                "only one side has dimensions; use kind: dimension and name the one that corresponds",
            ),
            _ => incompatible("neither side has dimensions; use the mapping inside it alone"),
        },
    }
}

fn check_dimensions(
    dimensions: &BTreeMap<String, DimensionMapping>,
    up: &MultiPartitions,
    down: &MultiPartitions,
) -> Result<(), MappingError> {
    let mut claimed = BTreeSet::new();
    for (name, one) in dimensions {
        let upstream = dimension_of(up, name, "the upstream definition")?;
        match one {
            DimensionMapping::Pinned { keys } if keys.is_empty() => {
                let problem = Box::new(MappingError::NoKeys);
                return Err(MappingError::Dimension { dimension: name.clone(), problem });
            }
            DimensionMapping::Pinned { keys } => keys.iter().try_for_each(|key| possible(upstream, key))?,
            DimensionMapping::To { dimension, mapping } => {
                let downstream = dimension_of(down, dimension, "the downstream definition")?;
                // Two upstream dimensions that follow one downstream dimension would not be a product of
                // relations, and subsets could no longer be mapped side by side.
                if !claimed.insert(dimension) {
                    return Err(MappingError::DimensionTwice { name: dimension.clone() });
                }
                check_dimension(name, mapping.as_deref(), upstream, downstream)?;
            }
        }
    }
    Ok(())
}

fn check_dimension(
    name: &str,
    mapping: Option<&PartitionMapping>,
    upstream: &PartitionsDefinition,
    downstream: &PartitionsDefinition,
) -> Result<(), MappingError> {
    match mapping {
        Some(mapping) => validate(mapping, upstream, downstream),
        None => infer(upstream, downstream).map(|_| ()),
    }
    .map_err(|problem| MappingError::Dimension { dimension: name.to_owned(), problem: Box::new(problem) })
}

fn dimension_of<'a>(
    multi: &'a MultiPartitions,
    name: &str,
    side: &'static str,
) -> Result<&'a PartitionsDefinition, MappingError> {
    multi.dimensions.get(name).ok_or_else(|| {
        let known: Vec<_> = multi.dimensions.keys().map(String::as_str).collect();
        MappingError::UnknownDimension { side, name: name.to_owned(), known: known.join(", ") }
    })
}

/// A key of each side, if no key of the one can ever be a key of the other: their lengths differ.
fn keys_unlike(
    upstream: &PartitionsDefinition,
    downstream: &PartitionsDefinition,
) -> Option<(String, String)> {
    let (up, down) = (upstream.key_shape()?, downstream.key_shape()?);
    let unlike = up.lengths.iter().all(|length| !down.lengths.contains(length));
    unlike.then_some((up.example, down.example))
}

/// Whether a key that a mapping names can ever be a partition. Which exist is told when a run is planned.
fn possible(upstream: &PartitionsDefinition, key: &str) -> Result<(), MappingError> {
    match upstream.never_a_key(key) {
        Some(problem) => {
            Err(MappingError::Key { side: "upstream", key: key.to_owned(), problem: Box::new(problem) })
        }
        None => Ok(()),
    }
}

fn known(side: &'static str, keys: &KeyList, key: &str) -> Result<(), MappingError> {
    match keys.position(key) {
        Some(_) => Ok(()),
        None => {
            let nearest = keys.nearest(key).map(str::to_owned);
            let problem = Box::new(KeyError::Unknown { key: key.to_owned(), nearest });
            Err(MappingError::Key { side, key: key.to_owned(), problem })
        }
    }
}
