//! The written form of a definition: one mapping with a `kind` and that kind's fields beside it.
//!
//! One flat structure rather than a tagged enum, because a tagged enum is read through a buffer that
//! forgets line and column; so a field that is unknown, or of the wrong type, is reported where it stands.
//! A field that exists but belongs to another kind is reported by name when the form is taken apart.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::calendar::CalendarRef;
use super::definition::{
    Cadence, Cells, DynamicPartitions, Exclude, MultiPartitions, PartitionsDefinition, StaticPartitions,
    TimeWindowPartitions,
};
use super::keys::KeyList;

/// How an asset is sliced into partitions.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PartitionsDefinition")]
pub(crate) struct DefinitionForm {
    /// What kind of partitions; the other fields depend on it.
    kind: Kind,
    /// static: the partition keys, in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keys: Option<Vec<String>>,
    /// dynamic: the name of the set of keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// cron: five fields, or @daily and its like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cron: Option<String>,
    /// calendar: the days on which windows begin, by name or in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    calendar: Option<CalendarRef>,
    /// Time windows: no window begins before this date or local time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start: Option<String>,
    /// Time windows: no window ends after this date or local time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end: Option<String>,
    /// Time windows: the IANA zone whose wall clock counts; UTC if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timezone: Option<String>,
    /// hourly, daily, weekly, monthly, calendar: minute at which windows begin, 0 to 59.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    minute_offset: Option<u32>,
    /// daily, weekly, monthly, calendar: hour at which windows begin, 0 to 23.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hour_offset: Option<u32>,
    /// weekly: 0 (Sunday) to 6; monthly: 1 to 31.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    day_offset: Option<u32>,
    /// Time windows: how many exist beyond the complete ones; 1 includes the current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end_offset: Option<i32>,
    /// Time windows: strftime pattern of the keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    format: Option<String>,
    /// Time windows: cron expressions, times and calendars whose windows are taken out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exclude: Option<Vec<Exclude>>,
    /// multi: two to eight dimensions by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dimensions: Option<BTreeMap<String, PartitionsDefinition>>,
    /// multi: the dimension that ranges run along and that `latest` means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    primary: Option<String>,
    /// multi: only these cells exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    only: Option<Vec<Cells>>,
    /// multi: these cells do not exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    except: Option<Vec<Cells>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Kind {
    #[default]
    Unpartitioned,
    Static,
    Hourly,
    Daily,
    Weekly,
    Monthly,
    Cron,
    Calendar,
    Multi,
    Dynamic,
}

/// Why a written definition cannot be taken apart.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FormError {
    #[error("partitions of kind {kind} need the field `{field}`")]
    Missing { kind: &'static str, field: &'static str },
    #[error("the field `{field}` does not belong to partitions of kind {kind}; remove it")]
    Foreign { kind: &'static str, field: &'static str },
}

impl TryFrom<DefinitionForm> for PartitionsDefinition {
    type Error = FormError;

    fn try_from(mut form: DefinitionForm) -> Result<Self, FormError> {
        let kind = form.kind.word();
        let missing = |field| FormError::Missing { kind, field };
        let definition = match form.kind {
            Kind::Unpartitioned => Self::Unpartitioned,
            Kind::Static => {
                let keys = form.keys.take().ok_or(missing("keys"))?;
                Self::Static(StaticPartitions { keys: KeyList::new(keys) })
            }
            Kind::Dynamic => {
                Self::Dynamic(DynamicPartitions { name: form.name.take().ok_or(missing("name"))? })
            }
            Kind::Multi => Self::Multi(MultiPartitions {
                dimensions: form.dimensions.take().ok_or(missing("dimensions"))?,
                primary: form.primary.take(),
                only: form.only.take().unwrap_or_default(),
                except: form.except.take().unwrap_or_default(),
            }),
            _ => Self::TimeWindow(TimeWindowPartitions {
                cadence: form.take_cadence()?,
                start: form.start.take().ok_or(missing("start"))?,
                end: form.end.take(),
                timezone: form.timezone.take(),
                end_offset: form.end_offset.take().unwrap_or_default(),
                format: form.format.take(),
                exclude: form.exclude.take().unwrap_or_default(),
            }),
        };
        match form.first_left() {
            Some(field) => Err(FormError::Foreign { kind, field }),
            None => Ok(definition),
        }
    }
}

