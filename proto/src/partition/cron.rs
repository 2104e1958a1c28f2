//! Five-field cron expressions, parsed into sets.
//!
//! Own code rather than a cron crate, because partitions need more of an expression than its next
//! occurrence: "how many ticks lie before this instant" and "which is the millionth" must be
//! arithmetic, not iteration, so that ten million partitions cost nothing. That needs the fields as
//! sets of minutes and of days, which no crate exposes.
//!
//! The grammar is that of Vixie cron with the usual additions: lists, ranges (also wrapping, `fri-mon`),
//! steps, month and weekday names, `7` for Sunday, `L` (last day of the month), `L5` (its last Friday),
//! `5#2` (its second Friday), and `@hourly` to `@yearly`. When day of month and day of week are both
//! restricted, either suffices. Not accepted: seconds, years, `?`, `W`, `H`, random fields, `@reboot`.

use super::civil::{Day, day_of, days_in_month, weekday};
use chrono::NaiveDate;

/// Longest expression that is read; the longest sensible one (every minute listed) has under 200 characters.
const EXPRESSION_BYTES_MAX: usize = 512;

/// A parsed expression.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cron {
    /// Bit `m` for minute `m`.
    pub(crate) minutes: u64,
    /// Bit `h` for hour `h`.
    pub(crate) hours: u32,
    /// Which days.
    pub(crate) days: CronDays,
}

/// The day part of an expression.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct CronDays {
    /// Bit `m` for month `m`, 1 to 12.
    months: u16,
    /// Bit `d` for day of month `d`, 1 to 31; bit 0 for the last day of the month.
    days_of_month: u32,
    /// Bit `w` for every weekday `w`, 0 = Sunday.
    weekdays: u8,
    /// For each weekday: bit `n` for the `n`th of the month, 1 to 5; bit 0 for the last.
    nth_weekdays: [u8; 7],
}

/// Why an expression is not accepted.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CronError {
    /// Not five fields.
    #[error("{found} fields where a cron expression has 5 (minute, hour, day of month, month, day of week)")]
    FieldCount {
        /// How many there are.
        found: usize,
    },
    /// An `@name` that is not one of ours.
    #[error(
        "{name} is not known; there are @hourly, @daily, @midnight, @weekly, @monthly, @yearly and @annually"
    )]
    UnknownName {
        /// As written.
        name: String,
    },
    /// A field that does not parse.
    #[error("{field} {text:?} is not valid: {expected}")]
    Field {
        /// `minute`, `hour`, ...
        field: &'static str,
        /// The part that is wrong.
        text: String,
        /// What may stand there.
        expected: String,
    },
    /// Fields that are valid one by one and never meet, such as 30 February.
    #[error("it never occurs: no such day exists in any year")]
    Never,
    /// Too long to be meant.
    #[error("it is longer than {EXPRESSION_BYTES_MAX} bytes")]
    TooLong,
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// One of the five fields: its name, its range, and the names its values may have.
struct Field {
    name: &'static str,
    low: u32,
    high: u32,
    names: &'static [&'static str],
}

const MINUTE: Field = Field { name: "minute", low: 0, high: 59, names: &[] };
const HOUR: Field = Field { name: "hour", low: 0, high: 23, names: &[] };
const DAY_OF_MONTH: Field = Field { name: "day of month", low: 1, high: 31, names: &[] };
const MONTH: Field = Field { name: "month", low: 1, high: 12, names: &MONTHS };
/// 7 is Sunday again, folded to 0 when the set is complete.
const DAY_OF_WEEK: Field = Field { name: "day of week", low: 0, high: 7, names: &WEEKDAYS };

const EVERY_HOUR: u32 = (1 << 24) - 1;
const EVERY_DAY_OF_MONTH: u32 = 0xffff_fffe;
const EVERY_MONTH: u16 = 0x1ffe;
const EVERY_WEEKDAY: u8 = 0x7f;

