//! Months of history, by submission time.

use backstitch_proto::id::RunId;
use chrono::{DateTime, Datelike, Months, NaiveDate, Utc};
use uuid::Uuid;

/// A calendar month in UTC, by its first day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Month(NaiveDate);

impl Month {
    /// The month that the id of a run falls into: the upper 48 bits of a version 7 UUID are milliseconds.
    pub(super) fn of(run: RunId) -> Self {
        Self::at((run.0.as_u128() >> 80) as i64)
    }

    /// The month of an instant, milliseconds since the Unix epoch. What no calendar holds counts as 1970.
    pub(super) fn at(unix_ms: i64) -> Self {
        let date = DateTime::<Utc>::from_timestamp_millis(unix_ms).unwrap_or_default().date_naive();
        Self(date.with_day(1).unwrap_or(date))
    }

    pub(super) fn next(self) -> Self {
        // 48 bits of milliseconds end in the year 10889, and the calendar in the year 262142.
        Self(self.0 + Months::new(1))
    }

    /// The smallest id of a run of this month.
    pub(super) fn first_id(self) -> Uuid {
        let unix_ms = self.0.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis();
        Uuid::from_u128((unix_ms as u128) << 80)
    }

    /// The name of its table.
    pub(super) fn table(self) -> String {
        format!("attempts_{:04}_{:02}", self.0.year(), self.0.month())
    }

    pub(super) fn of_table(name: &str) -> Option<Self> {
        let (year, month) = name.strip_prefix("attempts_")?.split_once('_')?;
        NaiveDate::from_ymd_opt(year.parse().ok()?, month.parse().ok()?, 1).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_falls_into_the_month_of_its_id_whose_bounds_touch_the_next() {
        // 2024-02-29T23:59:59.999Z and a millisecond later.
        let last = RunId(Uuid::from_u128((1_709_251_199_999_u128 << 80) | u128::MAX >> 48));
        let first = RunId(Uuid::from_u128(1_709_251_200_000_u128 << 80));
        assert_eq!(Month::of(last).table(), "attempts_2024_02");
        assert_eq!(Month::of(first).table(), "attempts_2024_03");
        assert_eq!(Month::of(last).next().first_id(), first.0);
        assert_eq!(Month::of_table("attempts_2024_02"), Some(Month::of(last)));
    }

    #[test]
    fn any_uuid_has_a_month() {
        for id in [Uuid::nil(), Uuid::max()] {
            let month = Month::of(RunId(id));
            assert!(month.first_id() <= id && id < month.next().first_id() || id == Uuid::max());
        }
    }
}
