//! Short words for the tests.

use backstitch_proto::mapping::{Mapper, PartitionMapping};
use backstitch_proto::partition::{NoDynamicKeys, PartitionSubset, Partitions, PartitionsDefinition};
use chrono::{DateTime, Utc};

/// An instant, as RFC 3339.
pub(crate) fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// A definition, as people write it.
pub(crate) fn definition(yaml: &str) -> PartitionsDefinition {
    serde_saphyr::from_str(yaml).unwrap_or_else(|error| panic!("{yaml}: {error}"))
}

/// The partitions of a valid definition at an instant.
pub(crate) fn space(yaml: &str, now: &str) -> Partitions {
    let definition = definition(yaml);
    definition.validate().unwrap_or_else(|errors| panic!("{yaml}: {errors:?}"));
    definition.resolve(at(now), &NoDynamicKeys).unwrap_or_else(|error| panic!("{yaml}: {error}"))
}

/// All keys in order.
pub(crate) fn keys(space: &Partitions) -> Vec<String> {
    space.keys(&space.all()).collect()
}

/// What is wrong with a definition, as text.
pub(crate) fn errors(yaml: &str) -> Vec<String> {
    definition(yaml).validate().err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

/// The keys that a selection names.
pub(crate) fn selected(space: &Partitions, text: &str) -> Vec<String> {
    let subset = space.parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    space.keys(&subset).collect()
}

/// Why a selection names nothing.
pub(crate) fn refused(space: &Partitions, text: &str) -> String {
    match space.parse(text) {
        Ok(subset) => panic!("{text} selects {subset:?}"),
        Err(error) => error.to_string(),
    }
}

/// A mapping, as people write it.
pub(crate) fn mapping(yaml: &str) -> PartitionMapping {
    serde_saphyr::from_str(yaml).unwrap_or_else(|error| panic!("{yaml}: {error}"))
}

/// The subset of some keys.
pub(crate) fn subset(space: &Partitions, keys: &[&str]) -> PartitionSubset {
    keys.iter().map(|key| space.ordinal(key).unwrap_or_else(|error| panic!("{error}"))).collect()
}

/// What some downstream keys need: the keys that exist and those that are missing.
pub(crate) fn needs(
    mapper: &Mapper,
    upstream: &Partitions,
    downstream: &Partitions,
    keys: &[&str],
) -> (Vec<String>, Vec<String>) {
    let answer = mapper.upstream_of(&subset(downstream, keys));
    (upstream.keys(&answer.subset).collect(), answer.missing.keys().collect())
}
