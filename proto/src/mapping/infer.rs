//! The mapping that is meant when none is written.
//!
//! | downstream \ upstream | unpartitioned | time windows | static, dynamic | multi |
//! |---|---|---|---|---|
//! | unpartitioned | all | all | all | all |
//! | time windows | all | overlapping windows | - | the equal or only time dimension |
//! | static, dynamic | all | - | same key | the equal dimension |
//! | multi | all | the equal or only time dimension | the equal dimension | dimensions of equal names |

use std::collections::BTreeMap;

use super::definition::{DimensionMapping, MissingPolicy, PartitionMapping};
use super::error::MappingError;
use crate::partition::{MultiPartitions, PartitionsDefinition};

/// What to write between two single definitions of different nature.
const TIME_AND_KEYS: &str = "write one: all, last, specific (named upstream keys), or make one side multi with the other's \
                             partitions as a dimension";

/// Finds the mapping between two definitions for which the user wrote none.
pub fn infer(
    upstream: &PartitionsDefinition,
    downstream: &PartitionsDefinition,
) -> Result<PartitionMapping, MappingError> {
    use PartitionsDefinition::{Dynamic, Multi, Static, TimeWindow, Unpartitioned};
    match (upstream, downstream) {
        (Unpartitioned, _) | (_, Unpartitioned) => Ok(PartitionMapping::All),
        (TimeWindow(_), TimeWindow(_)) => Ok(PartitionMapping::overlap()),
        (Static(_) | Dynamic(_), Static(_) | Dynamic(_)) => {
            Ok(PartitionMapping::Identity { missing: MissingPolicy::Error })
        }
        (TimeWindow(_), Static(_) | Dynamic(_)) | (Static(_) | Dynamic(_), TimeWindow(_)) => {
            Err(not_inferable(upstream, downstream, TIME_AND_KEYS.to_owned()))
        }
        (Multi(up), Multi(down)) => by_name(up, down, upstream, downstream),
        (Multi(multi), single) | (single, Multi(multi)) => corresponding(multi, single, upstream, downstream),
    }
}

/// Between a multi definition and a single one: the dimension that is the same, or the only one of time.
fn corresponding(
    multi: &MultiPartitions,
    single: &PartitionsDefinition,
    upstream: &PartitionsDefinition,
    downstream: &PartitionsDefinition,
) -> Result<PartitionMapping, MappingError> {
    let equal = |dimension: &PartitionsDefinition| match (dimension.compile(), single.compile()) {
        (Ok(one), Ok(other)) => one == other,
        _ => dimension == single,
    };
    let is_time = |dimension: &PartitionsDefinition| matches!(dimension, PartitionsDefinition::TimeWindow(_));
    let names = |wanted: &dyn Fn(&PartitionsDefinition) -> bool| -> Vec<&String> {
        multi.dimensions.iter().filter(|(_, dimension)| wanted(dimension)).map(|(name, _)| name).collect()
    };
    let mut candidates = names(&equal);
    if candidates.is_empty() && is_time(single) {
        candidates = names(&is_time);
    }
    match &candidates[..] {
        [name] => Ok(PartitionMapping::Dimension { dimension: (*name).clone(), mapping: None }),
        [] => {
            let known: Vec<_> = multi.dimensions.keys().map(String::as_str).collect();
            let advice = format!(
                "no dimension of the multi definition has the same partitions; name the one that corresponds: \
                 mapping: {{kind: dimension, dimension: {}}}, with a mapping of its own if keys differ, or use all",
                known.join(" or ")
            );
            Err(not_inferable(upstream, downstream, advice))
        }
        [first, ..] => {
            let all: Vec<_> = candidates.iter().map(|name| name.as_str()).collect();
            let first = (*first).clone();
            Err(MappingError::AmbiguousDimension { candidates: all.join(", "), first, other: single.kind() })
        }
    }
}

/// Between multi definitions: dimensions of the same name correspond, and one side must have them all.
fn by_name(
    up: &MultiPartitions,
    down: &MultiPartitions,
    upstream: &PartitionsDefinition,
    downstream: &PartitionsDefinition,
) -> Result<PartitionMapping, MappingError> {
    let shared: Vec<&String> =
        up.dimensions.keys().filter(|name| down.dimensions.contains_key(*name)).collect();
    if shared.is_empty() || shared.len() < up.dimensions.len().min(down.dimensions.len()) {
        let advice = "their dimensions have different names; say which correspond: \
                      mapping: {kind: multi, dimensions: {UPSTREAM: {dimension: DOWNSTREAM}}}";
        return Err(not_inferable(upstream, downstream, advice.to_owned()));
    }
    let mut dimensions = BTreeMap::new();
    for name in shared {
        // Both exist: the name is shared.
        let mapping = infer(&up.dimensions[name], &down.dimensions[name]);
        let mapping = mapping.map_err(|problem| MappingError::Dimension {
            dimension: name.clone(),
            problem: Box::new(problem),
        })?;
        let mapping = Some(Box::new(mapping));
        dimensions.insert(name.clone(), DimensionMapping::To { dimension: name.clone(), mapping });
    }
    Ok(PartitionMapping::Multi { dimensions })
}

fn not_inferable(
    upstream: &PartitionsDefinition,
    downstream: &PartitionsDefinition,
    advice: String,
) -> MappingError {
    MappingError::NotInferable { upstream: upstream.kind(), downstream: downstream.kind(), advice }
}
