//! Windows of two definitions that begin at equal wall times, as runs.
//!
//! Days in Tokyo and days in Berlin have the same keys and other instants. To look up every key of ten million minutes
//! takes most of a minute; but both lines are runs of days with the same minutes, and where the minutes of a day are
//! the same on both sides, so are its keys: ordinals then differ by a constant for as long as both runs last. What is
//! left are the days on which clocks change on either side, and cadences or formats that differ; those keys are looked
//! up, at two microseconds each.

use std::ops::Range;

use super::civil::DAY_SECONDS;
use super::timeline::Stretch;
use super::windows::Windows;

/// Ordinals of one space whose windows begin at the same wall times, under the same keys, as others of another space.
pub(crate) struct Run {
    pub(crate) ordinals: Range<u32>,
    /// From an ordinal to its counterpart, which may not exist.
    pub(crate) delta: i64,
}

/// Days of kept ticks at the same minutes.
struct Days<'a> {
    days: Range<i64>,
    minutes: &'a [u16],
    /// What the first tick of the first day would have as its ordinal, were all of them counted.
    ordinal: i64,
}

/// Farther apart than this no two times have equal keys: every key names its year.
const YEAR_SECONDS: i64 = 372 * DAY_SECONDS;

/// The ordinals whose keys can be keys of another space that writes them alike; those far before or behind it cannot.
pub(crate) fn within_reach(own: &Windows, other: &Windows) -> Range<u32> {
    if own.spec.format != other.spec.format {
        return 0..own.len;
    }
    let last = other.len.checked_sub(1).and_then(|last| other.tick(last));
    let (Some(first), Some(last)) = (other.tick(0), last) else { return 0..0 };
    let kept = own.line.kept_in_wall(first.wall - YEAR_SECONDS..last.wall + YEAR_SECONDS);
    // At most `len`, a u32.
    let ordinal = |kept: u64| kept.saturating_sub(own.first_kept).min(u64::from(own.len)) as u32;
    ordinal(kept.start)..ordinal(kept.end)
}

/// The runs in which two spaces agree, in order; none when their keys are written differently.
pub(crate) fn alike(own: &Windows, other: &Windows) -> Vec<Run> {
    let format = &own.spec.format;
    // An offset in the keys tells equal wall times of two zones apart.
    if *format != other.spec.format || format.has_offset() {
        return Vec::new();
    }
    let (mut runs, mut others) = (Vec::new(), days(other).peekable());
    for here in days(own) {
        while let Some(there) = others.peek() {
            let both = here.days.start.max(there.days.start)..here.days.end.min(there.days.end);
            if !both.is_empty() && here.minutes == there.minutes {
                let from = here.ordinal_of(both.start).clamp(0, i64::from(own.len));
                let to = here.ordinal_of(both.end).clamp(0, i64::from(own.len));
                let delta = there.ordinal_of(both.start) - here.ordinal_of(both.start);
                // Clamped to a u32.
                runs.push(Run { ordinals: from as u32..to as u32, delta });
            }
            if there.days.end > here.days.end {
                break;
            }
            others.next();
        }
    }
    runs
}

impl Days<'_> {
    fn ordinal_of(&self, day: i64) -> i64 {
        self.ordinal + (day - self.days.start) * self.minutes.len() as i64
    }
}

fn days(windows: &Windows) -> impl Iterator<Item = Days<'_>> {
    windows.line.stretches().filter_map(|stretch| match stretch {
        Stretch::Alike { first_day, days, minutes, first_kept } if !minutes.is_empty() => {
            let first_day = i64::from(first_day);
            Some(Days {
                days: first_day..first_day + i64::from(days),
                minutes,
                // Counts of ticks are far below 2^63.
                ordinal: first_kept as i64 - windows.first_kept as i64,
            })
        }
        Stretch::Alike { .. } | Stretch::Disturbed { .. } => None,
    })
}
