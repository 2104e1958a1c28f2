//! From a written mapping and two spaces to the relation between them.

use std::collections::BTreeMap;

use super::axes::{Axes, Product, Side};
use super::definition::{DimensionMapping, MissingPolicy, PartitionMapping};
use super::error::MappingError;
use super::keyed::{Shift, Table};
use super::mapper::{Mapper, Relation};
use super::overlap::Overlap;
use crate::partition::{KeyError, PartitionSubset, Partitions};

/// Binds a mapping; the policy is for what the relation itself finds missing.
pub(crate) fn bind(
    mapping: &PartitionMapping,
    upstream: &Partitions,
    downstream: &Partitions,
) -> Result<(Relation, MissingPolicy), MappingError> {
    let strict = |relation| Ok((relation, MissingPolicy::Error));
    match mapping {
        PartitionMapping::All => strict(Relation::All),
        PartitionMapping::Last => {
            let needed = upstream.len().checked_sub(1).into_iter().collect();
            strict(Relation::Fixed { needed, absent: Vec::new() })
        }
        PartitionMapping::Specific { keys, missing } => {
            let (needed, absent) = find(upstream, keys)?;
            Ok((Relation::Fixed { needed, absent }, *missing))
        }
        PartitionMapping::Identity { missing } => Ok((identity(upstream, downstream, *missing)?, *missing)),
        PartitionMapping::Static { map } => strict(Relation::Table(table(map, upstream, downstream))),
        PartitionMapping::TimeWindow { start_offset, end_offset, missing } => {
            if start_offset > end_offset {
                let (start_offset, end_offset) = (*start_offset, *end_offset);
                return Err(MappingError::EmptyWindow { start_offset, end_offset });
            }
            let (Some(up), Some(down)) = (upstream.windows(), downstream.windows()) else {
                return Err(incompatible("time_window", upstream, downstream));
            };
            Ok((Relation::Overlap(Overlap::new(up, down, *start_offset, *end_offset)), *missing))
        }
        PartitionMapping::Dimension { dimension, mapping } => {
            strict(Relation::Axes(one_dimension(dimension, mapping.as_deref(), upstream, downstream)?))
        }
        PartitionMapping::Multi { dimensions } => {
            strict(Relation::Axes(by_dimension(dimensions, upstream, downstream)?))
        }
    }
}

/// The ordinals of keys, and the keys that name nothing that exists. A key that can never exist is an error.
fn find(upstream: &Partitions, keys: &[String]) -> Result<(PartitionSubset, Vec<String>), MappingError> {
    let mut needed = PartitionSubset::new();
    let mut absent = Vec::new();
    for key in keys {
        match upstream.ordinal(key) {
            Ok(ordinal) => {
                needed.insert(ordinal);
            }
            Err(problem) if may_come(&problem) => absent.push(key.clone()),
            Err(problem) => {
                let problem = Box::new(problem);
                return Err(MappingError::Key { side: "upstream", key: key.clone(), problem });
            }
        }
    }
    Ok((needed, absent))
}

/// Whether a key that names nothing now is well-formed and may name something at another time.
fn may_come(problem: &KeyError) -> bool {
    match problem {
        KeyError::BeforeStart { .. } | KeyError::AfterEnd { .. } | KeyError::Unknown { .. } => true,
        KeyError::Dimension { problem, .. } => may_come(problem),
        _ => false,
    }
}

fn identity(
    upstream: &Partitions,
    downstream: &Partitions,
    missing: MissingPolicy,
) -> Result<Relation, MappingError> {
    let shift = |delta| {
        Relation::Shift(Shift { delta, upstream_len: upstream.len(), downstream_len: downstream.len() })
    };
    if upstream.fingerprint() == downstream.fingerprint() {
        return Ok(shift(0));
    }
    if let (Some(up), Some(down)) = (upstream.windows(), downstream.windows()) {
        return Ok(up.shift_from(down).map_or(Relation::SameKey, shift));
    }
    let names = (upstream.dimension_names(), downstream.dimension_names());
    if names.0 == names.1 && !names.0.is_empty() {
        // Keys are equal when every part is; relating the parts never looks at whole keys.
        let same = PartitionMapping::Identity { missing };
        let to =
            |name: String| DimensionMapping::To { dimension: name, mapping: Some(Box::new(same.clone())) };
        let dimensions = names.0.into_iter().map(|name| (name.clone(), to(name))).collect();
        return Ok(Relation::Axes(by_dimension(&dimensions, upstream, downstream)?));
    }
    match (upstream.key_list(), downstream.key_list()) {
        (Some(_), Some(_)) => Ok(Relation::SameKey),
        _ => Err(incompatible("identity", upstream, downstream)),
    }
}

