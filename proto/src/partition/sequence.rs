//! The unbounded sequence of ticks that a time-window definition describes.
//!
//! Every cadence is the same thing: a set of civil days times a set of minutes of the day, read in a
//! time zone. Hourly, weekly, cron and calendars differ only in the two sets. A tick opens a window;
//! the next tick closes it. An exclusion removes windows by their opening tick and leaves the ticks
//! themselves in place, so the neighbours keep their natural width.

use std::sync::Arc;

use chrono::{Datelike, NaiveDate};

use super::civil::{DAY_SECONDS, Day, Wall, date_of, day_of_wall, midnight};
use super::cron::{Cron, first_of_month};
use super::days::Days;
use super::format::Resolution;
use super::zone::{Shift, Zone};

/// The opening of a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Tick {
    /// Seconds since the epoch.
    pub(crate) instant: i64,
    /// The wall time that names it: what its key shows.
    pub(crate) wall: Wall,
    /// Seconds east of UTC that its key shows.
    pub(crate) offset: i32,
    /// Whether the wall clock showed this time before: the second of two equal hours.
    pub(crate) repeated: bool,
}

/// Days times minutes of the day.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rule {
    /// Which days have ticks.
    pub(crate) days: Days,
    /// At which minutes of the day, ascending.
    pub(crate) minutes: Arc<[u16]>,
    /// Whether ticks follow elapsed time (every hour of the day) rather than fixed times of the day.
    /// It decides what happens when clocks change: an elapsed hour that is skipped does not exist and
    /// one that repeats exists twice; a fixed time that is skipped happens at the end of the gap and
    /// one that repeats happens once, the second time.
    pub(crate) elapsed: bool,
}

/// Which windows are taken out, by their opening tick.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Exclusions {
    /// Ticks of these rules.
    pub(crate) rules: Vec<Rule>,
    /// Everything on these days.
    pub(crate) days: Vec<Days>,
    /// These instants, ascending.
    pub(crate) instants: Vec<i64>,
}

/// A rule in a zone, less its exclusions.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sequence {
    /// Where the wall clock hangs.
    pub(crate) zone: Zone,
    /// When it ticks.
    pub(crate) rule: Rule,
    /// Which ticks open no window.
    pub(crate) exclusions: Exclusions,
}

impl Rule {
    /// The rule of a cron expression.
    pub(crate) fn of_cron(cron: &Cron) -> Self {
        Self {
            days: Days::Pattern(cron.days),
            minutes: cron.minutes_of_day().into(),
            elapsed: cron.every_hour(),
        }
    }

    /// How finely keys must tell the ticks apart.
    pub(crate) fn resolution(&self) -> Resolution {
        let mut hours = self.minutes.iter().map(|minute| minute / 60);
        if self.minutes.len() > 1 {
            let mut seen = 0u32;
            let same_hour = hours.any(|hour| {
                let repeated = seen & (1 << hour) != 0;
                seen |= 1 << hour;
                repeated
            });
            // A fixed time in a gap of the clocks moves to its end, into an hour that may have a tick of its own.
            let moves = !self.elapsed && self.minutes.iter().any(|minute| minute % 60 != 0);
            return if same_hour || moves { Resolution::Minute } else { Resolution::Hour };
        }
        // Weekdays, leap years and month lengths meet in every combination within 28 years; a list is
        // judged by all that it has.
        let (first, last) = match &self.days {
            Days::Listed(_) => self.days.bounds(),
            Days::Pattern(_) | Days::PatternExcept(..) => {
                (first_of_month(2000, 1), first_of_month(2028, 1) - 1)
            }
        };
        let mut previous: Option<NaiveDate> = None;
        let mut needed = Resolution::Year;
        self.days.for_each(first, last, |day| {
            let date = date_of(day);
            if let Some(previous) = previous.replace(date) {
                needed = needed.max(match () {
                    () if previous.iso_week() == date.iso_week() => Resolution::Day,
                    () if previous.year() == date.year() && previous.month() == date.month() => {
                        Resolution::Week
                    }
                    () if previous.year() == date.year() => Resolution::Month,
                    () => Resolution::Year,
                });
            }
        });
        needed
    }

