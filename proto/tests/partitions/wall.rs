//! Wall clocks as the database of time zones describes them, to compare the windows with.
//!
//! Nothing here is shared with the code under test: the changes are read from the database, and what follows from
//! them is worked out in the slowest and plainest way.

use backstitch_proto::partition::Partitions;
use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};

/// Changes further than this from a wall time say nothing about it: no clock was ever moved by more than a day.
const NEAR_SECONDS: i64 = 2 * 86_400;

/// One change of a zone's offset from UTC.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    /// The first instant of the new offset, in seconds since the epoch.
    pub(crate) at: i64,
    /// Seconds east of UTC before it.
    pub(crate) before: i64,
    /// Seconds east of UTC from it on.
    pub(crate) after: i64,
}

/// Everything that the wall clock of a zone does between two instants.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    first_offset: i64,
    pub(crate) changes: Vec<Change>,
}

impl Clock {
    /// The clock of a zone from one instant to another, in seconds since the epoch.
    pub(crate) fn of(zone: &str, from: i64, to: i64) -> Self {
        let timestamp = |second| Timestamp::from_second(second).expect("within ten thousand years");
        let zone: TimeZone =
            TimeZoneDatabase::bundled().get(zone).unwrap_or_else(|error| panic!("{zone}: {error}"));
        let offset = |instant| i64::from(zone.to_offset(timestamp(instant)).seconds());
        let mut changes = Vec::new();
        let mut before = offset(from);
        for transition in zone.following(timestamp(from)) {
            let at = transition.timestamp().as_second();
            let after = i64::from(transition.offset().seconds());
            if at > to {
                break;
            }
            if after != before {
                changes.push(Change { at, before, after });
                before = after;
            }
        }
        Self { first_offset: offset(from), changes }
    }

    /// Seconds east of UTC at an instant.
    pub(crate) fn offset_at(&self, instant: i64) -> i64 {
        let past = self.changes.partition_point(|change| change.at <= instant);
        past.checked_sub(1).map_or(self.first_offset, |last| self.changes[last].after)
    }

    /// The first instant behind this one at which the clock shows a multiple of some seconds.
    pub(crate) fn next_multiple(&self, instant: i64, seconds: i64) -> i64 {
        let mut from = instant + 1;
        loop {
            let offset = self.offset_at(from);
            let tick = (from + offset + seconds - 1).div_euclid(seconds) * seconds - offset;
            let next = self.changes.partition_point(|change| change.at <= from);
            match self.changes.get(next) {
                Some(change) if tick >= change.at => from = change.at,
                _ => return tick,
            }
        }
    }

    /// Whether the clock has shown before what it shows at an instant.
    pub(crate) fn repeats(&self, instant: i64) -> bool {
        let wall = instant + self.offset_at(instant);
        self.near(wall).any(|change| change.at <= instant && wall < change.at + change.before)
    }

    /// When a fixed time of the day happens: the second time if it repeats, at the end of the gap if it is skipped.
    pub(crate) fn instant_of(&self, wall: i64) -> Option<i64> {
        let offsets = std::iter::once(self.offset_at(wall - NEAR_SECONDS));
        let offsets = offsets.chain(self.near(wall).map(|change| change.after));
        let shown = offsets.map(|offset| wall - offset).filter(|&at| at + self.offset_at(at) == wall).max();
        let skipped = || {
            let skips =
                |change: &&Change| (change.at + change.before..change.at + change.after).contains(&wall);
            self.near(wall).find(skips).map(|change| change.at)
        };
        shown.or_else(skipped)
    }

    fn near(&self, wall: i64) -> impl Iterator<Item = &Change> {
        let first = self.changes.partition_point(|change| change.at < wall - NEAR_SECONDS);
        self.changes[first..].iter().take_while(move |change| change.at <= wall + NEAR_SECONDS)
    }
}

/// The ordinals of the windows in which the clocks change, and of some on either side, ascending.
pub(crate) fn around_changes(space: &Partitions, clock: &Clock, on_either_side: u32) -> Vec<u32> {
    let Some(last) = space.len().checked_sub(1) else { return Vec::new() };
    let bounds = |ordinal: u32| {
        let window = space.window(ordinal).unwrap_or_else(|| panic!("{ordinal} has a window"));
        (window.start.timestamp(), window.end.timestamp())
    };
    let usual = ((bounds(last).1 - bounds(0).0) / i64::from(space.len())).max(1);
    let mut chosen: Vec<u32> = Vec::new();
    let mut at = 0;
    for change in &clock.changes {
        // Windows are nearly all of one length: guess how many lie in between, then go the rest step by step.
        let ahead = (change.at - bounds(at).0) / usual;
        at = (i64::from(at) + ahead).clamp(0, i64::from(last)) as u32;
        while at > 0 && bounds(at).0 > change.at {
            at -= 1;
        }
        while at < last && bounds(at).1 <= change.at {
            at += 1;
        }
        let from = chosen.last().map_or(0, |last| last + 1).max(at.saturating_sub(on_either_side));
        chosen.extend(from..=at.saturating_add(on_either_side).min(last));
    }
    chosen
}