impl Cron {
    /// Parses an expression.
    pub(crate) fn parse(expression: &str) -> Result<Self, CronError> {
        if expression.len() > EXPRESSION_BYTES_MAX {
            return Err(CronError::TooLong);
        }
        let lower = expression.trim().to_ascii_lowercase();
        let text = match lower.as_str() {
            "@hourly" => "0 * * * *",
            "@daily" | "@midnight" => "0 0 * * *",
            "@weekly" => "0 0 * * 0",
            "@monthly" => "0 0 1 * *",
            "@yearly" | "@annually" => "0 0 1 1 *",
            name if name.starts_with('@') => return Err(CronError::UnknownName { name: name.to_owned() }),
            fields => fields,
        };
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        let [minute, hour, day_of_month, month, day_of_week] = fields[..] else {
            return Err(CronError::FieldCount { found: fields.len() });
        };

        let minutes = MINUTE.set(minute)?;
        // Each set fits its type: the field's range ends below the type's width.
        let hours = HOUR.set(hour)? as u32;
        let months = MONTH.set(month)? as u16;
        let days_of_month = days_of_month(day_of_month)?;
        let (weekdays, nth_weekdays) = weekdays(day_of_week)?;
        let days = CronDays { months, days_of_month, weekdays, nth_weekdays };
        if days.never() {
            return Err(CronError::Never);
        }
        Ok(Self { minutes, hours, days })
    }

    /// Whether the hour field is `*`: such an expression ticks in elapsed time, not at times of the day.
    pub(crate) fn every_hour(&self) -> bool {
        self.hours == EVERY_HOUR
    }

    /// The minutes of the day that match, ascending.
    pub(crate) fn minutes_of_day(&self) -> Vec<u16> {
        let hours = (0..24).filter(|hour| self.hours & (1 << hour) != 0);
        hours
            .flat_map(|hour| (0..60).filter(|m| self.minutes & (1 << m) != 0).map(move |m| hour * 60 + m))
            .collect()
    }
}

impl CronDays {
    /// Every day.
    pub(crate) const EVERY: Self = Self {
        months: EVERY_MONTH,
        days_of_month: EVERY_DAY_OF_MONTH,
        weekdays: EVERY_WEEKDAY,
        nth_weekdays: [0; 7],
    };

    /// One weekday, 0 = Sunday.
    pub(crate) fn weekly(weekday: u8) -> Self {
        Self { weekdays: 1 << weekday, ..Self::EVERY }
    }

    /// One day of each month that has it.
    pub(crate) fn monthly(day: u8) -> Self {
        Self { days_of_month: 1 << day, ..Self::EVERY }
    }

    /// Whether every day matches, so that nobody need ask day by day.
    pub(crate) fn every_day(&self) -> bool {
        *self == Self::EVERY
    }

    /// The matching days of a month, as bits 1 to 31.
    pub(crate) fn of_month(&self, year: i32, month: u32) -> u32 {
        if self.months & (1 << month) == 0 {
            return 0;
        }
        let length = days_in_month(year, month);
        let existing = ((1u64 << (length + 1)) - 2) as u32;
        let by_month = self.by_day_of_month(length);
        let by_week = self.by_weekday(year, month, length);
        let matching = match (self.every_day_of_month(), self.every_weekday()) {
            (true, _) => by_week,
            (false, true) => by_month,
            (false, false) => by_month | by_week,
        };
        matching & existing
    }

    /// Everything that decides which days match, as numbers.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = i64> {
        let nth = self.nth_weekdays.map(i64::from);
        [i64::from(self.months), i64::from(self.days_of_month), i64::from(self.weekdays)]
            .into_iter()
            .chain(nth)
    }

    fn every_day_of_month(&self) -> bool {
        self.days_of_month & EVERY_DAY_OF_MONTH == EVERY_DAY_OF_MONTH
    }

    fn every_weekday(&self) -> bool {
        self.weekdays == EVERY_WEEKDAY
    }

    fn by_day_of_month(&self, length: u32) -> u32 {
        let last = if self.days_of_month & 1 != 0 { 1 << length } else { 0 };
        (self.days_of_month & EVERY_DAY_OF_MONTH) | last
    }

    fn by_weekday(&self, year: i32, month: u32, length: u32) -> u32 {
        let first_weekday = weekday(first_of_month(year, month));
        let mut matching = 0;
        for day in 1..=length {
            let weekday = ((first_weekday + day - 1) % 7) as usize;
            let nth = self.nth_weekdays[weekday];
            let is_last = nth & 1 != 0 && day + 7 > length;
            let is_nth = nth & (1 << day.div_ceil(7)) != 0;
            if self.weekdays & (1 << weekday) != 0 || is_last || is_nth {
                matching |= 1 << day;
            }
        }
        matching
    }

    fn never(&self) -> bool {
        // Weekdays, leap years and month lengths repeat after 400 years; any 28 without a skipped leap
        // year in them hold every combination of those.
        (2000..2028).all(|year| (1..=12).all(|month| self.of_month(year, month) == 0))
    }
}

