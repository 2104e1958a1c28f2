//! A finite stretch of a [`Sequence`], counted, so that the millionth tick is arithmetic.
//!
//! Days that look alike are folded into runs: a run has so many days, the same minutes every day and
//! one offset from UTC. The few days on which clocks change are runs of their own that list their
//! ticks. An hourly definition over twenty years is about eighty runs, whatever its cadence. Each run
//! knows how many ticks lie before it, so index to tick and instant to index are one binary search over
//! the runs and one over the minutes of a day.
//!
//! Two layers are counted side by side: `All` ticks, which bound windows, and the `Kept` ones, which
//! open the windows that were not excluded.

mod build;

use std::ops::Range;
use std::sync::Arc;

use super::civil::{Day, Wall, day_of_wall, midnight};
use super::cron::first_of_month;
use super::sequence::{Sequence, Tick};
use super::when::{FIRST_YEAR, LAST_YEAR};

/// Days counted beyond what is asked for, because a day's ticks can lie on its neighbours' instants.
pub(crate) const MARGIN_DAYS: Day = 3;

/// How far around a span ticks are looked for. Every rule that ever ticks does so within 8 years (29
/// February); offsets of many yearly windows reach further, and beyond four centuries nobody means them.
const LOOK_AROUND_DAYS_MAX: Day = 150_000;

/// First day that is ever counted: of the first year that four digits name.
pub(crate) fn first_day() -> Day {
    first_of_month(FIRST_YEAR, 1)
}

/// Last day that is ever counted.
pub(crate) fn last_day() -> Day {
    first_of_month(LAST_YEAR + 1, 1) - 1
}

/// Which ticks are counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Layer {
    /// Every tick of the rule.
    All,
    /// Those that no exclusion removes.
    Kept,
}

/// Ticks of a sequence from one day to another.
#[derive(Clone, Debug)]
pub(crate) struct Timeline {
    runs: Vec<Run>,
    shapes: Vec<Shape>,
    all: u64,
    kept: u64,
}

/// Consecutive days of one shape.
#[derive(Clone, Copy, Debug)]
struct Run {
    first_day: Day,
    days: u32,
    /// Nothing in this run happens before this instant.
    begin: i64,
    offset: i32,
    shape: usize,
    all_before: u64,
    kept_before: u64,
}

/// What a day of a run looks like; a disturbed shape holds all days of its run.
#[derive(Clone, Debug)]
enum Shape {
    Regular {
        all: Arc<[u16]>,
        kept: Arc<[u16]>,
    },
    Disturbed {
        /// Relative to the first midnight of the run, so that clocks changing alike every year are one
        /// shape.
        all: Vec<Tick>,
        /// Indices into `all`.
        kept: Vec<u32>,
    },
}

/// Some days of kept ticks.
pub(crate) enum Stretch<'a> {
    /// Every day has ticks at the same minutes.
    Alike { first_day: Day, days: u32, minutes: &'a [u16], first_kept: u64 },
    /// Clocks change.
    Disturbed { first_day: Day, days: u32, kept: Range<u64> },
}

impl Shape {
    fn count(&self, layer: Layer) -> usize {
        match (self, layer) {
            (Self::Regular { all, .. }, Layer::All) => all.len(),
            (Self::Regular { kept, .. }, Layer::Kept) => kept.len(),
            (Self::Disturbed { all, .. }, Layer::All) => all.len(),
            (Self::Disturbed { kept, .. }, Layer::Kept) => kept.len(),
        }
    }

    fn minutes(&self, layer: Layer) -> &[u16] {
        match (self, layer) {
            (Self::Regular { all, .. }, Layer::All) => all,
            (Self::Regular { kept, .. }, Layer::Kept) => kept,
            (Self::Disturbed { .. }, _) => &[],
        }
    }

    /// The ticks of a disturbed run that begins at a midnight.
    fn listed(
        &self,
        layer: Layer,
        midnight: Wall,
    ) -> impl DoubleEndedIterator<Item = Tick> + ExactSizeIterator + '_ {
        let (all, kept): (&[Tick], Option<&[u32]>) = match (self, layer) {
            (Self::Regular { .. }, _) => (&[], None),
            (Self::Disturbed { all, .. }, Layer::All) => (all, None),
            (Self::Disturbed { all, kept }, Layer::Kept) => (all, Some(kept)),
        };
        let count = kept.map_or(all.len(), <[u32]>::len);
        (0..count).map(move |index| {
            let tick = all[kept.map_or(index, |kept| kept[index] as usize)];
            Tick { instant: tick.instant + midnight, wall: tick.wall + midnight, ..tick }
        })
    }
}

impl Run {
    fn before(&self, layer: Layer) -> u64 {
        match layer {
            Layer::All => self.all_before,
            Layer::Kept => self.kept_before,
        }
    }

