//! Why two definitions cannot be related so.

use crate::partition::KeyError;

/// What is wrong with a mapping between two definitions; each says what would work.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum MappingError {
    /// Nothing can be inferred between these kinds.
    #[error(
        "no mapping can be inferred from {upstream} (upstream) to {downstream} (downstream) partitions; {advice}"
    )]
    NotInferable {
        /// Kind of the upstream definition.
        upstream: &'static str,
        /// Kind of the downstream definition.
        downstream: &'static str,
        /// What would work.
        advice: String,
    },
    /// More than one dimension could be meant.
    #[error(
        "dimensions {candidates} all correspond to the {other} partitions on the other side; say which: \
         mapping: {{kind: dimension, dimension: {first}}}"
    )]
    AmbiguousDimension {
        /// Those that could be meant.
        candidates: String,
        /// One of them, as an example.
        first: String,
        /// Kind of the other definition.
        other: &'static str,
    },
    /// A mapping that cannot relate these kinds.
    #[error(
        "mapping {mapping} cannot relate {upstream} (upstream) to {downstream} (downstream) partitions; {advice}"
    )]
    Incompatible {
        /// Kind of the mapping.
        mapping: &'static str,
        /// Kind of the upstream definition.
        upstream: &'static str,
        /// Kind of the downstream definition.
        downstream: &'static str,
        /// What would work.
        advice: String,
    },
    /// A dimension that is not there.
    #[error("{side} has no dimension {name:?}; it has {known}")]
    UnknownDimension {
        /// `the upstream definition` or `the downstream definition`.
        side: &'static str,
        /// As written.
        name: String,
        /// Those that it has.
        known: String,
    },
    /// A downstream dimension that two upstream dimensions claim.
    #[error(
        "downstream dimension {name:?} is mapped twice; map it once and leave the other upstream dimension out (all of it) or pin it with keys"
    )]
    DimensionTwice {
        /// The dimension.
        name: String,
    },
    /// Something wrong inside a dimension.
    #[error("dimension {dimension:?}: {problem}")]
    Dimension {
        /// The dimension.
        dimension: String,
        /// What is wrong.
        #[source]
        problem: Box<MappingError>,
    },
    /// A window that ends before it begins.
    #[error(
        "start_offset {start_offset} is greater than end_offset {end_offset}: the window would be empty; exchange them or make them equal"
    )]
    EmptyWindow {
        /// As written.
        start_offset: i32,
        /// As written.
        end_offset: i32,
    },
    /// An offset that cannot be meant.
    #[error("{field} {value} is outside -{limit} to {limit}", limit = super::WINDOW_OFFSET_MAX)]
    OffsetOutOfRange {
        /// Which one.
        field: &'static str,
        /// As written.
        value: i32,
    },
    /// A key in the mapping that the definition does not have.
    #[error("{side} key {key:?}: {problem}")]
    Key {
        /// `upstream` or `downstream`.
        side: &'static str,
        /// As written.
        key: String,
        /// Why it names nothing.
        problem: Box<KeyError>,
    },
    /// A list of keys with nothing in it.
    #[error("there are no keys in the mapping; list at least one, or use kind: all")]
    NoKeys,
}
