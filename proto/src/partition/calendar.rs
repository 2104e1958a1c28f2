//! Calendars: named sets of days, such as the trading days of an exchange.
//!
//! A calendar is either a list of days or a weekly pattern with exceptions. As a cadence its days *are*
//! the window boundaries, so a Friday's window runs to Monday. As an exclusion it removes the windows
//! that begin on its days and leaves their neighbours as wide as they are. A listed calendar ends with
//! its last day: that day opens no window, because nothing says where the window would close.

use std::sync::Arc;

use chrono::NaiveDate;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::civil::{Day, day_of};
use super::cron::Cron;
use super::days::Days;
use super::written::text_or_mapping;

/// Most days in one calendar: a thousand years of business days.
pub const CALENDAR_DAYS_MAX: usize = 262_144;

/// A set of days.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Calendar {
    /// The days, as dates. Give these, or `weekdays`, or `file`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<String>,
    /// Days of the week, as in cron: `mon-fri`, `1,3,5`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weekdays: Option<String>,
    /// Dates that are not in the calendar although their weekday is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
    /// A text file with one date a line (`#` begins a comment), relative to the definition's file.
    /// Whoever loads the definition reads it: see [`Calendar::with_file_text`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// A calendar, or the name of one that the project defines.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum CalendarRef {
    /// A name under the project's `calendars`.
    Named(String),
    /// The days themselves.
    Inline(Calendar),
}

/// What is wrong with a calendar.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CalendarError {
    /// A name that nobody defines.
    #[error("calendar {name:?} is not defined; define it under calendars")]
    Unknown {
        /// The name.
        name: String,
    },
    /// No days at all.
    #[error("the calendar has no days; give days, weekdays or file")]
    Empty,
    /// A list and a pattern.
    #[error("give either days or weekdays in a calendar, not both; except goes with weekdays")]
    ListAndPattern,
    /// The file has not been read.
    #[error("the calendar's file {file:?} has not been loaded")]
    NotLoaded {
        /// Its name.
        file: String,
    },
    /// A line that is no date.
    #[error("{text:?} is not a date; write 2024-01-31")]
    Date {
        /// The text.
        text: String,
    },
    /// Weekdays that do not parse.
    #[error("weekdays {text:?} are not valid; write them as in cron, such as mon-fri")]
    Weekdays {
        /// The text.
        text: String,
    },
    /// More days than a calendar may have.
    #[error("the calendar has {count} days; the limit is {CALENDAR_DAYS_MAX}")]
    TooLong {
        /// How many.
        count: usize,
    },
}

impl Calendar {
    /// This calendar with the days that its file lists: one date a line, blank lines and `#` comments aside.
    pub fn with_file_text(mut self, text: &str) -> Self {
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
        self.days.extend(lines.filter(|line| !line.is_empty()).map(str::to_owned));
        self.file = None;
        self
    }

    pub(crate) fn compile(&self) -> Result<Days, CalendarError> {
        if let Some(file) = &self.file {
            return Err(CalendarError::NotLoaded { file: file.clone() });
        }
        match &self.weekdays {
            None if !self.except.is_empty() => Err(CalendarError::ListAndPattern),
            None if self.days.is_empty() => Err(CalendarError::Empty),
            None => Ok(Days::Listed(dates(&self.days)?)),
            Some(_) if !self.days.is_empty() => Err(CalendarError::ListAndPattern),
            Some(weekdays) => {
                let pattern = Cron::parse(&format!("0 0 * * {weekdays}"))
                    .map_err(|_| CalendarError::Weekdays { text: weekdays.clone() })?;
                Ok(Days::PatternExcept(pattern.days, dates(&self.except)?))
            }
        }
    }
}

impl<'de> Deserialize<'de> for CalendarRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expecting = "the name of a calendar, or a calendar: a mapping with days, weekdays or file";
        text_or_mapping(deserializer, expecting, Self::Named, Self::Inline)
    }
}

impl CalendarRef {
    pub(crate) fn compile(&self) -> Result<Days, CalendarError> {
        match self {
            Self::Named(name) => Err(CalendarError::Unknown { name: name.clone() }),
            Self::Inline(calendar) => calendar.compile(),
        }
    }
}

fn dates(texts: &[String]) -> Result<Arc<[Day]>, CalendarError> {
    if texts.len() > CALENDAR_DAYS_MAX {
        return Err(CalendarError::TooLong { count: texts.len() });
    }
    let parse = |text: &String| {
        let date = NaiveDate::parse_from_str(text, "%Y-%m-%d");
        date.map(day_of).map_err(|_| CalendarError::Date { text: text.clone() })
    };
    let mut days = texts.iter().map(parse).collect::<Result<Vec<Day>, _>>()?;
    days.sort_unstable();
    days.dedup();
    Ok(days.into())
}
