//! Civil days and wall time, as plain numbers.
//!
//! A [`Day`] counts days since 1970-01-01 and a wall time counts seconds since that midnight, both
//! without any time zone. They are what a calendar on the wall shows; only [`super::zone`] knows what
//! instant that is.

use chrono::{Datelike, NaiveDate};

/// Days since 1970-01-01.
pub(crate) type Day = i32;

/// Seconds since 1970-01-01 00:00 as a clock on the wall shows it: no zone, no leap seconds.
pub(crate) type Wall = i64;

/// Seconds of a civil day.
pub(crate) const DAY_SECONDS: i64 = 86_400;

/// Minutes of a civil day.
pub(crate) const DAY_MINUTES: u16 = 1_440;

const EPOCH_FROM_CE: i32 = 719_163;

/// The day of a date.
pub(crate) fn day_of(date: NaiveDate) -> Day {
    date.num_days_from_ce() - EPOCH_FROM_CE
}

/// The day of a date given by its parts; `None` if there is no such date. Keys are read by the million, and this is
/// several times faster than by way of a date of the calendar library. Years are those that four digits name.
pub(crate) fn day_of_parts(year: i32, month: u32, day: u32) -> Option<Day> {
    if !(1..=12).contains(&month) || day == 0 || day > days_in_month(year, month) {
        return None;
    }
    // Years that begin in March have their leap day at the end.
    let year = year - i32::from(month < 3);
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    // At most 365.
    let of_year = ((153 * ((month + 9) % 12) + 2) / 5 + day - 1) as i32;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

/// The date of a day. Days outside chrono's range (262,000 years) do not occur: definitions are
/// limited to the years that four digits can name.
pub(crate) fn date_of(day: Day) -> NaiveDate {
    NaiveDate::from_num_days_from_ce_opt(day.saturating_add(EPOCH_FROM_CE)).unwrap_or(NaiveDate::MAX)
}

/// The day that a wall time lies in.
pub(crate) fn day_of_wall(wall: Wall) -> Day {
    // Within i32 by the limit on years above; a wall time beyond it saturates.
    i32::try_from(wall.div_euclid(DAY_SECONDS)).unwrap_or(if wall < 0 { i32::MIN } else { i32::MAX })
}

/// Midnight at the start of a day.
pub(crate) fn midnight(day: Day) -> Wall {
    i64::from(day) * DAY_SECONDS
}

/// Day of the week, 0 = Sunday as in cron.
pub(crate) fn weekday(day: Day) -> u32 {
    // 1970-01-01 was a Thursday. rem_euclid(7) is 0..7, so the conversion keeps the value.
    (day + 4).rem_euclid(7) as u32
}

/// How many days a month has.
pub(crate) fn days_in_month(year: i32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}
