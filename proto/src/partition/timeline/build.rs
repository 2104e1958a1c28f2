//! Folding days into runs.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Layer, Run, Shape, Timeline};
use crate::partition::civil::{DAY_SECONDS, Day, day_of_wall, midnight};
use crate::partition::sequence::Sequence;
use crate::partition::zone::Shift;

/// What tells the regular days of a sequence apart: which exclusions touch them.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
struct DayClass {
    /// Bit per excluding rule.
    rules: u64,
    whole_day: bool,
    instants: Vec<i64>,
}

impl Timeline {
    /// Counts the ticks of the days from `first` to `last`, and of a few around them when clocks change there.
    pub(crate) fn new(sequence: &Sequence, first: Day, last: Day) -> Self {
        let mut line = Self { runs: Vec::new(), shapes: Vec::new(), all: 0, kept: 0 };
        if first > last {
            return line;
        }
        let margin = 2 * DAY_SECONDS;
        let (from, to) = (midnight(first) - margin, midnight(last) + margin);
        let mut offset = sequence.zone.offset_at(from - 1);
        let (mut classes, mut known) = (HashMap::new(), HashMap::new());
        let mut next_day = first;
        for disturbance in disturbances(&sequence.zone.shifts(from, to)) {
            if disturbance.first_day <= last && disturbance.last_day >= first {
                line.push_regular(sequence, next_day, disturbance.first_day - 1, offset, &mut classes);
                line.push_disturbed(sequence, &disturbance, &mut known);
                next_day = disturbance.last_day + 1;
            }
            if disturbance.first_day <= last {
                offset = disturbance.shifts.last().map_or(offset, |shift| shift.after);
            }
        }
        line.push_regular(sequence, next_day, last, offset, &mut classes);
        line
    }

    fn push_regular(
        &mut self,
        sequence: &Sequence,
        first: Day,
        last: Day,
        offset: i32,
        classes: &mut HashMap<DayClass, usize>,
    ) {
        if first > last {
            return;
        }
        if sequence.same_every_day() {
            let shape = self.regular_shape(sequence, first, offset, classes);
            return self.push_run(first, (last - first + 1) as u32, offset, shape);
        }
        let mut open: Option<(Day, u32, usize)> = None;
        let mut days = Vec::new();
        sequence.rule.days.for_each(first, last, |day| days.push(day));
        for day in days {
            let shape = self.regular_shape(sequence, day, offset, classes);
            open = match open {
                Some((start, length, same)) if same == shape && start + length as Day == day => {
                    Some((start, length + 1, same))
                }
                Some((start, length, other)) => {
                    self.push_run(start, length, offset, other);
                    Some((day, 1, shape))
                }
                None => Some((day, 1, shape)),
            };
        }
        if let Some((start, length, shape)) = open {
            self.push_run(start, length, offset, shape);
        }
    }

    fn regular_shape(
        &mut self,
        sequence: &Sequence,
        day: Day,
        offset: i32,
        classes: &mut HashMap<DayClass, usize>,
    ) -> usize {
        let exclusions = &sequence.exclusions;
        let mut class = DayClass::default();
        if exclusions.is_empty()
            && let Some(Shape::Regular { .. }) = self.shapes.first()
        {
            return 0;
        }
        for (bit, rule) in exclusions.rules.iter().enumerate() {
            class.rules |= u64::from(rule.days.contains(day)) << bit;
        }
        class.whole_day = exclusions.days.iter().any(|days| days.contains(day));
        let begin = midnight(day) - i64::from(offset);
        let from = exclusions.instants.partition_point(|&instant| instant < begin);
        let on_day = exclusions.instants[from..].iter().take_while(|&&instant| instant < begin + DAY_SECONDS);
        class.instants = on_day.map(|instant| instant - begin).collect();

        if let Some(&known) = classes.get(&class) {
            return known;
        }
        let all = Arc::clone(&sequence.rule.minutes);
        let kept: Arc<[u16]> = if class == DayClass::default() {
            Arc::clone(&all)
        } else {
            let excluded = |minute: u16| {
                let by_rule = exclusions.rules.iter().enumerate().any(|(bit, rule)| {
                    class.rules & (1 << bit) != 0 && rule.minutes.binary_search(&minute).is_ok()
                });
                class.whole_day || by_rule || class.instants.contains(&(i64::from(minute) * 60))
            };
            all.iter().copied().filter(|&minute| !excluded(minute)).collect()
        };
        self.shapes.push(Shape::Regular { all, kept });
        classes.insert(class, self.shapes.len() - 1);
        self.shapes.len() - 1
    }