fn table(map: &BTreeMap<String, Vec<String>>, upstream: &Partitions, downstream: &Partitions) -> Table {
    let mut pairs = Vec::new();
    for (up, downs) in map {
        // A key of a dynamic set that is not there (any more) relates to nothing.
        let Some(up) = upstream.find(up) else { continue };
        pairs.extend(downs.iter().filter_map(|down| downstream.find(down)).map(|down| (up, down)));
    }
    Table::new(&pairs, upstream.len(), downstream.len())
}

fn one_dimension(
    dimension: &str,
    mapping: Option<&PartitionMapping>,
    upstream: &Partitions,
    downstream: &Partitions,
) -> Result<Axes, MappingError> {
    let (multi, side) = match (upstream.product(), downstream.product()) {
        (Some(_), None) => (upstream, "the upstream definition"),
        (None, Some(_)) => (downstream, "the downstream definition"),
        _ => return Err(incompatible("dimension", upstream, downstream)),
    };
    let (index, inner) = dimension_of(multi, dimension, side)?;
    let upstream_is_multi = upstream.product().is_some();
    let (up, down) = if upstream_is_multi { (inner, downstream) } else { (upstream, inner) };
    let mapper = bind_dimension(dimension, mapping, up, down)?;
    let sides = if upstream_is_multi {
        let follows = |at| {
            if at == index { Side::Follows { dimension: 0, mapper: mapper.clone() } } else { Side::Free }
        };
        (0..upstream.dimensions().count()).map(follows).collect()
    } else {
        vec![Side::Follows { dimension: index, mapper }]
    };
    Ok(Axes { upstream: Product::of(upstream), downstream: Product::of(downstream), sides })
}

fn by_dimension(
    dimensions: &BTreeMap<String, DimensionMapping>,
    upstream: &Partitions,
    downstream: &Partitions,
) -> Result<Axes, MappingError> {
    if upstream.product().is_none() || downstream.product().is_none() {
        return Err(incompatible("multi", upstream, downstream));
    }
    for name in dimensions.keys() {
        dimension_of(upstream, name, "the upstream definition")?;
    }
    let mut claimed = vec![false; downstream.dimensions().count()];
    let mut sides = Vec::new();
    for (name, up) in upstream.dimensions() {
        sides.push(match dimensions.get(name) {
            None => Side::Free,
            Some(DimensionMapping::Pinned { keys }) => {
                let (keys, absent) = find(up, keys)?;
                Side::Pinned { keys, absent }
            }
            Some(DimensionMapping::To { dimension, mapping }) => {
                let (index, down) = dimension_of(downstream, dimension, "the downstream definition")?;
                if std::mem::replace(&mut claimed[index], true) {
                    return Err(MappingError::DimensionTwice { name: dimension.clone() });
                }
                Side::Follows {
                    dimension: index,
                    mapper: bind_dimension(name, mapping.as_deref(), up, down)?,
                }
            }
        });
    }
    Ok(Axes { upstream: Product::of(upstream), downstream: Product::of(downstream), sides })
}

fn bind_dimension(
    name: &str,
    mapping: Option<&PartitionMapping>,
    upstream: &Partitions,
    downstream: &Partitions,
) -> Result<Mapper, MappingError> {
    let inferred;
    let mapping = match mapping {
        Some(mapping) => mapping,
        // Inside a dimension there are only windows and keys; between the two nothing is inferred.
        None if upstream.is_time() && downstream.is_time() => {
            inferred = PartitionMapping::overlap();
            &inferred
        }
        None => {
            inferred = PartitionMapping::Identity { missing: MissingPolicy::Error };
            &inferred
        }
    };
    Mapper::new(mapping, upstream, downstream)
        .map_err(|problem| MappingError::Dimension { dimension: name.to_owned(), problem: Box::new(problem) })
}

fn dimension_of<'a>(
    multi: &'a Partitions,
    name: &str,
    side: &'static str,
) -> Result<(usize, &'a Partitions), MappingError> {
    let found = multi.dimensions().enumerate().find(|(_, (known, _))| *known == name);
    found.map(|(index, (_, dimension))| (index, dimension)).ok_or_else(|| {
        let known = multi.dimension_names().join(", ");
        MappingError::UnknownDimension { side, name: name.to_owned(), known }
    })
}

fn incompatible(mapping: &'static str, upstream: &Partitions, downstream: &Partitions) -> MappingError {
    let advice = "check the mapping against the definitions to see what would work".to_owned();
    MappingError::Incompatible {
        mapping,
        upstream: upstream.nature(),
        downstream: downstream.nature(),
        advice,
    }
}
