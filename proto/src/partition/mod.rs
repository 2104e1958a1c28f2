//! Partitions: how an asset is sliced, which slices exist, and sets of them.
//!
//! The way from what a user writes to what the engine computes with has four stations:
//!
//! 1. [`PartitionsDefinition`] holds what was written (`definition`, read by `form`, understood by
//!    `compile`). It does not depend on the time.
//! 2. [`Partitions`] is the space of slices that exist at one instant: ordinals `0..len`, each with a
//!    key and perhaps a window (`space`). It lists nothing: a key list is hashed, time windows are
//!    counted (`windows`, `timeline`), products are mixed-radix numbers (`product`).
//! 3. [`PartitionSubset`] is a set of ordinals of such a space (`subset`).
//! 4. `select` and `ranges` are the way in and out for people: text to subset, subset to text.
//!
//! Around the definition:
//! - `keys`: what a key may be, and ordered lists of keys;
//! - `dynamic`: where the keys of dynamic definitions come from;
//! - `cells`: which cells of a multi definition exist;
//! - `shape`: what can be said about keys without knowing the time;
//! - `written`: fields that are either a text or something bigger;
//! - `when`: points in time as people write them;
//! - `error`, `windows_error`: what can be wrong, and why a time key names no partition.
//!
//! Around the space:
//! - `fingerprint`: what decides which ordinal a key has;
//! - `format`: from a tick to its key, and back;
//! - `blocks`: consecutive ordinals as selections;
//! - `lines`: the cells of a product that a subset holds, line by line;
//! - `stored`: subsets at rest;
//! - `carried`: cells carried over from one product to another;
//! - `alike`: windows of two definitions that begin at equal wall times.
//!
//! Time is in `sequence`: every cadence is a set of civil days (`days`: `cron` or `calendar`)
//! times a set of minutes, on the wall clock of a `zone`. What happens when clocks change is decided
//! there and nowhere else. `civil` has days and wall time as plain numbers, `schedule` the next ticks of a cron
//! expression.
//!
//! Ordinals mean something only together with the space that gave them out. At rest, a subset is
//! pinned to the [`Fingerprint`] of its space; when the definition has changed it is carried over by key,
//! never by position.

mod alike;
mod blocks;
mod calendar;
mod carried;
mod cells;
mod civil;
mod compile;
mod cron;
mod days;
mod definition;
mod dynamic;
mod error;
mod fingerprint;
mod form;
mod format;
mod keys;
mod lines;
mod product;
mod ranges;
mod schedule;
mod select;
mod sequence;
mod shape;
mod space;
mod stored;
mod subset;
mod timeline;
mod when;
mod windows;
mod windows_error;
mod written;
mod zone;

use chrono::{DateTime, Utc};

pub(crate) use compile::TimeSpec;
pub(crate) use ranges::quoted;
pub(crate) use timeline::{Layer as WindowLayer, Timeline};
pub(crate) use windows::Windows;
pub(crate) use written::text_or_list;

pub use blocks::Block;
pub use calendar::{CALENDAR_DAYS_MAX, Calendar, CalendarError, CalendarRef};
pub use compile::{DIMENSIONS_MAX, END_OFFSET_MAX, EXCLUDING_CRONS_MAX, MIN_DIMENSIONS};
pub use cron::CronError;
pub use definition::{
    Cadence, Cells, DynamicPartitions, Exclude, ExcludedDays, MultiPartitions, PartitionsDefinition,
    StaticPartitions, TimeWindowPartitions,
};
pub use dynamic::{DynamicKeys, NoDynamicKeys};
pub use error::{DefinitionError, DefinitionProblem, KeyError};
pub use fingerprint::Fingerprint;
pub use format::FormatError;
pub use keys::{
    InvalidKey, KEY_BYTES_MAX, KEY_SEPARATOR, KeyList, MULTI_KEY_BYTES_MAX, RANGE_SEPARATOR,
    check_dimension_key, check_key,
};
pub use ranges::KeyRange;
pub use schedule::{ScheduleError, next_cron_ticks};
pub use select::{SELECTION_BYTES_MAX, SELECTION_DEPTH_MAX, SelectError, SelectProblem};
pub use space::Partitions;
pub use stored::{CarriedOver, StoredSubset, StoredSubsetError};
pub use subset::{Page, PartitionSubset, SUBSET_BYTES_MAX, SubsetBytesError};
pub use zone::{zone_database_version, zone_names};

/// Most partitions of one definition: what ordinals can number.
pub const PARTITIONS_MAX: u64 = u32::MAX as u64;

/// A half-open stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeWindow {
    /// Its first instant.
    pub start: DateTime<Utc>,
    /// The first instant behind it.
    pub end: DateTime<Utc>,
}