impl DefinitionForm {
    fn take_cadence(&mut self) -> Result<Cadence, FormError> {
        let kind = self.kind.word();
        let mut minute_offset = || self.minute_offset.take().unwrap_or_default();
        Ok(match self.kind {
            Kind::Hourly => Cadence::Hourly { minute_offset: minute_offset() },
            Kind::Daily => Cadence::Daily {
                minute_offset: minute_offset(),
                hour_offset: self.hour_offset.take().unwrap_or_default(),
            },
            Kind::Weekly => Cadence::Weekly {
                minute_offset: minute_offset(),
                hour_offset: self.hour_offset.take().unwrap_or_default(),
                day_offset: self.day_offset.take().unwrap_or_default(),
            },
            Kind::Monthly => Cadence::Monthly {
                minute_offset: minute_offset(),
                hour_offset: self.hour_offset.take().unwrap_or_default(),
                day_offset: self.day_offset.take().unwrap_or(1),
            },
            Kind::Calendar => Cadence::Calendar {
                minute_offset: minute_offset(),
                hour_offset: self.hour_offset.take().unwrap_or_default(),
                calendar: self.calendar.take().ok_or(FormError::Missing { kind, field: "calendar" })?,
            },
            _ => Cadence::Cron { cron: self.cron.take().ok_or(FormError::Missing { kind, field: "cron" })? },
        })
    }

    /// A field that nobody took.
    fn first_left(&self) -> Option<&'static str> {
        let left = [
            ("keys", self.keys.is_some()),
            ("name", self.name.is_some()),
            ("cron", self.cron.is_some()),
            ("calendar", self.calendar.is_some()),
            ("start", self.start.is_some()),
            ("end", self.end.is_some()),
            ("timezone", self.timezone.is_some()),
            ("minute_offset", self.minute_offset.is_some()),
            ("hour_offset", self.hour_offset.is_some()),
            ("day_offset", self.day_offset.is_some()),
            ("end_offset", self.end_offset.is_some()),
            ("format", self.format.is_some()),
            ("exclude", self.exclude.is_some()),
            ("dimensions", self.dimensions.is_some()),
            ("primary", self.primary.is_some()),
            ("only", self.only.is_some()),
            ("except", self.except.is_some()),
        ];
        left.into_iter().find(|(_, there)| *there).map(|(field, _)| field)
    }
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Unpartitioned => "unpartitioned",
            Self::Static => "static",
            Self::Hourly => "hourly",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
            Self::Cron => "cron",
            Self::Calendar => "calendar",
            Self::Multi => "multi",
            Self::Dynamic => "dynamic",
        }
    }
}

fn some_unless_zero(value: u32) -> Option<u32> {
    Some(value).filter(|value| *value != 0)
}

fn some_unless_empty<T>(list: Vec<T>) -> Option<Vec<T>> {
    Some(list).filter(|list| !list.is_empty())
}

impl From<PartitionsDefinition> for DefinitionForm {
    fn from(definition: PartitionsDefinition) -> Self {
        match definition {
            PartitionsDefinition::Unpartitioned => Self::default(),
            PartitionsDefinition::Static(list) => Self {
                kind: Kind::Static,
                keys: Some(list.keys.iter().map(str::to_owned).collect()),
                ..Self::default()
            },
            PartitionsDefinition::Dynamic(set) => {
                Self { kind: Kind::Dynamic, name: Some(set.name), ..Self::default() }
            }
            PartitionsDefinition::Multi(multi) => Self {
                kind: Kind::Multi,
                dimensions: Some(multi.dimensions),
                primary: multi.primary,
                only: some_unless_empty(multi.only),
                except: some_unless_empty(multi.except),
                ..Self::default()
            },
            PartitionsDefinition::TimeWindow(windows) => Self {
                start: Some(windows.start),
                end: windows.end,
                timezone: windows.timezone,
                end_offset: Some(windows.end_offset).filter(|offset| *offset != 0),
                format: windows.format,
                exclude: some_unless_empty(windows.exclude),
                ..Self::of_cadence(windows.cadence)
            },
        }
    }
}

impl DefinitionForm {
    fn of_cadence(cadence: Cadence) -> Self {
        let at = |kind, hour_offset, minute_offset| Self {
            kind,
            hour_offset: some_unless_zero(hour_offset),
            minute_offset: some_unless_zero(minute_offset),
            ..Self::default()
        };
        match cadence {
            Cadence::Hourly { minute_offset } => at(Kind::Hourly, 0, minute_offset),
            Cadence::Daily { hour_offset, minute_offset } => at(Kind::Daily, hour_offset, minute_offset),
            Cadence::Weekly { day_offset, hour_offset, minute_offset } => Self {
                day_offset: some_unless_zero(day_offset),
                ..at(Kind::Weekly, hour_offset, minute_offset)
            },
            Cadence::Monthly { day_offset, hour_offset, minute_offset } => Self {
                day_offset: Some(day_offset).filter(|day| *day != 1),
                ..at(Kind::Monthly, hour_offset, minute_offset)
            },
            Cadence::Cron { cron } => Self { cron: Some(cron), ..at(Kind::Cron, 0, 0) },
            Cadence::Calendar { calendar, hour_offset, minute_offset } => {
                Self { calendar: Some(calendar), ..at(Kind::Calendar, hour_offset, minute_offset) }
            }
        }
    }
}
