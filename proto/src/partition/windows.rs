//! The windows of a time-window definition that exist at one instant.

use std::ops::Range;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::civil::day_of_wall;
use super::compile::TimeSpec;
use super::error::{DefinitionError, DefinitionProblem, KeyError};
use super::format::ReadKey;
use super::sequence::Tick;
use super::timeline::{Layer, MARGIN_DAYS, Timeline, first_day, last_day};
use super::{PARTITIONS_MAX, PartitionSubset, TimeWindow};

/// A stretch of ticks counted for one definition: everything that does not depend on which of them exist.
#[derive(Clone, Debug)]
pub(crate) struct Windows {
    pub(crate) spec: Arc<TimeSpec>,
    pub(crate) line: Arc<Timeline>,
    /// Index among the kept ticks of ordinal 0.
    pub(crate) first_kept: u64,
    /// How many partitions exist.
    pub(crate) len: u32,
}

impl Windows {
    /// The windows that exist at `now`.
    pub(crate) fn at(spec: &Arc<TimeSpec>, now: DateTime<Utc>) -> Result<Self, DefinitionError> {
        let now = now.timestamp();
        let line = counted(spec, now);
        let first_all = line.rank(Layer::All, spec.start);
        let first_kept = line.rank(Layer::Kept, spec.start);
        // Of n ticks up to an instant n - 1 windows are complete; all counts from the first window,
        // so a present before the start gives a negative one.
        let complete = |instant: i64| line.rank(Layer::All, instant + 1) as i64 - 1 - first_all as i64;
        let mut windows = complete(now) + i64::from(spec.end_offset);
        if let Some(end) = spec.end {
            windows = windows.min(complete(end));
        }
        windows = windows.min(line.count(Layer::All) as i64 - 1 - first_all as i64);
        let end_kept = match u64::try_from(windows) {
            Err(_) | Ok(0) => first_kept,
            // The tick exists: there are more ticks than windows by the last minimum.
            Ok(count) => line
                .tick(Layer::All, first_all + count)
                .map_or(first_kept, |end| line.rank(Layer::Kept, end.instant)),
        };
        let count = end_kept - first_kept;
        let len = u32::try_from(count).map_err(|_| {
            let problem =
                DefinitionProblem::TooManyPartitions { count: u128::from(count), limit: PARTITIONS_MAX };
            DefinitionError::new("", problem)
        })?;
        Ok(Self { spec: Arc::clone(spec), line: Arc::new(line), first_kept, len })
    }

    /// The tick that opens a window.
    pub(crate) fn tick(&self, ordinal: u32) -> Option<Tick> {
        (ordinal < self.len).then(|| self.line.tick(Layer::Kept, self.first_kept + u64::from(ordinal)))?
    }

    /// The key of a window.
    pub(crate) fn key(&self, ordinal: u32) -> Option<String> {
        self.tick(ordinal).map(|tick| self.spec.format.key(&tick))
    }

    /// The window itself: from its tick to the next, excluded or not.
    pub(crate) fn window(&self, ordinal: u32) -> Option<TimeWindow> {
        let (start, end) = self.bounds(ordinal)?;
        Some(TimeWindow {
            start: DateTime::from_timestamp(start, 0)?,
            end: DateTime::from_timestamp(end, 0)?,
        })
    }

    /// The window's instants, in seconds since the epoch.
    pub(crate) fn bounds(&self, ordinal: u32) -> Option<(i64, i64)> {
        if ordinal >= self.len {
            return None;
        }
        let kept = self.first_kept + u64::from(ordinal);
        let start = self.line.tick(Layer::Kept, kept)?;
        let end = self.line.tick(Layer::All, self.line.all_index(kept)? + 1)?;
        Some((start.instant, end.instant))
    }

