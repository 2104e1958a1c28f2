//! Every zone of the database, from 1970 to 2037, at every change of its clocks.
//!
//! Where nothing changes windows are counted in whole runs; what can go wrong goes wrong at a change. An hour that
//! happens twice is two hours of the usual length, so the changes are read from the database and not found by what
//! the windows look like.

use backstitch_proto::partition::{NoDynamicKeys, Partitions, zone_names};
use chrono::{DateTime, NaiveDate, Utc};

use crate::common::{at, definition};
use crate::wall::{Clock, around_changes};

const BEGIN: &str = "1970-01-01T00:00:00Z";
const END: &str = "2038-01-01T00:00:00Z";

/// Windows follow each other without gap or overlap, and keys lead back to their ordinals.
fn assert_tiles(name: &str, space: &Partitions, ordinals: impl Iterator<Item = u32>) {
    let mut previous: Option<(u32, DateTime<Utc>)> = None;
    for ordinal in ordinals {
        let window = space.window(ordinal).unwrap_or_else(|| panic!("{name}: {ordinal} has a window"));
        assert!(window.start < window.end, "{name}: {ordinal} is empty: {window:?}");
        if let Some((before, end)) = previous
            && before + 1 == ordinal
        {
            assert_eq!(end, window.start, "{name}: gap or overlap before {ordinal}");
        }
        previous = Some((ordinal, window.end));
        let key = space.key(ordinal).unwrap_or_else(|| panic!("{name}: {ordinal} has a key"));
        assert_eq!(space.ordinal(&key), Ok(ordinal), "{name}: {key}");
    }
}

fn in_zone(cadence: &str, zone: &str) -> Partitions {
    let definition = definition(&format!("{{{cadence}, start: 1970-01-01, timezone: {zone}}}"));
    definition.resolve(at(END), &NoDynamicKeys).unwrap_or_else(|error| panic!("{zone}: {error}"))
}

fn clock(zone: &str) -> Clock {
    // A day earlier: 1970 begins at another instant in every zone.
    Clock::of(zone, at(BEGIN).timestamp() - 86_400, at(END).timestamp())
}

/// The windows of a cadence that follows elapsed time are those of the clock itself, one by one around every change.
fn assert_follows_the_clock(cadence: &str, seconds: i64, on_either_side: u32) {
    for zone in zone_names() {
        let (space, clock) = (in_zone(cadence, &zone), clock(&zone));
        let mut repeated = 0;
        for ordinal in around_changes(&space, &clock, on_either_side) {
            let window = space.window(ordinal).unwrap_or_else(|| panic!("{zone}: {ordinal} has a window"));
            let (start, end) = (window.start.timestamp(), window.end.timestamp());
            assert_eq!(end, clock.next_multiple(start, seconds), "{zone}: the end of {window:?}");
            let key = space.key(ordinal).unwrap_or_else(|| panic!("{zone}: {ordinal} has a key"));
            let wall = DateTime::from_timestamp(start + clock.offset_at(start), 0).expect("a wall time");
            let (named, suffix) = key.split_at(16);
            assert_eq!(named, wall.format("%Y-%m-%d-%H:%M").to_string(), "{zone}: {window:?}");
            assert_eq!(!suffix.is_empty(), clock.repeats(start), "{zone}: {key}");
            assert_eq!(space.ordinal(&key), Ok(ordinal), "{zone}: {key}");
            repeated += usize::from(!suffix.is_empty());
        }
        let turned_back = clock.changes.iter().filter(|change| change.before - change.after >= seconds);
        assert!(repeated >= turned_back.count(), "{zone}: {repeated} repeated keys were looked at");
    }
}

#[test]
fn hours_are_those_of_the_clock_at_every_change_in_every_zone() {
    assert_follows_the_clock("kind: hourly", 3_600, 3);
}

#[test]
fn half_hours_are_those_of_the_clock_at_every_change_in_every_zone() {
    assert_follows_the_clock("kind: cron, cron: '*/30 * * * *'", 1_800, 5);
}

#[test]
fn days_begin_when_the_clock_says_so_at_every_change_in_every_zone() {
    for (cadence, seconds) in
        [("kind: daily", 0), ("kind: daily, hour_offset: 2, minute_offset: 30", 2 * 3_600 + 30 * 60)]
    {
        for zone in zone_names() {
            let (days, clock) = (in_zone(cadence, &zone), clock(&zone));
            // Every civil day has its window, but for the one or two that some islands skipped.
            assert!((24_835..=24_837).contains(&days.len()), "{zone}: {} days", days.len());
            let chosen = around_changes(&days, &clock, 1);
            for &ordinal in &chosen {
                let key = days.key(ordinal).unwrap_or_else(|| panic!("{zone}: {ordinal} has a key"));
                let date: NaiveDate = key.parse().unwrap_or_else(|error| panic!("{zone}: {key}: {error}"));
                let wall = date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp() + seconds;
                let start = days.window(ordinal).map(|window| window.start.timestamp());
                assert_eq!(start, clock.instant_of(wall), "{zone}: {key}");
            }
            assert_tiles(&zone, &days, chosen.into_iter());
        }
    }
}

#[test]
fn hours_run_from_the_start_to_the_end_in_every_zone() {
    for zone in zone_names() {
        let hours = in_zone("kind: hourly", &zone);
        assert_tiles(&zone, &hours, (0..3).chain(hours.len() - 3..hours.len()));
        let (first, last) = (hours.window(0).expect("one"), hours.window(hours.len() - 1).expect("one"));
        assert!(last.end <= at(END) && (at(END) - last.end).num_hours() < 2, "{zone}: ends at {}", last.end);
        // Ordinals are elapsed hours but for the zones that do not change by whole hours.
        let elapsed = (last.end - first.start).num_hours();
        assert!((elapsed - i64::from(hours.len())).abs() <= 80, "{zone}: {} of {elapsed} hours", hours.len());
    }
}

#[test]
fn every_cadence_tiles_the_line_in_the_zones_that_change_most() {
    let zones = [
        "America/Nuuk",
        "America/Sao_Paulo",
        "Africa/Casablanca",
        "Antarctica/Troll",
        "Asia/Gaza",
        "Australia/Lord_Howe",
        "Europe/Dublin",
        "Pacific/Apia",
        "Pacific/Kwajalein",
        "Africa/Monrovia",
        "America/St_Johns",
        "Asia/Pyongyang",
        "America/Scoresbysund",
        "Atlantic/Azores",
        "America/Havana",
    ];
    let cadences = [
        "kind: cron, cron: '*/20 * * * *'",
        "kind: cron, cron: '0 */2 * * *'",
        "kind: cron, cron: '30 1,3,23 * * *'",
        "kind: daily",
        "kind: daily, hour_offset: 23, minute_offset: 30",
        "kind: weekly, hour_offset: 1",
        "kind: monthly, day_offset: 31",
        "kind: cron, cron: '15 0 L * *'",
    ];
    for zone in zones {
        let clock = clock(zone);
        for cadence in cadences {
            let space = in_zone(cadence, zone);
            // Two hours, the most that repeats, are six windows of twenty minutes. Sparse cadences are looked at
            // where no clock changes too.
            let mut chosen = around_changes(&space, &clock, 7);
            if space.len() < 25_000 {
                chosen.extend((0..space.len()).filter(|ordinal| ordinal % 9 < 3));
                chosen.sort_unstable();
                chosen.dedup();
            }
            assert_tiles(&format!("{zone} {cadence}"), &space, chosen.into_iter());
        }
    }
}
