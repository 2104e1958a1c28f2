//! Time windows that overlap, as instants.
//!
//! A downstream window, moved by whole downstream windows, covers a stretch of time; it needs every
//! upstream window that shares an instant with it. Cadences, zones and starts of the two sides are
//! independent: only instants are compared. Both ends of the stretch grow with the ordinal, so a run of
//! consecutive windows needs a run of consecutive windows, found by two binary searches; only where
//! windows are excluded does a run break into stretches.
//!
//! An offset never makes a requirement out of nothing: on the side to which it points, nothing beyond the upstream's
//! first or last window is required. Yesterday's own partition is not missing on the first day. On the other side what
//! lies outside is missing, and on both while the upstream has no window at all.

use std::ops::Range;
use std::sync::Arc;

use super::blocked::Blocking;
use super::definition::MissingPolicy;
use super::missing::Absent;
use crate::partition::{PartitionSubset, TimeSpec, Timeline, WindowLayer as Layer, Windows};

/// The relation between two time-window spaces.
#[derive(Clone, Debug)]
pub(crate) struct Overlap {
    upstream: Side,
    downstream: Side,
    start_offset: i64,
    end_offset: i64,
}

/// A space, counted further than it exists.
#[derive(Clone, Debug)]
struct Side {
    spec: Arc<TimeSpec>,
    line: Arc<Timeline>,
    /// Index among the kept ticks of ordinal 0.
    base: i64,
    len: u32,
    /// How many windows are counted: kept ticks that a tick follows.
    counted: i64,
    /// From the first window's start to the last one's end; `None` without windows.
    bounds: Option<Range<i64>>,
}

impl Overlap {
    /// Counts both sides as far as offsets and the other side reach.
    pub(crate) fn new(upstream: &Windows, downstream: &Windows, start_offset: i32, end_offset: i32) -> Self {
        // As many windows before the first and behind the last as the offsets can name.
        let reach = u64::from(start_offset.unsigned_abs().max(end_offset.unsigned_abs()));
        let downstream = Side::new(downstream, None, reach);
        let covered = downstream.stretch_of_all(i64::from(start_offset), i64::from(end_offset));
        let upstream = Side::new(upstream, covered, 0);
        Self {
            upstream,
            downstream,
            start_offset: i64::from(start_offset),
            end_offset: i64::from(end_offset),
        }
    }

    /// What a subset needs and exists; with `absent`, also what does not.
    pub(crate) fn upstream_of(
        &self,
        downstream: &PartitionSubset,
        absent: &mut Vec<Absent>,
    ) -> PartitionSubset {
        let mut needed = PartitionSubset::new();
        let width = self.end_offset - self.start_offset;
        // Gaps count where the windows are moved to, not where they come from.
        for stretch in self.downstream.stretches(downstream, self.start_offset, width == 0) {
            let (Some(from), Some(to)) =
                (self.downstream.start(stretch.start), self.downstream.end(stretch.end - 1 + width))
            else {
                continue;
            };
            needed.insert_range(self.upstream.existing(&self.upstream.overlapping(from, to)));
            self.note_absent(from, to, absent);
        }
        needed
    }

    /// What needs any of a subset.
    pub(crate) fn downstream_of(&self, upstream: &PartitionSubset) -> PartitionSubset {
        let mut needing = PartitionSubset::new();
        for stretch in self.upstream.stretches(upstream, 0, true) {
            needing.insert_range(self.needing(&stretch));
        }
        needing
    }

    /// Notes who needs windows that do not exist: which ends count is told in `note_absent`.
    pub(crate) fn blocked(
        &self,
        downstream: &PartitionSubset,
        policy: MissingPolicy,
        blocking: &mut Blocking,
    ) {
        let upstream = &self.upstream;
        let nothing_exists = upstream.bounds.is_none();
        let (first, behind) = (upstream.base, upstream.base + i64::from(upstream.len));
        if nothing_exists || self.start_offset >= 0 {
            // Windows before the start never come.
            blocking.note(policy, None, &self.needing_any(0..first, downstream));
        }
        if nothing_exists || self.end_offset <= 0 {
            let mut open = self.needing_any(behind..upstream.counted, downstream);
            // Both ends of what is needed grow with the ordinal: the last one waits for the last window.
            while let Some(last) = open.last() {
                let awaited = self.last_needed(last).unwrap_or(behind).max(behind);
                let mut group = self.needing_any(awaited..awaited + 1, &open);
                group.insert(last);
                blocking.note(policy, upstream.exists_from(awaited), &group);
                open -= &group;
            }
        }
    }

