//! What can be wrong with a definition, and with a key.

use std::fmt;

use super::calendar::CalendarError;
use super::cron::CronError;
use super::format::FormatError;
use super::keys::InvalidKey;
use super::select::SelectError;

/// One thing that is wrong with a partitions definition. A definition reports all of them at once.
#[derive(Clone, Debug, PartialEq)]
pub struct DefinitionError {
    /// Where in the definition, as a path of field names: `dimensions.date.timezone`. Empty for the whole.
    pub path: String,
    /// What is wrong and what would be right.
    pub problem: Box<DefinitionProblem>,
}

/// What is wrong with a partitions definition.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum DefinitionProblem {
    /// A static key is not usable.
    #[error("{0}")]
    Key(InvalidKey),
    /// A static key stands in the list twice.
    #[error("partition key {key:?} is listed twice; remove one of them")]
    DuplicateKey {
        /// The key.
        key: String,
    },
    /// A static definition without keys.
    #[error(
        "there are no partition keys; list at least one, or leave partitions out for an unpartitioned asset"
    )]
    NoKeys,
    /// A zone that the database does not have.
    #[error("time zone {name:?} is not in the IANA database {version}{}", suggestion(.nearest.as_deref()))]
    UnknownZone {
        /// As written.
        name: String,
        /// The name most like it.
        nearest: Option<String>,
        /// The version of the bundled database.
        version: &'static str,
    },
    /// A start, end or exclusion that is no time.
    #[error(
        "{text:?} is not a time; write a date (2024-01-31), a local time (2024-01-31T06:00) or an instant (2024-01-31T06:00:00Z)"
    )]
    Time {
        /// As written.
        text: String,
    },
    /// A year that four digits cannot name, or that no zone rules reach.
    #[error("year {year} is outside the supported years {first} to {last}")]
    Year {
        /// The year.
        year: i32,
        /// First supported year.
        first: i32,
        /// Last supported year.
        last: i32,
    },
    /// The end is not after the start.
    #[error("end {end} is not after start {start}: there would never be a partition")]
    EndBeforeStart {
        /// As written.
        start: String,
        /// As written.
        end: String,
    },
    /// An offset outside its range.
    #[error("{value} is outside {low} to {high}")]
    OutOfRange {
        /// As written.
        value: i64,
        /// Smallest allowed.
        low: i64,
        /// Largest allowed.
        high: i64,
    },
    /// A cron expression that does not parse.
    #[error("cron expression {expression:?}: {problem}")]
    Cron {
        /// As written.
        expression: String,
        /// Why.
        problem: CronError,
    },
    /// A key format that does not parse.
    #[error("format {format:?}: {problem}")]
    Format {
        /// As written.
        format: String,
        /// Why.
        problem: FormatError,
    },
    /// A key format under which different windows would have the same key.
    #[error(
        "format {format:?} is too coarse: windows that begin in the same {unit} would share a key; use at least {example}"
    )]
    FormatTooCoarse {
        /// As written.
        format: String,
        /// The unit that the format does not show fully.
        unit: &'static str,
        /// A format that does.
        example: &'static str,
    },
    /// A format with years of two digits and windows in years that these do not name.
    #[error(
        "format {format:?} writes years with two digits, which name the years {first} to {last} and no others; use %Y, or a start and an end within these years"
    )]
    FormatShortYear {
        /// As written.
        format: String,
        /// First year that two digits name.
        first: i32,
        /// Last year that two digits name.
        last: i32,
    },
    /// Something is wrong with a calendar.
    #[error("{0}")]
    Calendar(CalendarError),
    /// Too many exclusions of one kind.
    #[error("{count} excluding cron expressions; the limit is {limit}: combine them into lists")]
    TooManyExclusions {
        /// How many there are.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// A multi definition with too few or too many dimensions.
    #[error("{count} dimensions; a multi definition has {low} to {high}")]
    DimensionCount {
        /// How many there are.
        count: usize,
        /// Fewest.
        low: usize,
        /// Most.
        high: usize,
    },
    /// A dimension name that the selection grammar could not name.
    #[error("dimension name {name:?} is not usable; use letters, digits and _, beginning with a letter")]
    DimensionName {
        /// As written.
        name: String,
    },
    /// A dimension that has dimensions or none of its own.
    #[error("a dimension cannot be {kind}; it is static, a time window or dynamic")]
    DimensionKind {
        /// `multi` or `unpartitioned`.
        kind: &'static str,
    },
    /// A name that is not a dimension.
    #[error("there is no dimension {name:?}; there are {known}")]
    UnknownDimension {
        /// As written.
        name: String,
        /// The dimensions.
        known: String,
    },
    /// A cell of `only` or `except` that does not select.
    #[error("cell of dimension {dimension:?}: {problem}")]
    Cell {
        /// The dimension.
        dimension: String,
        /// Why.
        problem: Box<SelectError>,
    },
    /// A cell that means something else tomorrow.
    #[error("cell of dimension {dimension:?} uses latest, which changes with time; name the partitions")]
    MovingCell {
        /// The dimension.
        dimension: String,
    },
    /// Both kinds of sparse lists.
    #[error("give either only or except, not both")]
    OnlyAndExcept,
    /// More partitions than ordinals.
    #[error(
        "there would be {count} partitions; the limit is {limit}: use a coarser cadence, a later start or fewer keys"
    )]
    TooManyPartitions {
        /// How many.
        count: u128,
        /// How many there may be.
        limit: u64,
    },
    /// Multi keys that would be too long.
    #[error(
        "partition keys would have up to {bytes} bytes ({parts}); the limit is {limit}: shorten the keys of the longest dimension, or use fewer dimensions"
    )]
    MultiKeysTooLong {
        /// Length of the longest.
        bytes: usize,
        /// What each dimension adds to it.
        parts: String,
        /// How long they may be.
        limit: usize,
    },
    /// A dynamic definition whose set of keys is not known where it is resolved.
    #[error("the dynamic partition set {name:?} is not known here")]
    UnknownDynamicSet {
        /// The set's name.
        name: String,
    },
    /// A dynamic definition without a usable name.
    #[error("a dynamic definition needs a name of 1 to {limit} printable characters")]
    DynamicName {
        /// Most bytes.
        limit: usize,
    },
}