    fn midnight(&self) -> Wall {
        midnight(self.first_day)
    }

    fn end_day(&self) -> Day {
        // A run never spans more days than the four-digit years have.
        self.first_day + self.days as Day
    }
}

impl Timeline {
    /// The ticks around some wall times, whether or not their windows exist.
    pub(crate) fn around(sequence: &Sequence, walls: &Range<Wall>) -> Self {
        let day = |wall| day_of_wall(wall).clamp(first_day(), last_day());
        Self::new(sequence, day(walls.start) - MARGIN_DAYS, day(walls.end) + MARGIN_DAYS)
    }

    /// Ticks from at or before `span.start` to at or behind `span.end`, and `reach` kept ticks on either side of
    /// `own`; less only where the rule itself ends.
    pub(crate) fn covering(sequence: &Sequence, span: Range<i64>, own: &Range<i64>, reach: u64) -> Self {
        let day = |instant| day_of_wall(sequence.zone.wall_at(instant)).clamp(first_day(), last_day());
        let (from, to) = (day(span.start) - MARGIN_DAYS, day(span.end) + MARGIN_DAYS);
        let (rule_first, rule_last) = sequence.rule.days.bounds();
        let mut around = 0;
        // Cadences differ too much to know how many days hold so many ticks: look in growing steps.
        loop {
            let (first, last) = ((from - around).max(first_day()), (to + around).min(last_day()));
            let line = Self::new(sequence, first, last);
            let begins =
                line.rank(Layer::All, span.start + 1) > 0 && line.rank(Layer::Kept, own.start) >= reach;
            let behind = |layer, instant| line.count(layer) - line.rank(layer, instant);
            let ends = behind(Layer::All, span.end) > 0 && behind(Layer::Kept, own.end) > reach;
            let exhausted = around > LOOK_AROUND_DAYS_MAX
                || (begins || first <= rule_first.max(first_day()))
                    && (ends || last >= rule_last.min(last_day()));
            if exhausted {
                return line;
            }
            around = (around * 4).max(64);
        }
    }

    /// The kept tick up to which, from one kept tick on, no window is excluded in between.
    pub(crate) fn gapless_until(&self, start: i64, end: i64) -> i64 {
        if self.all == self.kept {
            return end;
        }
        let index = |kept: i64| u64::try_from(kept).ok().and_then(|kept| self.all_index(kept));
        let Some(first) = index(start) else { return end };
        // How far the two counts drift apart only grows: gallop, then bisect.
        let gapless = |kept: i64| index(kept).is_some_and(|all| all - first == kept.abs_diff(start));
        let (mut good, mut step) = (start, 1);
        while good + step < end && gapless(good + step) {
            good += step;
            step *= 2;
        }
        let mut bad = (good + step).min(end);
        while bad - good > 1 {
            let middle = good + (bad - good) / 2;
            if gapless(middle) { good = middle } else { bad = middle }
        }
        bad
    }

