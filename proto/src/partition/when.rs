//! Points in time as people write them: a date, a local time, or an instant with its offset.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime};

use super::civil::Wall;
use super::error::DefinitionProblem;
use super::zone::Zone;

/// First year that a definition may name: four digits, as in keys.
pub(crate) const FIRST_YEAR: i32 = 1000;
/// Last year that a definition may name.
pub(crate) const LAST_YEAR: i32 = 9998;

/// A point in time, as written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum When {
    /// What a wall clock shows, in whatever zone.
    Local(Wall),
    /// Seconds since the epoch.
    Instant(i64),
}

const LOCAL_FORMATS: [&str; 5] =
    ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d-%H:%M"];

impl When {
    /// Reads what people write.
    pub(crate) fn parse(text: &str) -> Result<Self, DefinitionProblem> {
        let text = text.trim();
        let local = NaiveDate::parse_from_str(text, "%Y-%m-%d")
            .map(|date| date.and_time(NaiveTime::MIN))
            .or_else(|_| {
                let mut readings =
                    LOCAL_FORMATS.iter().map(|format| NaiveDateTime::parse_from_str(text, format));
                readings.find(Result::is_ok).unwrap_or_else(|| NaiveDateTime::parse_from_str(text, "%Y"))
            });
        let (when, year) = match (local, DateTime::parse_from_rfc3339(text)) {
            (Ok(local), _) => (Self::Local(local.and_utc().timestamp()), local.year()),
            (Err(_), Ok(instant)) => (Self::Instant(instant.timestamp()), instant.year()),
            (Err(_), Err(_)) => return Err(DefinitionProblem::Time { text: text.to_owned() }),
        };
        if !(FIRST_YEAR..=LAST_YEAR).contains(&year) {
            return Err(DefinitionProblem::Year { year, first: FIRST_YEAR, last: LAST_YEAR });
        }
        Ok(when)
    }

    /// Every instant in a zone: both of a local time that repeats, and of a skipped one the end of the gap.
    pub(crate) fn instants(self, zone: &Zone) -> Vec<i64> {
        let named = match self {
            Self::Local(wall) => zone.instants_of(wall),
            Self::Instant(instant) => vec![instant],
        };
        if named.is_empty() { vec![self.instant(zone)] } else { named }
    }

    /// The instant in a zone: of a skipped local time the end of the gap, of a repeated one the first.
    pub(crate) fn instant(self, zone: &Zone) -> i64 {
        match self {
            Self::Local(wall) => zone.first_instant_at(wall),
            Self::Instant(instant) => instant,
        }
    }
}