    /// Those of `among` that need any of a run of counted upstream windows, which may not exist.
    fn needing_any(&self, upstream: Range<i64>, among: &PartitionSubset) -> PartitionSubset {
        let mut needing = PartitionSubset::new();
        for stretch in self.upstream.cut(upstream, true) {
            needing.insert_range(self.needing(&stretch));
        }
        needing &= among;
        needing
    }

    /// The last counted upstream window that a downstream window needs.
    fn last_needed(&self, ordinal: u32) -> Option<i64> {
        let window = self.downstream.base + i64::from(ordinal);
        let from = self.downstream.start(window + self.start_offset)?;
        let to = self.downstream.end(window + self.end_offset)?;
        Some(self.upstream.overlapping(from, to).end - 1)
    }

    /// The downstream windows that need any of a stretch of upstream windows without a gap in time.
    fn needing(&self, stretch: &Range<i64>) -> Range<u32> {
        let (Some(from), Some(to)) = (self.upstream.start(stretch.start), self.upstream.end(stretch.end - 1))
        else {
            return 0..0;
        };
        if self.downstream.outside(from, to) {
            return 0..0;
        }
        let touched = self.downstream.overlapping(from, to);
        // A window reaches back by its start offset and ahead by its end offset.
        let moved = touched.start - self.end_offset..touched.end - self.start_offset;
        self.downstream.existing(&moved)
    }
}

impl Overlap {
    /// Notes the windows that a stretch requires outside of what exists.
    fn note_absent(&self, from: i64, to: i64, absent: &mut Vec<Absent>) {
        let upstream = &self.upstream;
        let Some(bounds) = &upstream.bounds else {
            return absent.push(upstream.absent(upstream.overlapping(from, to)));
        };
        if bounds.start <= from && to <= bounds.end {
            return;
        }
        // The side to which an offset points is cut at the upstream's own bounds.
        let from = match self.start_offset {
            ..0 => from.max(bounds.start),
            0 => from,
            1.. => from.min(bounds.end),
        };
        let to = match self.end_offset {
            ..0 => to.max(bounds.start),
            0 => to,
            1.. => to.min(bounds.end),
        };
        if from >= to {
            return;
        }
        let required = upstream.overlapping(from, to);
        let existing = upstream.base..upstream.base + i64::from(upstream.len);
        absent.push(upstream.absent(required.start..required.end.min(existing.start)));
        absent.push(upstream.absent(required.start.max(existing.end)..required.end));
    }
}

impl Side {
    fn new(windows: &Windows, covered: Option<Range<i64>>, reach: u64) -> Self {
        let bounds = windows.len.checked_sub(1).and_then(|last| {
            let (start, end) = (windows.bounds(0)?.0, windows.bounds(last)?.1);
            Some(start..end)
        });
        let own = bounds.clone().unwrap_or(windows.spec.start..windows.spec.start);
        let span = covered.map_or(own.clone(), |other| own.start.min(other.start)..own.end.max(other.end));
        let line = Timeline::covering(&windows.spec.sequence, span, &own, reach);
        // Counts of ticks are far below 2^63.
        let base = line.rank(Layer::Kept, windows.spec.start) as i64;
        let last_tick = line.count(Layer::All).checked_sub(1).and_then(|last| line.tick(Layer::All, last));
        let counted = last_tick.map_or(0, |last| line.rank(Layer::Kept, last.instant) as i64);
        Self {
            spec: Arc::clone(&windows.spec),
            line: Arc::new(line),
            base,
            len: windows.len,
            counted,
            bounds,
        }
    }

