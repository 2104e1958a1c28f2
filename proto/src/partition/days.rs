//! Which civil days a definition uses: a pattern (cron) or a list (a calendar).

use std::sync::Arc;

use chrono::Datelike;

use super::civil::{Day, date_of};
use super::cron::{CronDays, first_of_month};

/// A set of civil days.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Days {
    /// The day fields of a cron expression.
    Pattern(CronDays),
    /// A pattern less these days, ascending: business days.
    PatternExcept(CronDays, Arc<[Day]>),
    /// A calendar, ascending and without repetition.
    Listed(Arc<[Day]>),
}

impl Days {
    /// Whether every day matches.
    pub(crate) fn every(&self) -> bool {
        matches!(self, Self::Pattern(pattern) if pattern.every_day())
    }

    /// Whether this day matches.
    pub(crate) fn contains(&self, day: Day) -> bool {
        match self {
            Self::Listed(days) => days.binary_search(&day).is_ok(),
            Self::Pattern(pattern) => in_pattern(pattern, day),
            Self::PatternExcept(pattern, except) => {
                in_pattern(pattern, day) && except.binary_search(&day).is_err()
            }
        }
    }

    /// Calls `each` for every matching day from `first` to `last`, both included, ascending.
    pub(crate) fn for_each(&self, first: Day, last: Day, mut each: impl FnMut(Day)) {
        match self {
            Self::Listed(days) => {
                let from = days.partition_point(|&day| day < first);
                days[from..].iter().take_while(|&&day| day <= last).for_each(|&day| each(day));
            }
            Self::Pattern(pattern) => each_in_pattern(pattern, first, last, each),
            Self::PatternExcept(pattern, except) => each_in_pattern(pattern, first, last, |day| {
                if except.binary_search(&day).is_err() {
                    each(day);
                }
            }),
        }
    }

    /// The first and the last day that can match.
    pub(crate) fn bounds(&self) -> (Day, Day) {
        match self {
            Self::Listed(days) => match (days.first(), days.last()) {
                (Some(&first), Some(&last)) => (first, last),
                _ => (Day::MAX, Day::MIN),
            },
            Self::Pattern(_) | Self::PatternExcept(..) => (Day::MIN, Day::MAX),
        }
    }
}

fn in_pattern(pattern: &CronDays, day: Day) -> bool {
    if pattern.every_day() {
        return true;
    }
    let date = date_of(day);
    pattern.of_month(date.year(), date.month()) & (1 << date.day()) != 0
}

fn each_in_pattern(pattern: &CronDays, first: Day, last: Day, mut each: impl FnMut(Day)) {
    let (mut year, mut month) = (date_of(first).year(), date_of(first).month());
    loop {
        let start = first_of_month(year, month);
        if start > last {
            return;
        }
        let mut bits = pattern.of_month(year, month);
        while bits != 0 {
            let day = start - 1 + bits.trailing_zeros() as Day;
            if (first..=last).contains(&day) {
                each(day);
            }
            bits &= bits - 1;
        }
        (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    }
}
