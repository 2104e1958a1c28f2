//! How a tick becomes a key and a key becomes the stretch of wall time that it names.
//!
//! Formats are strftime patterns with the directives that name a time unambiguously. Parsing is in two
//! steps, because a key must be *canonical*: first it is read leniently (`2024-1-5` is understood) into
//! the wall times that it could mean, then the partition found there is formatted again and compared.
//! So an unpadded key can be refused with the right one as a suggestion, and no key has two spellings.

mod parts;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::ops::{Range, RangeInclusive};

use chrono::{Datelike, NaiveDate};

use parts::{Parts, Taken, take_offset};

use super::civil::{DAY_SECONDS, Wall, date_of, day_of, day_of_parts, day_of_wall, midnight};
use super::sequence::Tick;

/// The years that two digits name, as in POSIX.
pub(crate) const SHORT_YEARS: RangeInclusive<i32> = 1969..=2068;

/// Longest format that is accepted: keys have a limit of their own, this one bounds the work.
const FORMAT_BYTES_MAX: usize = 64;

/// A parsed strftime pattern.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct KeyFormat {
    pattern: String,
    pieces: Vec<Piece>,
    /// Whether a key says nothing twice and nothing but year, month, day, hour and minute: then a key that
    /// was read without lenience is spelled as it would be written.
    plain: bool,
    /// How many bytes a key of a plain format has.
    plain_bytes: usize,
}

/// Some pieces of a plain format.
#[derive(Clone, Copy)]
pub(crate) struct Spelling<'a>(&'a [Piece]);

impl Spelling<'_> {
    /// Appends what a wall time is called.
    pub(crate) fn write(self, wall: Wall, text: &mut String) {
        write(self.0, &Tick { instant: wall, wall, offset: 0, repeated: false }, text);
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Literal(char),
    Year,
    ShortYear,
    Month,
    MonthName { full: bool },
    Day,
    DayOfYear,
    IsoYear,
    IsoWeek,
    IsoWeekday,
    WeekdayName { full: bool },
    Hour,
    Hour12,
    AmPm,
    Minute,
    Second,
    Offset,
}

/// Why a format is not accepted.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum FormatError {
    /// A directive that names no part of a time, or names it in a way that cannot be read back.
    #[error(
        "%{directive} is not supported; there are %Y %y %m %d %j %b %B %G %V %u %a %A %H %I %p %M %S %z %%"
    )]
    UnknownDirective {
        /// The character behind the `%`.
        directive: char,
    },
    /// A `%` at the end.
    #[error("it ends in a lone %; write %% for a percent sign")]
    LonePercent,
    /// Something that no key may contain.
    #[error("it contains {what}, which no partition key may contain")]
    Forbidden {
        /// What.
        what: String,
    },
    /// Blank space at an end.
    #[error("it begins or ends with a space, which no partition key may")]
    Padded,
    /// Too long to be meant.
    #[error("it is longer than {FORMAT_BYTES_MAX} bytes")]
    TooLong,
}

/// A key that was read: the wall times that it covers, and the offset that it carried.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ReadKey {
    /// Half-open.
    pub(crate) walls: Range<Wall>,
    /// Seconds east of UTC, when written.
    pub(crate) offset: Option<i32>,
    /// Whether it is certainly the key of every first tick at these wall times, without writing that.
    pub(crate) canonical: bool,
}

impl KeyFormat {
    /// Parses a pattern.
    pub(crate) fn parse(pattern: &str) -> Result<Self, FormatError> {
        if pattern.len() > FORMAT_BYTES_MAX {
            return Err(FormatError::TooLong);
        }
        if let Some(what) = super::keys::forbidden_in_key(pattern) {
            return Err(FormatError::Forbidden { what });
        }
        // No directive writes a space, so what a key has at its ends the pattern has.
        if pattern.trim() != pattern {
            return Err(FormatError::Padded);
        }
        let mut pieces = Vec::new();
        let mut chars = pattern.chars();
        while let Some(c) = chars.next() {
            pieces.push(match c {
                '%' => directive(chars.next().ok_or(FormatError::LonePercent)?)?,
                literal => Piece::Literal(literal),
            });
        }
        let plain_pieces = [Piece::Year, Piece::Month, Piece::Day, Piece::Hour, Piece::Minute];
        let plain =
            pieces.iter().all(|piece| matches!(piece, Piece::Literal(_)) || plain_pieces.contains(piece))
                && plain_pieces.iter().all(|one| pieces.iter().filter(|piece| *piece == one).count() <= 1);
        let plain_bytes = pieces.iter().map(Piece::plain_bytes).sum();
        Ok(Self { pattern: pattern.to_owned(), pieces, plain, plain_bytes })
    }