/// The first day of a month.
pub(crate) fn first_of_month(year: i32, month: u32) -> Day {
    NaiveDate::from_ymd_opt(year, month, 1).map_or(Day::MAX, day_of)
}

impl Field {
    fn set(&self, text: &str) -> Result<u64, CronError> {
        text.split(',').try_fold(0, |set, item| Ok(set | self.item(item)?))
    }

    /// One list item: `*`, `7`, `1-5`, each with an optional `/step`.
    fn item(&self, item: &str) -> Result<u64, CronError> {
        let (span, step) = match item.split_once('/') {
            Some((span, step)) => (span, Some(self.step(step, item)?)),
            None => (item, None),
        };
        let top = if self.low == 0 && self.high == 7 { 6 } else { self.high };
        let (from, to) = match span.split_once('-') {
            _ if span == "*" => (self.low, top),
            Some((from, to)) => (self.value(from, item)?, self.value(to, item)?),
            None => {
                let from = self.value(span, item)?;
                (from, if step.is_some() { top.max(from) } else { from })
            }
        };
        // A range that wraps (`fri-mon`, `22-2`) goes on from the field's low end.
        let width = top - self.low + 1;
        let length = if from <= to { to - from } else { to + width - from };
        Ok((0..=length).step_by(step.unwrap_or(1) as usize).fold(0, |set, ahead| {
            let value = from + ahead;
            set | 1 << if value > self.high.max(to) { value - width } else { value }
        }))
    }

    fn step(&self, step: &str, item: &str) -> Result<u32, CronError> {
        match step.parse::<u32>() {
            Ok(step) if step >= 1 => Ok(step),
            _ => Err(self.error(item)),
        }
    }

    fn value(&self, text: &str, item: &str) -> Result<u32, CronError> {
        if let Some(index) = self.names.iter().position(|&name| name == text) {
            return Ok(self.low + index as u32);
        }
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        match text.parse() {
            Ok(value) if digits && (self.low..=self.high).contains(&value) => Ok(value),
            _ => Err(self.error(item)),
        }
    }

    fn error(&self, text: &str) -> CronError {
        let names = match self.names {
            [first, .., last] => format!(" or {first} to {last}"),
            _ => String::new(),
        };
        let special = match self.name {
            "day of month" => ", also L for the last day",
            "day of week" => ", also L5 for the last Friday and 5#2 for the second",
            _ => "",
        };
        let expected = format!(
            "it takes {} to {}{names}, with lists 1,2, ranges 1-2, steps */2{special}",
            self.low, self.high
        );
        CronError::Field { field: self.name, text: text.to_owned(), expected }
    }
}

fn days_of_month(text: &str) -> Result<u32, CronError> {
    text.split(',').try_fold(0, |set, item| match item {
        "l" => Ok(set | 1),
        // Bits 1 to 31: fits.
        item => Ok(set | DAY_OF_MONTH.item(item)? as u32),
    })
}

fn weekdays(text: &str) -> Result<(u8, [u8; 7]), CronError> {
    let mut plain = 0u64;
    let mut nth_weekdays = [0u8; 7];
    for item in text.split(',') {
        let (days, nth) = match (item.strip_prefix('l'), item.split_once('#')) {
            (Some(day), _) if !day.is_empty() => (DAY_OF_WEEK.value(day, item).map(|day| 1 << day)?, Some(0)),
            (_, Some((days, nth))) => match nth.parse::<u8>() {
                Ok(nth @ 1..=5) => (DAY_OF_WEEK.item(days)?, Some(nth)),
                _ => return Err(DAY_OF_WEEK.error(item)),
            },
            _ => (DAY_OF_WEEK.item(item)?, None),
        };
        let days = (days | days >> 7) & u64::from(EVERY_WEEKDAY);
        match nth {
            None => plain |= days,
            Some(nth) => {
                for (weekday, bits) in nth_weekdays.iter_mut().enumerate() {
                    *bits |= u8::from(days & (1 << weekday) != 0) << nth;
                }
            }
        }
    }
    // Masked to seven bits above.
    Ok((plain as u8, nth_weekdays))
}