    /// The window that a key names.
    pub(crate) fn ordinal(&self, key: &str) -> Result<u32, KeyError> {
        let Some(read) = self.spec.format.read(key) else {
            let example = self.key(0).unwrap_or_else(|| self.spec.format.example());
            return Err(KeyError::Malformed { key: key.to_owned(), example });
        };
        self.named(key, &read).ok_or_else(|| super::windows_error::explain(self, key, &read))
    }
}

impl Windows {
    /// The existing window that a key names, without the reasons why there is none.
    pub(crate) fn find(&self, key: &str) -> Option<u32> {
        self.named(key, &self.spec.format.read(key)?)
    }

    fn named(&self, key: &str, read: &ReadKey) -> Option<u32> {
        if read.canonical
            && let Some(index) = self.line.undisturbed(&read.walls)
        {
            // Nothing repeats there: the tick at this wall time is the one that the key names.
            let ordinal = u32::try_from(index.checked_sub(self.first_kept)?).ok()?;
            return (ordinal < self.len).then_some(ordinal);
        }
        let candidates = self.line.kept_in_wall(read.walls.clone());
        let end = candidates.end.min(self.first_kept + u64::from(self.len));
        let index = (candidates.start.max(self.first_kept)..end).find(|&index| {
            self.line.tick(Layer::Kept, index).is_some_and(|tick| {
                let plainly = read.canonical && !tick.repeated && read.walls.contains(&tick.wall);
                plainly || self.spec.format.key(&tick) == key
            })
        })?;
        // Below `first_kept + len`: a u32.
        Some((index - self.first_kept) as u32)
    }

    /// How far ordinals of another space are from those of this one, if both count the same windows
    /// under the same keys and differ only in where they begin.
    pub(crate) fn shift_from(&self, other: &Self) -> Option<i64> {
        let same = self.spec.sequence == other.spec.sequence && self.spec.format == other.spec.format;
        let (own, others) = (self.line.count(Layer::Kept) as i64, other.line.count(Layer::Kept) as i64);
        if !same || own == 0 || others == 0 {
            return None;
        }
        // Both lines count the same ticks; whichever begins later finds its first tick in the other.
        let at = self.spec.start.max(other.spec.start);
        let behind = |windows: &Self| windows.line.rank(Layer::Kept, at) as i64 - windows.first_kept as i64;
        Some(behind(self) - behind(other))
    }

    /// From which instant on the window with this key exists; `None` if it never does.
    pub(crate) fn exists_from(&self, key: &str) -> Option<i64> {
        let walls = self.spec.format.read(key)?.walls;
        let around = Timeline::around(&self.spec.sequence, &walls);
        let tick = around.ticks(Layer::Kept).find(|tick| self.spec.format.key(tick) == key)?;
        self.spec.exists_from(tick.instant)
    }

    /// Which windows of another space of the same ticks exist here at some time: from this definition's start on and
    /// up to its end.
    pub(crate) fn ever(&self, other: &Self) -> Range<u32> {
        let (line, spec) = (&other.line, &self.spec);
        // Clamped to 0..=len, a u32.
        let ordinal = |kept: u64| kept.saturating_sub(other.first_kept).min(u64::from(other.len)) as u32;
        let closed_by = |end: i64| {
            let closing = line.rank(Layer::All, end + 1).checked_sub(1);
            let closing = closing.and_then(|closing| line.tick(Layer::All, closing));
            closing.map_or(0, |closing| ordinal(line.rank(Layer::Kept, closing.instant)))
        };
        ordinal(line.rank(Layer::Kept, spec.start))..spec.end.map_or(other.len, closed_by)
    }

    /// From which instants on those of [`ever`](Self::ever) exist here. Counts ticks once for all of them.
    pub(crate) fn exist_from(&self, other: &Self, ordinals: &PartitionSubset) -> Vec<(u32, Option<i64>)> {
        let opening = |ordinal| other.tick(ordinal).map(|tick| tick.instant);
        let (first, last) = (ordinals.first().and_then(opening), ordinals.last().and_then(opening));
        let (Some(first), Some(last)) = (first, last) else { return Vec::new() };
        let line = self.spec.counted(first..last);
        let exists_from = |ordinal| opening(ordinal).and_then(|opening| self.spec.exists_by(&line, opening));
        ordinals.iter().map(|ordinal| (ordinal, exists_from(ordinal))).collect()
    }