impl DefinitionError {
    pub(crate) fn new(path: impl Into<String>, problem: DefinitionProblem) -> Self {
        Self { path: path.into(), problem: Box::new(problem) }
    }

    /// The same error, inside of something.
    pub(crate) fn under(mut self, parent: &str) -> Self {
        self.path = if self.path.is_empty() { parent.to_owned() } else { format!("{parent}.{}", self.path) };
        self
    }
}

impl fmt::Display for DefinitionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            write!(f, "{}", self.problem)
        } else {
            write!(f, "{}: {}", self.path, self.problem)
        }
    }
}

impl std::error::Error for DefinitionError {}

/// Why a key does not name a partition that exists.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum KeyError {
    /// No such key in a static or dynamic list.
    #[error("there is no partition {key:?}{}", suggestion(.nearest.as_deref()))]
    Unknown {
        /// The key.
        key: String,
        /// The key most like it.
        nearest: Option<String>,
    },
    /// A time key of another shape.
    #[error("{key:?} is not a partition key of this definition; its keys look like {example}")]
    Malformed {
        /// The key.
        key: String,
        /// A key that the definition would make.
        example: String,
    },
    /// A time key in another spelling.
    #[error("{key:?} is not spelled as a partition key (did you mean {canonical:?}?)")]
    NotCanonical {
        /// The key.
        key: String,
        /// Its one spelling.
        canonical: String,
    },
    /// A time that wall clocks jumped over.
    #[error("there is no partition {key:?}: clocks in {zone} skip that time (the next one is {next:?})")]
    Skipped {
        /// The key.
        key: String,
        /// The zone.
        zone: String,
        /// The partition behind the gap.
        next: String,
    },
    /// A time at which no window begins.
    #[error("there is no partition {key:?}: no window begins then (nearest: {nearest})")]
    NotABoundary {
        /// The key.
        key: String,
        /// The partitions around it.
        nearest: String,
    },
    /// A window that is excluded.
    #[error("partition {key:?} is excluded by the definition")]
    Excluded {
        /// The key.
        key: String,
    },
    /// A window before the first.
    #[error("partition {key:?} is before the first one, {first:?}")]
    BeforeStart {
        /// The key.
        key: String,
        /// The first partition.
        first: String,
    },
    /// A window behind the last because it is not complete yet or lies behind the end.
    #[error("partition {key:?} does not exist: {}", behind(.last.as_deref(), *.ended))]
    AfterEnd {
        /// The key.
        key: String,
        /// The last partition, if there is any.
        last: Option<String>,
        /// Whether the definition's end is the reason, rather than the present time.
        ended: bool,
    },
    /// A multi key with another number of parts.
    #[error(
        "{key:?} has {found} parts where there are {expected} dimensions ({dimensions}); join one key of each with |"
    )]
    Parts {
        /// The key.
        key: String,
        /// How many parts it has.
        found: usize,
        /// How many dimensions there are.
        expected: usize,
        /// Their names in order.
        dimensions: String,
    },
    /// A part of a multi key that names nothing.
    #[error("dimension {dimension:?} of {key:?}: {problem}")]
    Dimension {
        /// The whole key.
        key: String,
        /// The dimension.
        dimension: String,
        /// What is wrong with its part.
        problem: Box<KeyError>,
    },
    /// A combination that a sparse product does not have.
    #[error("partition {key:?} is not one of the combinations that exist (see only and except)")]
    NoSuchCell {
        /// The key.
        key: String,
    },
    /// A key given for an asset that is not partitioned.
    #[error("{key:?} names a partition, but this is not partitioned")]
    Unpartitioned {
        /// The key.
        key: String,
    },
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map_or(String::new(), |nearest| format!(" (did you mean {nearest:?}?)"))
}

fn behind(last: Option<&str>, ended: bool) -> String {
    match (last, ended) {
        (Some(last), false) => {
            format!("its window is not complete yet (the last one that exists is {last:?})")
        }
        (Some(last), true) => format!("it is behind the end of the definition (the last one is {last:?})"),
        (None, false) => "no window is complete yet".to_owned(),
        (None, true) => "the definition ends before its first window does".to_owned(),
    }
}