    /// The first instant of a window; of the first counted one for those before it.
    fn start(&self, kept: i64) -> Option<i64> {
        let index = u64::try_from(kept.max(0)).ok()?;
        (kept < self.counted).then(|| self.line.tick(Layer::Kept, index))?.map(|tick| tick.instant)
    }

    /// The end of a window; of the last counted one for those behind it.
    fn end(&self, kept: i64) -> Option<i64> {
        let index = u64::try_from(kept.min(self.counted - 1)).ok()?;
        self.line.tick(Layer::All, self.line.all_index(index)? + 1).map(|tick| tick.instant)
    }

    /// The counted windows that share an instant with a stretch of time. Where none does, the range is
    /// empty and stands between the windows before and behind.
    fn overlapping(&self, from: i64, to: i64) -> Range<i64> {
        let line = &self.line;
        let last_tick =
            line.rank(Layer::All, from + 1).checked_sub(1).and_then(|last| line.tick(Layer::All, last));
        // Windows that begin before the last tick up to `from` have ended by then.
        let ended = last_tick.map_or(0, |tick| line.rank(Layer::Kept, tick.instant) as i64);
        let begun = (line.rank(Layer::Kept, to) as i64).min(self.counted);
        ended..begun
    }

    /// Whether a stretch of time lies outside of everything counted.
    fn outside(&self, from: i64, to: i64) -> bool {
        let (Some(first), Some(last)) = (self.start(0), self.end(self.counted - 1)) else { return true };
        to <= first || from >= last
    }

    /// Ordinals of counted windows, as far as they exist.
    fn existing(&self, kept: &Range<i64>) -> Range<u32> {
        // Clamped to 0..=len, a u32.
        let ordinal = |kept: i64| (kept - self.base).clamp(0, i64::from(self.len)) as u32;
        ordinal(kept.start)..ordinal(kept.end)
    }

    fn absent(&self, kept: Range<i64>) -> Absent {
        let index = |kept: i64| u64::try_from(kept).unwrap_or(0);
        let kept = index(kept.start)..index(kept.end);
        Absent::Windows { line: Arc::clone(&self.line), spec: Arc::clone(&self.spec), kept }
    }

    /// From the start of the first window to the end of the last, moved by offsets.
    fn stretch_of_all(&self, start_offset: i64, end_offset: i64) -> Option<Range<i64>> {
        let last = i64::from(self.len.checked_sub(1)?);
        Some(self.start(self.base + start_offset)?..self.end(self.base + last + end_offset)?)
    }

    /// A subset, moved by some windows, as stretches of counted windows, each without a gap in time if `gapless`.
    fn stretches(&self, subset: &PartitionSubset, offset: i64, gapless: bool) -> Vec<Range<i64>> {
        let mut stretches = Vec::new();
        for range in subset.ranges() {
            let base = self.base + offset;
            let end = base + i64::from((*range.end()).min(self.len.saturating_sub(1))) + 1;
            let run = base + i64::from(*range.start())..end;
            // Where gaps count, so does every window; those beyond what is counted have no time.
            let run = if gapless { run.start.max(0)..run.end.min(self.counted) } else { run };
            stretches.extend(self.cut(run, gapless));
        }
        stretches
    }

    /// A run of counted windows as stretches, each without a gap in time if `gapless`.
    fn cut(&self, run: Range<i64>, gapless: bool) -> impl Iterator<Item = Range<i64>> + '_ {
        let mut start = run.start;
        std::iter::from_fn(move || {
            let from = start;
            start = if gapless { self.line.gapless_until(from, run.end) } else { run.end };
            (from < run.end).then_some(from..start)
        })
    }

    /// From which instant on a counted window exists; `None` if it never does.
    fn exists_from(&self, kept: i64) -> Option<i64> {
        let tick = self.line.tick(Layer::Kept, u64::try_from(kept).ok()?)?;
        self.spec.exists_from(tick.instant)
    }
}
