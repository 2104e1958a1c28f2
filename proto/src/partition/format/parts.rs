//! The parts of a time that a key spells out, and the wall times that they leave open.

use std::ops::Range;

use chrono::{NaiveDate, Weekday};

use super::{MONTHS, Piece, ReadKey, WEEKDAYS};
use crate::partition::civil::{Wall, day_of, days_in_month, midnight};

/// The parts of a time that a key spelled out.
#[derive(Default)]
pub(super) struct Parts {
    year: Option<i32>,
    month: Option<u32>,
    day: Option<u32>,
    day_of_year: Option<u32>,
    iso_year: Option<i32>,
    iso_week: Option<u32>,
    iso_weekday: Option<u32>,
    hour: Option<u32>,
    afternoon: Option<bool>,
    minute: Option<u32>,
    second: Option<u32>,
    pub(super) offset: Option<i32>,
}

fn take_number(text: &str, width: usize) -> Option<(u32, &str)> {
    let digits = text.bytes().take(width).take_while(u8::is_ascii_digit).count();
    let value = text.get(..digits)?.parse().ok()?;
    Some((value, &text[digits..]))
}

fn take_name<'a>(names: &[&'static str], full: bool, text: &'a str) -> Option<(u32, &'a str)> {
    (0u32..).zip(names).find_map(|(index, whole)| {
        let name = if full { whole } else { &whole[..3] };
        text.strip_prefix(name).map(|rest| (index, rest))
    })
}

pub(super) fn take_offset(text: &str) -> Option<(i32, &str)> {
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits = text[1..].bytes().take(6).take_while(u8::is_ascii_digit).count();
    let numbers = text.get(1..1 + digits)?;
    let number = |at: usize| numbers.get(at..at + 2)?.parse::<i32>().ok();
    let (hours, minutes) = (number(0)?, number(2)?);
    let seconds = if digits == 6 { number(4)? } else { 0 };
    let rest = &text[1 + if digits == 6 { 6 } else { 4 }..];
    Some((sign * (hours * 3600 + minutes * 60 + seconds), rest))
}

/// What of a prefix a piece took.
pub(super) enum Taken<'a> {
    Whole(&'a str),
    Partial,
    No,
}