    /// Where a window lies that does not exist but whose key is good: how many existing windows begin
    /// before it, and its first instant.
    pub(crate) fn place(&self, key: &str) -> (u32, i64) {
        let walls = self.spec.format.read(key).map_or(0..0, |read| read.walls);
        let around = Timeline::around(&self.spec.sequence, &walls);
        let ticks = around.ticks(Layer::All).filter(|tick| walls.contains(&tick.wall));
        let named = ticks.into_iter().find(|tick| self.spec.format.key(tick) == key);
        let instant = named.map_or(walls.start, |tick| tick.instant);
        let before = self.line.rank(Layer::Kept, instant).saturating_sub(self.first_kept);
        // At most `len`, a u32.
        (before.min(u64::from(self.len)) as u32, instant)
    }
}

impl TimeSpec {
    /// From which instant on the window exists that opens at a tick of this definition; `None` if it never does.
    pub(crate) fn exists_from(&self, opening: i64) -> Option<i64> {
        if opening < self.start {
            return None;
        }
        self.exists_by(&self.counted(opening..opening), opening)
    }

    /// The ticks that decide from when on the windows exist that open in a stretch of time.
    fn counted(&self, openings: Range<i64>) -> Timeline {
        let reach = u64::from(self.end_offset.unsigned_abs()) + 2;
        Timeline::covering(&self.sequence, openings.clone(), &openings, reach)
    }

    fn exists_by(&self, line: &Timeline, opening: i64) -> Option<i64> {
        let closing = line.rank(Layer::All, opening + 1);
        let end = line.tick(Layer::All, closing)?.instant;
        if self.end.is_some_and(|limit| end > limit) {
            return None;
        }
        // An offset moves existence by whole windows, excluded or not.
        let moved = closing.checked_add_signed(-i64::from(self.end_offset))?;
        line.tick(Layer::All, moved).map(|tick| tick.instant)
    }
}

/// Counts the ticks from before the start to far enough behind `now`.
fn counted(spec: &TimeSpec, now: i64) -> Timeline {
    let zone = &spec.sequence.zone;
    let start_day = day_of_wall(zone.wall_at(spec.start));
    let now_day = day_of_wall(zone.wall_at(now)).clamp(first_day(), last_day());
    // Windows that precede the start count when a positive offset reaches over it from an earlier now.
    let first = if spec.end_offset > 0 { start_day.min(now_day) } else { start_day } - MARGIN_DAYS;
    let end_day =
        spec.end.map_or(last_day(), |end| day_of_wall(zone.wall_at(end)) + MARGIN_DAYS).min(last_day());
    let calendar_end = spec.sequence.rule.days.bounds().1;
    if spec.end_offset <= 0 {
        // A negative offset counts back from now even if that is behind the end.
        let last =
            if spec.end_offset < 0 { now_day + MARGIN_DAYS } else { (now_day + MARGIN_DAYS).min(end_day) };
        return Timeline::new(&spec.sequence, first, last);
    }
    // Ahead of now: look as far as the offset reaches, in growing steps because cadences differ so much.
    let wanted = u64::from(spec.end_offset.unsigned_abs()) + 1;
    let mut ahead = 64;
    loop {
        let last = now_day.saturating_add(ahead).min(end_day);
        let line = Timeline::new(&spec.sequence, first, last);
        let behind_now = line.count(Layer::All) - line.rank(Layer::All, now + 1);
        if behind_now >= wanted || last >= end_day || last >= calendar_end {
            return line;
        }
        ahead = ahead.saturating_mul(4);
    }
}