    /// The pattern as written.
    pub(crate) fn pattern(&self) -> &str {
        &self.pattern
    }

    /// Whether keys carry their offset from UTC, so that repeated hours differ by themselves.
    pub(crate) fn has_offset(&self) -> bool {
        self.pieces.contains(&Piece::Offset)
    }

    /// Whether keys write years with two digits.
    pub(crate) fn has_short_year(&self) -> bool {
        self.pieces.contains(&Piece::ShortYear)
    }

    /// Whether a character stands between the parts of every key.
    pub(crate) fn contains(&self, c: char) -> bool {
        self.pieces.contains(&Piece::Literal(c))
    }

    /// Bytes of the longest key.
    pub(crate) fn longest(&self) -> usize {
        // The names of months and weekdays; an offset, which any key may get.
        const NAME: usize = 9;
        const OFFSET: usize = 7;
        let width = |piece: &Piece| match piece {
            Piece::Literal(c) => c.len_utf8(),
            Piece::MonthName { .. } | Piece::WeekdayName { .. } => NAME,
            Piece::Year | Piece::IsoYear => 4,
            Piece::DayOfYear => 3,
            Piece::Offset => OFFSET,
            _ => 2,
        };
        self.pieces.iter().map(width).sum::<usize>() + OFFSET
    }

    /// How many bytes keys can have. Where ticks follow elapsed time one can repeat and get its offset appended.
    pub(crate) fn lengths(&self, elapsed: bool) -> BTreeSet<usize> {
        let mut lengths = BTreeSet::from([0]);
        for piece in &self.pieces {
            lengths =
                lengths.iter().flat_map(|length| piece.lengths().map(move |more| length + more)).collect();
        }
        if elapsed && !self.has_offset() {
            let suffixed: Vec<usize> = lengths
                .iter()
                .flat_map(|length| Piece::Offset.lengths().map(move |more| length + more))
                .collect();
            lengths.extend(suffixed);
        }
        lengths
    }

    /// A key in this format, to show what keys look like.
    pub(crate) fn example(&self) -> String {
        // 2024-01-31 00:00
        self.key(&Tick { instant: 1_706_659_200, wall: 1_706_659_200, offset: 0, repeated: false })
    }

    /// The key of a tick. The second of two equal wall times gets its offset appended, unless the
    /// format shows it anyway.
    pub(crate) fn key(&self, tick: &Tick) -> String {
        let mut key = String::with_capacity(24);
        write(&self.pieces, tick, &mut key);
        if tick.repeated && !self.has_offset() {
            push_offset(&mut key, tick.offset);
        }
        key
    }

    /// How keys spell the day and how they spell the time, if that is all that they do, in this order.
    pub(crate) fn date_then_time(&self) -> Option<(Spelling<'_>, Spelling<'_>)> {
        let of_time = |piece: &Piece| matches!(piece, Piece::Hour | Piece::Minute);
        let time_at = self.pieces.iter().position(of_time).unwrap_or(self.pieces.len());
        let (date, time) = self.pieces.split_at(time_at);
        let separate = time.iter().all(|piece| of_time(piece) || matches!(piece, Piece::Literal(_)));
        (self.plain && separate).then_some((Spelling(date), Spelling(time)))
    }

    /// Reads a key leniently: numbers may be unpadded and an offset may follow. `None` when it does not
    /// have the shape of the format or names no date.
    pub(crate) fn read(&self, key: &str) -> Option<ReadKey> {
        if self.plain
            && key.len() == self.plain_bytes
            && let Some(walls) = self.read_plain(key.as_bytes())
        {
            return Some(ReadKey { walls, offset: None, canonical: true });
        }
        let mut parts = Parts::default();
        let mut rest = key;
        for piece in &self.pieces {
            rest = parts.take(piece, rest)?;
        }
        if !rest.is_empty() {
            parts.offset = Some(take_offset(rest).filter(|(_, rest)| rest.is_empty())?.0);
        }
        parts.read()
    }