    /// Whether every day has the same ticks.
    pub(crate) fn same_every_day(&self) -> bool {
        self.days.every()
    }

    /// The ticks of the days from `first` to `last`, on which the clocks change as in `shifts`, in
    /// order of time.
    pub(crate) fn disturbed_ticks(&self, first: Day, last: Day, shifts: &[Shift]) -> Vec<Tick> {
        let mut ticks: Vec<(Tick, bool)> = Vec::new();
        self.days.for_each(first, last, |day| {
            for &minute in self.minutes.iter() {
                let wall = midnight(day) + i64::from(minute) * 60;
                let mut instants = occurrences(wall, shifts);
                let at = |instant: i64, repeated: bool| Tick {
                    instant,
                    wall,
                    // Less than a day either way: an offset.
                    offset: (wall - instant) as i32,
                    repeated,
                };
                if self.elapsed {
                    ticks.extend(instants.enumerate().map(|(nth, instant)| (at(instant, nth > 0), false)));
                } else if let Some(instant) = instants.by_ref().last() {
                    ticks.push((at(instant, false), false));
                } else if let Some(moved) = moved_out_of_gap(day, wall, shifts) {
                    ticks.push((moved, true));
                }
            }
        });
        // Ticks that a gap pushed together are one; the one that belongs there names it.
        ticks.sort_by_key(|(tick, moved)| (tick.instant, *moved));
        ticks.dedup_by_key(|(tick, _)| tick.instant);
        ticks.into_iter().map(|(tick, _)| tick).collect()
    }
}

impl Exclusions {
    /// Whether nothing is excluded.
    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.days.is_empty() && self.instants.is_empty()
    }

    /// Whether the same minutes are excluded every day.
    pub(crate) fn same_every_day(&self) -> bool {
        self.rules.iter().all(Rule::same_every_day) && self.days.is_empty() && self.instants.is_empty()
    }
}

impl Sequence {
    /// Whether every day has the same ticks and the same exclusions.
    pub(crate) fn same_every_day(&self) -> bool {
        self.rule.same_every_day() && self.exclusions.same_every_day()
    }
}

/// The instants at which the wall clock shows this time, ascending, near the given shifts.
fn occurrences(wall: Wall, shifts: &[Shift]) -> impl Iterator<Item = i64> {
    // One stretch of constant offset before the first shift, one behind each.
    (0..=shifts.len()).filter_map(move |index| {
        let from = index.checked_sub(1).map_or(i64::MIN, |before| shifts[before].at);
        let to = shifts.get(index).map_or(i64::MAX, |next| next.at);
        let offset = match index.checked_sub(1) {
            Some(before) => shifts[before].after,
            None => shifts.first()?.before,
        };
        let instant = wall - i64::from(offset);
        (from..to).contains(&instant).then_some(instant)
    })
}

/// Where a fixed time goes that the clocks jumped over: to the end of the gap. It is named by the wall
/// time there, so `02:30` becomes `03:00`; if that is already another day (Nuuk jumps from 23:00 to
/// midnight) the nominal time names it, because its day did happen and its window must be found under
/// that date. A day that was skipped whole (Apia had no 30 December 2011) has no tick at all.
fn moved_out_of_gap(day: Day, wall: Wall, shifts: &[Shift]) -> Option<Tick> {
    let gap = shifts.iter().find(|shift| shift.skips(wall))?;
    let skipped = gap.disturbed();
    if skipped.start <= midnight(day) && skipped.end >= midnight(day) + DAY_SECONDS {
        return None;
    }
    let named = if day_of_wall(skipped.end) == day { skipped.end } else { wall };
    Some(Tick { instant: gap.at, wall: named, offset: gap.after, repeated: false })
}
