//! Durations as people write them: `90s`, `1h 30m`, `2 days`, `500ms`, or ISO 8601 (`PT15M`).
//!
//! Parsed by jiff's friendly format with days of 24 hours. Months and years are refused (they have no length of
//! their own), and so is a bare number: a reader cannot know whether `timeout: 30` meant seconds.

use std::{fmt, str::FromStr, time::Duration};

use jiff::{SignedDuration, Span, SpanRelativeTo};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

use super::limits::DURATION_SECS_MAX;

/// Why a text is not a duration.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum DurationError {
    /// A bare number.
    #[error("duration {given:?} has no unit (did you mean \"{given}s\"?)")]
    NoUnit {
        /// The text.
        given: String,
    },
    /// Not a duration at all.
    #[error("{given:?} is not a duration (examples: \"500ms\", \"30s\", \"1h 30m\", \"2 days\")")]
    Syntax {
        /// The text.
        given: String,
    },
    /// Below zero.
    #[error("duration {given:?} is negative")]
    Negative {
        /// The text.
        given: String,
    },
    /// Longer than [`DURATION_SECS_MAX`].
    #[error("duration {given:?} is longer than 366 days")]
    TooLong {
        /// The text.
        given: String,
    },
}

/// A duration between zero and 366 days, written for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HumanDuration(Duration);

impl HumanDuration {
    /// Whole seconds, for constants and tests.
    pub const fn from_secs(secs: u32) -> Self {
        assert!((secs as u64) <= DURATION_SECS_MAX, "a project's durations end at 366 days");
        Self(Duration::from_secs(secs as u64))
    }

    /// The length.
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl FromStr for HumanDuration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        let given = || text.to_owned();
        let trimmed = text.trim();
        if trimmed.parse::<f64>().is_ok_and(|number| number != 0.0) {
            return Err(DurationError::NoUnit { given: trimmed.to_owned() });
        }
        let span = if trimmed == "0" { Ok(Span::new()) } else { trimmed.parse::<Span>() };
        let length = span
            .and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()))
            .map_err(|_| DurationError::Syntax { given: given() })?;
        if length.is_negative() {
            return Err(DurationError::Negative { given: given() });
        }
        let length = length.unsigned_abs();
        if length > Duration::from_secs(DURATION_SECS_MAX) {
            return Err(DurationError::TooLong { given: given() });
        }
        Ok(Self(length))
    }
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // At most 366 days, so the conversion always fits; the fallback keeps Display total.
        match SignedDuration::try_from(self.0) {
            Ok(length) => write!(f, "{length:#}"),
            Err(_) => write!(f, "{}s", self.0.as_secs()),
        }
    }
}

impl Serialize for HumanDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HumanDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl schemars::JsonSchema for HumanDuration {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A duration with its unit.",
            "examples": ["500ms", "30s", "1h 30m", "2 days"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(text: &str) -> f64 {
        text.parse::<HumanDuration>().unwrap().get().as_secs_f64()
    }

    #[test]
    fn people_write_durations_in_many_ways() {
        for (text, length) in [
            ("30s", 30.0),
            ("500ms", 0.5),
            ("1h 30m", 5400.0),
            ("1h30m", 5400.0),
            ("2 days", 172_800.0),
            ("1w", 604_800.0),
            ("PT15M", 900.0),
            ("0", 0.0),
            ("0s", 0.0),
        ] {
            assert!((secs(text) - length).abs() < 1e-9, "{text}");
        }
    }

    #[test]
    fn what_is_not_a_duration_is_told_why() {
        let said = |text: &str| text.parse::<HumanDuration>().unwrap_err().to_string();
        assert_eq!(said("30"), "duration \"30\" has no unit (did you mean \"30s\"?)");
        assert_eq!(
            said("soon"),
            "\"soon\" is not a duration (examples: \"500ms\", \"30s\", \"1h 30m\", \"2 days\")"
        );
        assert!(said("1 month").contains("is not a duration"));
        assert_eq!(said("-5s"), "duration \"-5s\" is negative");
        assert_eq!(said("9000h"), "duration \"9000h\" is longer than 366 days");
    }

    #[test]
    fn the_written_form_reads_back_as_the_same_length() {
        for text in ["0s", "500ms", "1m 30s", "36h", "1.5s"] {
            let length: HumanDuration = text.parse().unwrap();
            assert_eq!(length.to_string().parse::<HumanDuration>().unwrap(), length, "{text}");
        }
    }
}