    /// Reads a key of a plain format that is spelled as it would be written: fields have fixed widths.
    fn read_plain(&self, key: &[u8]) -> Option<Range<Wall>> {
        let (mut year, mut month, mut day, mut hour, mut minute) = (None, None, None, None, None);
        let mut rest = key;
        for piece in &self.pieces {
            let (field, after) = rest.split_at_checked(piece.plain_bytes())?;
            let number = || {
                field.iter().try_fold(0u32, |number, digit| {
                    digit.is_ascii_digit().then(|| number * 10 + u32::from(digit - b'0'))
                })
            };
            match piece {
                Piece::Literal(c) if c.is_ascii() => (field[0] == *c as u8).then_some(())?,
                Piece::Literal(c) => (c.encode_utf8(&mut [0; 4]).as_bytes() == field).then_some(())?,
                Piece::Year => year = Some(number()?),
                Piece::Month => month = Some(number()?),
                Piece::Day => day = Some(number()?),
                Piece::Hour => hour = Some(number()?),
                _ => minute = Some(number()?),
            }
            rest = after;
        }
        // Of four digits, so it fits. What names longer than a day is rare and left to the lenient reader.
        let start = midnight(day_of_parts(year? as i32, month?, day?)?);
        match (hour, minute) {
            (None, _) => Some(start..start + DAY_SECONDS),
            (Some(hour @ 0..24), None) => {
                Some(start + i64::from(hour) * 3600..start + i64::from(hour + 1) * 3600)
            }
            (Some(hour @ 0..24), Some(minute @ 0..60)) => {
                let start = start + i64::from(hour) * 3600 + i64::from(minute) * 60;
                Some(start..start + 60)
            }
            _ => None,
        }
    }

    /// Reads the beginning of a key: the wall times of every key that could start so, and whether every key
    /// of these times does. `None` when no key can; everything when the prefix says nothing about time yet.
    pub(crate) fn read_prefix(&self, prefix: &str) -> Option<(Range<Wall>, bool)> {
        let mut parts = Parts::default();
        let mut rest = prefix;
        for piece in &self.pieces {
            if rest.is_empty() {
                break;
            }
            match parts.take_whole(piece, rest) {
                Taken::Whole(after) => rest = after,
                Taken::Partial => break,
                Taken::No => return None,
            }
        }
        let everything = || midnight(day_of(NaiveDate::MIN))..midnight(day_of(NaiveDate::MAX));
        Some(parts.walls().map_or_else(|| (everything(), false), |walls| (walls, rest.is_empty())))
    }

    /// Whether ticks on different minutes, hours, days or months get different keys.
    pub(crate) fn tells_apart(&self, resolution: Resolution) -> bool {
        let has = |piece: Piece| self.pieces.contains(&piece);
        let month = has(Piece::Month)
            || has(Piece::MonthName { full: true })
            || has(Piece::MonthName { full: false });
        let weekday = has(Piece::IsoWeekday)
            || has(Piece::WeekdayName { full: true })
            || has(Piece::WeekdayName { full: false });
        let year = has(Piece::Year) || has(Piece::ShortYear);
        let iso_week = has(Piece::IsoYear) && has(Piece::IsoWeek);
        let day = year && (month && has(Piece::Day) || has(Piece::DayOfYear)) || iso_week && weekday;
        let hour = has(Piece::Hour) || has(Piece::Hour12) && has(Piece::AmPm);
        match resolution {
            // The year of the week is not the year: two first days of January can lie in one.
            Resolution::Year => year || iso_week,
            Resolution::Month => year && month || day || iso_week,
            Resolution::Week => iso_week || day,
            Resolution::Day => day,
            Resolution::Hour => day && hour,
            Resolution::Minute => day && hour && has(Piece::Minute),
        }
    }
}

/// How finely a format must tell times apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Resolution {
    Year,
    Month,
    Week,
    Day,
    Hour,
    Minute,
}