impl Parts {
    pub(super) fn take<'a>(&mut self, piece: &Piece, text: &'a str) -> Option<&'a str> {
        let number = |width: usize| take_number(text, width);
        let rest;
        match piece {
            Piece::Literal(c) => rest = text.strip_prefix(*c)?,
            Piece::Year | Piece::IsoYear => {
                let (year, after) = number(4)?;
                // At most four digits.
                let slot = if *piece == Piece::Year { &mut self.year } else { &mut self.iso_year };
                *slot = Some(year as i32);
                rest = after;
            }
            Piece::ShortYear => {
                let (year, after) = number(2)?;
                // POSIX: 69 to 99 are the last century.
                self.year = Some(if year >= 69 { 1900 } else { 2000 } + year as i32);
                rest = after;
            }
            Piece::MonthName { full } => {
                let (month, after) = take_name(&MONTHS, *full, text)?;
                self.month = Some(month + 1);
                rest = after;
            }
            Piece::WeekdayName { full } => {
                let (weekday, after) = take_name(&WEEKDAYS, *full, text)?;
                self.iso_weekday = Some(weekday + 1);
                rest = after;
            }
            Piece::AmPm => {
                let afternoon = text.strip_prefix("PM");
                self.afternoon = Some(afternoon.is_some());
                rest = afternoon.or_else(|| text.strip_prefix("AM"))?;
            }
            Piece::Offset => {
                let (offset, after) = take_offset(text)?;
                self.offset = Some(offset);
                rest = after;
            }
            Piece::DayOfYear => {
                let (value, after) = number(3)?;
                self.day_of_year = Some(value);
                rest = after;
            }
            Piece::IsoWeekday => {
                let (value, after) = number(1)?;
                self.iso_weekday = Some(value);
                rest = after;
            }
            Piece::Month
            | Piece::Day
            | Piece::IsoWeek
            | Piece::Hour
            | Piece::Hour12
            | Piece::Minute
            | Piece::Second => {
                let (value, after) = number(2)?;
                let slot = match piece {
                    Piece::Month => &mut self.month,
                    Piece::Day => &mut self.day,
                    Piece::IsoWeek => &mut self.iso_week,
                    Piece::Minute => &mut self.minute,
                    Piece::Second => &mut self.second,
                    _ => &mut self.hour,
                };
                *slot = Some(value);
                rest = after;
            }
        }
        Some(rest)
    }

    /// Like `take`, but only of what is complete: the last number of a prefix may have lost digits.
    pub(super) fn take_whole<'a>(&mut self, piece: &Piece, text: &'a str) -> Taken<'a> {
        let width = match piece {
            Piece::Literal(c) if text.starts_with(*c) => return Taken::Whole(&text[c.len_utf8()..]),
            Piece::Literal(_) => return Taken::No,
            Piece::Year | Piece::IsoYear => 4,
            Piece::DayOfYear => 3,
            Piece::IsoWeekday => 1,
            // Names and offsets have no fixed width: what they say is left to the comparison of keys.
            Piece::MonthName { .. } | Piece::WeekdayName { .. } | Piece::AmPm | Piece::Offset => {
                return Taken::Partial;
            }
            _ => 2,
        };
        let digits = text.bytes().take(width).take_while(u8::is_ascii_digit).count();
        if digits == width {
            return self.take(piece, text).map_or(Taken::No, Taken::Whole);
        }
        if digits == text.len() { Taken::Partial } else { Taken::No }
    }

    /// What was read leniently, which is not known to be how the key would be written.
    pub(super) fn read(&self) -> Option<ReadKey> {
        if self.afternoon.is_some() && !self.hour.is_some_and(|hour| (1..=12).contains(&hour)) {
            return None;
        }
        Some(ReadKey { walls: self.walls()?, offset: self.offset, canonical: false })
    }

    /// The wall times that the parts leave open; `None` when they name no time at all.
    pub(super) fn walls(&self) -> Option<Range<Wall>> {
        let days = self.dates()?;
        let start = midnight(day_of(days.start));
        if days.end != days.start.succ_opt()? || self.hour.is_none() {
            return Some(start..midnight(day_of(days.end)));
        }
        let hour = match (self.hour?, self.afternoon) {
            (hour, Some(afternoon)) => hour % 12 + if afternoon { 12 } else { 0 },
            (hour, None) => hour,
        };
        if hour > 23 || self.minute.is_some_and(|m| m > 59) || self.second.is_some_and(|s| s > 59) {
            return None;
        }
        let start = start + i64::from(hour) * 3600;
        let Some(minute) = self.minute else { return Some(start..start + 3600) };
        let start = start + i64::from(minute) * 60;
        let Some(second) = self.second else { return Some(start..start + 60) };
        Some(start + i64::from(second)..start + i64::from(second) + 1)
    }

    fn dates(&self) -> Option<Range<NaiveDate>> {
        if let (Some(year), Some(week)) = (self.iso_year, self.iso_week) {
            let monday = NaiveDate::from_isoywd_opt(year, week, Weekday::Mon)?;
            return match self.iso_weekday {
                Some(weekday @ 1..=7) => one_day(monday + chrono::Days::new(u64::from(weekday) - 1)),
                Some(_) => None,
                None => Some(monday..monday + chrono::Days::new(7)),
            };
        }
        let Some(year) = self.year else {
            // An ISO year alone still says where to look.
            let year = self.iso_year?;
            let first = NaiveDate::from_isoywd_opt(year, 1, Weekday::Mon)?;
            return Some(first..NaiveDate::from_isoywd_opt(year + 1, 1, Weekday::Mon)?);
        };
        if let Some(day) = self.day_of_year {
            return one_day(NaiveDate::from_yo_opt(year, day)?);
        }
        let Some(month) = self.month else {
            return Some(NaiveDate::from_ymd_opt(year, 1, 1)?..NaiveDate::from_ymd_opt(year + 1, 1, 1)?);
        };
        let first = NaiveDate::from_ymd_opt(year, month, 1)?;
        match self.day {
            Some(day) => one_day(NaiveDate::from_ymd_opt(year, month, day)?),
            None => Some(first..first + chrono::Days::new(u64::from(days_in_month(year, month)))),
        }
    }
}

fn one_day(date: NaiveDate) -> Option<Range<NaiveDate>> {
    Some(date..date.succ_opt()?)
}