    fn push_disturbed(
        &mut self,
        sequence: &Sequence,
        disturbance: &Disturbance,
        known: &mut HashMap<Disturbance, usize>,
    ) {
        let Disturbance { first_day, last_day, shifts } = disturbance;
        let days = (last_day - first_day + 1) as u32;
        let before = shifts.first().map_or(0, |shift| shift.before);
        // Where every day is like every other, days on which clocks change alike are alike too.
        let alike = sequence.same_every_day().then(|| disturbance.relative());
        if let Some(&shape) = alike.as_ref().and_then(|alike| known.get(alike)) {
            return self.push_run(*first_day, days, before, shape);
        }
        let exclusions = &sequence.exclusions;
        let mut all = sequence.rule.disturbed_ticks(*first_day, *last_day, shifts);
        let mut excluded: Vec<i64> = exclusions
            .rules
            .iter()
            .flat_map(|rule| rule.disturbed_ticks(*first_day, *last_day, shifts))
            .map(|tick| tick.instant)
            .collect();
        excluded.sort_unstable();
        let kept = (0u32..)
            .zip(&all)
            .filter(|(_, tick)| {
                excluded.binary_search(&tick.instant).is_err()
                    && exclusions.instants.binary_search(&tick.instant).is_err()
                    && !exclusions.days.iter().any(|days| days.contains(day_of_wall(tick.wall)))
            })
            .map(|(index, _)| index)
            .collect();
        for tick in &mut all {
            tick.instant -= midnight(*first_day);
            tick.wall -= midnight(*first_day);
        }
        self.shapes.push(Shape::Disturbed { all, kept });
        let shape = self.shapes.len() - 1;
        if let Some(alike) = alike {
            known.insert(alike, shape);
        }
        self.push_run(*first_day, days, before, shape);
    }

    fn push_run(&mut self, first_day: Day, days: u32, offset: i32, shape: usize) {
        let (all_before, kept_before) = (self.all, self.kept);
        let times = match self.shapes[shape] {
            Shape::Regular { .. } => u64::from(days),
            Shape::Disturbed { .. } => 1,
        };
        self.all += times * self.shapes[shape].count(Layer::All) as u64;
        self.kept += times * self.shapes[shape].count(Layer::Kept) as u64;
        let begin = midnight(first_day) - i64::from(offset);
        self.runs.push(Run { first_day, days, begin, offset, shape, all_before, kept_before });
    }
}

/// Days whose wall times skip or repeat.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Disturbance {
    first_day: Day,
    last_day: Day,
    shifts: Vec<Shift>,
}

impl Disturbance {
    /// The same disturbance, counted from its own first midnight.
    fn relative(&self) -> Self {
        let moved = |shift: &Shift| Shift { at: shift.at - midnight(self.first_day), ..*shift };
        Self {
            first_day: 0,
            last_day: self.last_day - self.first_day,
            shifts: self.shifts.iter().map(moved).collect(),
        }
    }
}

/// Groups shifts by the days that they disturb; days touched by two shifts are one group.
fn disturbances(shifts: &[Shift]) -> Vec<Disturbance> {
    let mut groups: Vec<Disturbance> = Vec::new();
    for &shift in shifts {
        let walls = shift.disturbed();
        // The end of a gap is where skipped ticks go, so its day belongs to the group.
        let first_day = day_of_wall(walls.start);
        let last_day =
            if shift.after > shift.before { day_of_wall(walls.end) } else { day_of_wall(walls.end - 1) };
        match groups.last_mut() {
            Some(group) if first_day <= group.last_day => {
                group.first_day = group.first_day.min(first_day);
                group.last_day = group.last_day.max(last_day);
                group.shifts.push(shift);
            }
            _ => groups.push(Disturbance { first_day, last_day, shifts: vec![shift] }),
        }
    }
    groups
}