impl Resolution {
    /// The unit, and directives that show it.
    pub(crate) fn hint(self) -> (&'static str, &'static str) {
        match self {
            Self::Year => ("year", "%Y"),
            Self::Month => ("month", "%Y-%m"),
            Self::Week => ("week", "%G-W%V or %Y-%m-%d"),
            Self::Day => ("day", "%Y-%m-%d"),
            Self::Hour => ("hour", "%Y-%m-%d-%H"),
            Self::Minute => ("minute", "%Y-%m-%d-%H:%M"),
        }
    }
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

fn name(names: &[&'static str], index: u32, full: bool) -> &'static str {
    let name = names[index as usize];
    if full { name } else { &name[..3] }
}

fn directive(c: char) -> Result<Piece, FormatError> {
    Ok(match c {
        '%' => Piece::Literal('%'),
        'Y' => Piece::Year,
        'y' => Piece::ShortYear,
        'm' => Piece::Month,
        'b' => Piece::MonthName { full: false },
        'B' => Piece::MonthName { full: true },
        'd' => Piece::Day,
        'j' => Piece::DayOfYear,
        'G' => Piece::IsoYear,
        'V' => Piece::IsoWeek,
        'u' => Piece::IsoWeekday,
        'a' => Piece::WeekdayName { full: false },
        'A' => Piece::WeekdayName { full: true },
        'H' => Piece::Hour,
        'I' => Piece::Hour12,
        'p' => Piece::AmPm,
        'M' => Piece::Minute,
        'S' => Piece::Second,
        'z' => Piece::Offset,
        directive => return Err(FormatError::UnknownDirective { directive }),
    })
}

impl Piece {
    /// How many bytes it can take in a key: names differ, and an offset may have seconds.
    fn lengths(&self) -> RangeInclusive<usize> {
        match self {
            Self::Literal(c) => c.len_utf8()..=c.len_utf8(),
            Self::Year | Self::IsoYear => 4..=4,
            Self::MonthName { full: true } => 3..=9,
            Self::WeekdayName { full: true } => 6..=9,
            Self::MonthName { full: false } | Self::WeekdayName { full: false } | Self::DayOfYear => 3..=3,
            Self::IsoWeekday => 1..=1,
            Self::Offset => 5..=7,
            _ => 2..=2,
        }
    }

    /// How many bytes it takes in a key of a plain format.
    fn plain_bytes(&self) -> usize {
        match self {
            Self::Literal(c) => c.len_utf8(),
            Self::Year => 4,
            _ => 2,
        }
    }
}

fn write(pieces: &[Piece], tick: &Tick, key: &mut String) {
    let date = date_of(day_of_wall(tick.wall));
    let seconds = tick.wall.rem_euclid(DAY_SECONDS);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    for piece in pieces {
        match piece {
            Piece::Literal(c) => key.push(*c),
            Piece::Year => digits(key, i64::from(date.year()), 4),
            Piece::ShortYear => digits(key, i64::from(date.year().rem_euclid(100)), 2),
            Piece::Month => digits(key, i64::from(date.month()), 2),
            Piece::MonthName { full } => key.push_str(name(&MONTHS, date.month0(), *full)),
            Piece::Day => digits(key, i64::from(date.day()), 2),
            Piece::DayOfYear => digits(key, i64::from(date.ordinal()), 3),
            Piece::IsoYear => digits(key, i64::from(date.iso_week().year()), 4),
            Piece::IsoWeek => digits(key, i64::from(date.iso_week().week()), 2),
            Piece::IsoWeekday => digits(key, i64::from(date.weekday().number_from_monday()), 1),
            Piece::WeekdayName { full } => {
                key.push_str(name(&WEEKDAYS, date.weekday().num_days_from_monday(), *full));
            }
            Piece::Hour => digits(key, hour, 2),
            Piece::Hour12 => digits(key, (hour + 11) % 12 + 1, 2),
            Piece::AmPm => key.push_str(if hour < 12 { "AM" } else { "PM" }),
            Piece::Minute => digits(key, minute, 2),
            Piece::Second => digits(key, second, 2),
            Piece::Offset => push_offset(key, tick.offset),
        }
    }
}

fn digits(key: &mut String, value: i64, width: u32) {
    // Formatting through `write!` costs several times as much, and keys are made by the million. Years
    // have at most four digits, so no value is wider than its field.
    let mut divisor = 10i64.pow(width - 1);
    while divisor > 0 {
        // A single digit by the remainder.
        key.push(char::from(b'0' + (value / divisor % 10) as u8));
        divisor /= 10;
    }
}

fn push_offset(key: &mut String, offset: i32) {
    let sign = if offset < 0 { '-' } else { '+' };
    let (hours, minutes, seconds) = (offset.abs() / 3600, offset.abs() / 60 % 60, offset.abs() % 60);
    // Writing into a String cannot fail.
    let _ = write!(key, "{sign}{hours:02}{minutes:02}");
    if seconds != 0 {
        let _ = write!(key, "{seconds:02}");
    }
}
