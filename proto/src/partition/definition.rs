//! How people write down the way an asset is sliced.
//!
//! These types hold what was written, word for word; nothing is checked while it is read, so that
//! [`PartitionsDefinition::validate`] can report everything that is wrong at once. What the words mean is
//! decided in [`super::compile`].

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::calendar::{Calendar, CalendarError, CalendarRef};
use super::error::{DefinitionError, DefinitionProblem};
use super::form::DefinitionForm;
use super::keys::KeyList;
use super::written::text_or_mapping;

/// How an asset is sliced into partitions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "DefinitionForm", into = "DefinitionForm")]
#[schemars(with = "DefinitionForm")]
pub enum PartitionsDefinition {
    /// Not at all.
    #[default]
    Unpartitioned,
    /// Into a fixed list of keys.
    Static(StaticPartitions),
    /// Into windows of time.
    TimeWindow(TimeWindowPartitions),
    /// Into the combinations of several dimensions.
    Multi(MultiPartitions),
    /// Into a named set of keys that changes at run time.
    Dynamic(DynamicPartitions),
}

/// A fixed, ordered list of keys.
#[derive(Clone, Debug, PartialEq)]
pub struct StaticPartitions {
    /// The keys in their order.
    pub keys: KeyList,
}

/// A named set of keys, kept elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub struct DynamicPartitions {
    /// The name of the set; assets that use the same name share the set.
    pub name: String,
}

/// Windows of time: each begins at a tick of the cadence and ends at the next.
#[derive(Clone, Debug, PartialEq)]
pub struct TimeWindowPartitions {
    /// When windows begin.
    pub cadence: Cadence,
    /// The first window begins at the first tick at or after this local time.
    pub start: String,
    /// No window ends after this local time.
    pub end: Option<String>,
    /// IANA name of the zone whose wall clock the cadence follows; `UTC` if absent.
    pub timezone: Option<String>,
    /// How many windows exist beyond those that are complete: 1 includes the current one, -1 leaves out
    /// the newest complete one.
    pub end_offset: i32,
    /// strftime pattern of the keys; the cadence's own if absent.
    pub format: Option<String>,
    /// Windows that are taken out.
    pub exclude: Vec<Exclude>,
}

/// When windows begin.
#[derive(Clone, Debug, PartialEq)]
pub enum Cadence {
    /// Every hour, at a minute.
    Hourly {
        /// 0 to 59.
        minute_offset: u32,
    },
    /// Every day, at a time.
    Daily {
        /// 0 to 23.
        hour_offset: u32,
        /// 0 to 59.
        minute_offset: u32,
    },
    /// One day of every week, at a time.
    Weekly {
        /// 0 (Sunday) to 6.
        day_offset: u32,
        /// 0 to 23.
        hour_offset: u32,
        /// 0 to 59.
        minute_offset: u32,
    },
    /// One day of every month that has it, at a time.
    Monthly {
        /// 1 to 31.
        day_offset: u32,
        /// 0 to 23.
        hour_offset: u32,
        /// 0 to 59.
        minute_offset: u32,
    },
    /// As a cron expression says.
    Cron {
        /// Five fields, or `@daily` and its like.
        cron: String,
    },
    /// On the days of a calendar, at a time.
    Calendar {
        /// The days.
        calendar: CalendarRef,
        /// 0 to 23.
        hour_offset: u32,
        /// 0 to 59.
        minute_offset: u32,
    },
}

/// Windows that are taken out of a time-window definition, by where they begin.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Exclude {
    /// A cron expression (each of its ticks) or a single local time or instant.
    When(String),
    /// Every window that begins on a day of a calendar.
    On(ExcludedDays),
}

impl<'de> Deserialize<'de> for Exclude {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expecting = "a cron expression, a time, or a mapping with a calendar";
        text_or_mapping(deserializer, expecting, Self::When, Self::On)
    }
}

/// Days whose windows are taken out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExcludedDays {
    /// The days.
    pub calendar: CalendarRef,
}

/// One way to pick cells of a product: dimension name to a selection of that dimension. Dimensions that
/// are not named are taken whole.
pub type Cells = BTreeMap<String, String>;

/// The combinations of several dimensions.
#[derive(Clone, Debug, PartialEq)]
pub struct MultiPartitions {
    /// The dimensions by name. Keys join their parts in the order of these names.
    pub dimensions: BTreeMap<String, PartitionsDefinition>,
    /// The dimension that ranges run along when people read them, and that `latest` means. Without it:
    /// the time dimension if there is exactly one, else the first.
    pub primary: Option<String>,
    /// If not empty: only these cells exist.
    pub only: Vec<Cells>,
    /// These cells do not exist.
    pub except: Vec<Cells>,
}

impl PartitionsDefinition {
    /// Whether there is anything to select.
    pub fn is_partitioned(&self) -> bool {
        !matches!(self, Self::Unpartitioned)
    }

    /// The word that names this kind in a definition file.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unpartitioned => "unpartitioned",
            Self::Static(_) => "static",
            Self::Multi(_) => "multi",
            Self::Dynamic(_) => "dynamic",
            Self::TimeWindow(windows) => match windows.cadence {
                Cadence::Hourly { .. } => "hourly",
                Cadence::Daily { .. } => "daily",
                Cadence::Weekly { .. } => "weekly",
                Cadence::Monthly { .. } => "monthly",
                Cadence::Cron { .. } => "cron",
                Cadence::Calendar { .. } => "calendar",
            },
        }
    }

    /// A static definition of these keys.
    pub fn of_keys<K: Into<std::sync::Arc<str>>>(keys: impl IntoIterator<Item = K>) -> Self {
        Self::Static(StaticPartitions { keys: KeyList::new(keys) })
    }

    /// Puts the project's calendars where their names stand. Reports every name that is not defined.
    pub fn bind_calendars(
        &mut self,
        calendars: &BTreeMap<String, Calendar>,
    ) -> Result<(), Vec<DefinitionError>> {
        let mut errors = Vec::new();
        self.bind(calendars, &mut errors);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    fn bind(&mut self, calendars: &BTreeMap<String, Calendar>, errors: &mut Vec<DefinitionError>) {
        match self {
            Self::TimeWindow(windows) => {
                if let Cadence::Calendar { calendar, .. } = &mut windows.cadence {
                    bind_one(calendar, "calendar", calendars, errors);
                }
                for (index, exclude) in windows.exclude.iter_mut().enumerate() {
                    if let Exclude::On(days) = exclude {
                        let path = format!("exclude[{index}].calendar");
                        bind_one(&mut days.calendar, &path, calendars, errors);
                    }
                }
            }
            Self::Multi(multi) => {
                for (name, dimension) in &mut multi.dimensions {
                    let mut inner = Vec::new();
                    dimension.bind(calendars, &mut inner);
                    errors.extend(inner.into_iter().map(|e| e.under(&format!("dimensions.{name}"))));
                }
            }
            Self::Unpartitioned | Self::Static(_) | Self::Dynamic(_) => {}
        }
    }
}

fn bind_one(
    reference: &mut CalendarRef,
    path: &str,
    calendars: &BTreeMap<String, Calendar>,
    errors: &mut Vec<DefinitionError>,
) {
    if let CalendarRef::Named(name) = reference {
        match calendars.get(name) {
            Some(calendar) => *reference = CalendarRef::Inline(calendar.clone()),
            None => {
                let problem = DefinitionProblem::Calendar(CalendarError::Unknown { name: name.clone() });
                errors.push(DefinitionError::new(path, problem));
            }
        }
    }
}