    /// All ticks, one at a time.
    pub(crate) fn ticks(&self, layer: Layer) -> impl Iterator<Item = Tick> + '_ {
        (0..self.count(layer)).filter_map(move |index| self.tick(layer, index))
    }

    /// How many ticks there are.
    pub(crate) fn count(&self, layer: Layer) -> u64 {
        match layer {
            Layer::All => self.all,
            Layer::Kept => self.kept,
        }
    }

    /// How many ticks lie before an instant.
    pub(crate) fn rank(&self, layer: Layer, instant: i64) -> u64 {
        let Some(run) = self.last_run(|run| run.begin <= instant) else { return 0 };
        let shape = &self.shapes[run.shape];
        let inside = match shape {
            Shape::Disturbed { .. } => {
                shape.listed(layer, run.midnight()).filter(|tick| tick.instant < instant).count() as u64
            }
            Shape::Regular { .. } => {
                let wall = instant + i64::from(run.offset);
                let day = day_of_wall(wall);
                if day >= run.end_day() {
                    u64::from(run.days) * shape.count(layer) as u64
                } else {
                    let minutes = shape.minutes(layer);
                    // A day of a run that begins at or before the instant: not negative, below 1,440.
                    let days = (day - run.first_day) as u64;
                    let minute = ((wall - midnight(day) + 59) / 60) as u16;
                    days * minutes.len() as u64 + minutes.partition_point(|&m| m < minute) as u64
                }
            }
        };
        run.before(layer) + inside
    }

    /// The tick at an index.
    pub(crate) fn tick(&self, layer: Layer, index: u64) -> Option<Tick> {
        let (run, inside) = self.locate(layer, index)?;
        let shape = &self.shapes[run.shape];
        match shape {
            Shape::Disturbed { all, kept } => {
                let index = match layer {
                    Layer::All => inside as usize,
                    Layer::Kept => *kept.get(inside as usize)? as usize,
                };
                let (tick, midnight) = (*all.get(index)?, run.midnight());
                Some(Tick { instant: tick.instant + midnight, wall: tick.wall + midnight, ..tick })
            }
            Shape::Regular { .. } => {
                let minutes = shape.minutes(layer);
                let day = run.first_day + (inside / minutes.len() as u64) as Day;
                let minute = minutes[(inside % minutes.len() as u64) as usize];
                let wall = midnight(day) + i64::from(minute) * 60;
                let instant = wall - i64::from(run.offset);
                Some(Tick { instant, wall, offset: run.offset, repeated: false })
            }
        }
    }

    /// The index among all ticks of the kept tick at an index.
    pub(crate) fn all_index(&self, kept: u64) -> Option<u64> {
        let (run, inside) = self.locate(Layer::Kept, kept)?;
        let inside = match &self.shapes[run.shape] {
            Shape::Disturbed { kept, .. } => u64::from(*kept.get(inside as usize)?),
            Shape::Regular { all, kept } => {
                let (day, minute) = (inside / kept.len() as u64, kept[(inside % kept.len() as u64) as usize]);
                day * all.len() as u64 + all.partition_point(|&m| m < minute) as u64
            }
        };
        Some(run.all_before + inside)
    }

    /// The index range of the kept ticks whose wall time may lie in a range: exact on undisturbed days,
    /// and at most a few ticks too wide where wall times repeat.
    pub(crate) fn kept_in_wall(&self, walls: Range<Wall>) -> Range<u64> {
        self.kept_before_wall(walls.start, false)..self.kept_before_wall(walls.end, true)
    }

    /// The first kept tick at some wall times, where clocks do not change; `None` where they do, or without one.
    pub(crate) fn undisturbed(&self, walls: &Range<Wall>) -> Option<u64> {
        let day = day_of_wall(walls.start);
        let run = self.last_run(|run| run.first_day <= day)?;
        let Shape::Regular { kept, .. } = &self.shapes[run.shape] else { return None };
        if day >= run.end_day() {
            return None;
        }
        let minute = ((walls.start - midnight(day) + 59) / 60) as u16;
        let inside = kept.partition_point(|&m| m < minute);
        let wall = midnight(day) + i64::from(*kept.get(inside)?) * 60;
        let index = run.kept_before + (day - run.first_day) as u64 * kept.len() as u64 + inside as u64;
        walls.contains(&wall).then_some(index)
    }

    /// The kept ticks in order, as stretches of days that look alike.
    pub(crate) fn stretches(&self) -> impl Iterator<Item = Stretch<'_>> {
        self.runs.iter().map(|run| match &self.shapes[run.shape] {
            Shape::Regular { kept, .. } => Stretch::Alike {
                first_day: run.first_day,
                days: run.days,
                minutes: kept,
                first_kept: run.kept_before,
            },
            Shape::Disturbed { kept, .. } => Stretch::Disturbed {
                first_day: run.first_day,
                days: run.days,
                kept: run.kept_before..run.kept_before + kept.len() as u64,
            },
        })
    }

    /// How many kept ticks lie before a wall time. On a disturbed run where wall times go back this has
    /// two answers: up to the first tick at or after it, or (`latest`) past the last tick before it.
    fn kept_before_wall(&self, wall: Wall, latest: bool) -> u64 {
        let day = day_of_wall(wall);
        let Some(run) = self.last_run(|run| run.first_day <= day) else { return 0 };
        let shape = &self.shapes[run.shape];
        let inside = match shape {
            Shape::Disturbed { .. } => {
                let mut ticks = shape.listed(Layer::Kept, run.midnight());
                let count = ticks.len();
                if latest {
                    ticks.rposition(|tick| tick.wall < wall).map_or(0, |last| last + 1) as u64
                } else {
                    ticks.position(|tick| tick.wall >= wall).unwrap_or(count) as u64
                }
            }
            Shape::Regular { kept, .. } if day >= run.end_day() => u64::from(run.days) * kept.len() as u64,
            Shape::Regular { kept, .. } => {
                let minute = ((wall - midnight(day) + 59) / 60) as u16;
                (day - run.first_day) as u64 * kept.len() as u64
                    + kept.partition_point(|&m| m < minute) as u64
            }
        };
        run.kept_before + inside
    }

    fn last_run(&self, holds: impl Fn(&Run) -> bool) -> Option<&Run> {
        let after = self.runs.partition_point(holds);
        self.runs.get(after.checked_sub(1)?)
    }

    /// The run that holds the tick at an index, and the tick's index inside it.
    fn locate(&self, layer: Layer, index: u64) -> Option<(&Run, u64)> {
        if index >= self.count(layer) {
            return None;
        }
        // Runs without kept ticks share their count with the next one: the last of them holds the tick.
        let run = self.last_run(|run| run.before(layer) <= index)?;
        Some((run, index - run.before(layer)))
    }
}
