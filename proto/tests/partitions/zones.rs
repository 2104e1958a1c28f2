//! Every zone of the database, from 1970 to 2037.

use backstitch_proto::partition::{NoDynamicKeys, Partitions, PartitionsDefinition, zone_names};
use chrono::{DateTime, Utc};

use crate::common::{at, definition};

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
    let yaml = format!("{{{cadence}, start: 1970-01-01, timezone: {zone}}}");
    let definition: PartitionsDefinition = definition(&yaml);
    definition.resolve(at(END), &NoDynamicKeys).unwrap_or_else(|error| panic!("{zone}: {error}"))
}

/// Ordinals around the windows whose length is unusual, which is where clocks change, and a few others.
fn interesting(space: &Partitions, usual_seconds: i64) -> Vec<u32> {
    const AROUND: u32 = 3;
    let len = space.len();
    let mut chosen: Vec<u32> = (0..len).step_by((len / 16).max(1) as usize).collect();
    chosen.extend(len.saturating_sub(AROUND)..len);
    let mut from = 0;
    // Windows of the usual length make a straight line: bisect for the places where it bends.
    let start = |ordinal: u32| space.window(ordinal).map_or(0, |window| window.start.timestamp());
    while from < len {
        let straight = |to: u32| start(to) - start(from) == i64::from(to - from) * usual_seconds;
        let (mut good, mut bad) = (from, from + 1);
        while bad < len && straight(bad) {
            good = bad;
            bad = bad.saturating_add(bad - from).min(len);
            if bad == len {
                break;
            }
        }
        while bad - good > 1 {
            let middle = good + (bad - good) / 2;
            if straight(middle) { good = middle } else { bad = middle }
        }
        chosen.extend(good.saturating_sub(AROUND)..(good + AROUND).min(len));
        from = good + 1;
    }
    chosen.sort_unstable();
    chosen.dedup();
    chosen
}

#[test]
fn hours_tile_the_line_in_every_zone() {
    for zone in zone_names() {
        let hours = in_zone("kind: hourly", &zone);
        let chosen = interesting(&hours, 3600);
        assert_tiles(&zone, &hours, chosen.into_iter());
        let (first, last) = (hours.window(0).expect("one"), hours.window(hours.len() - 1).expect("one"));
        assert!(last.end <= at(END) && (at(END) - last.end).num_hours() < 2, "{zone}: ends at {}", last.end);
        // Ordinals are elapsed hours but for the zones that do not change by whole hours.
        let elapsed = (last.end - first.start).num_hours();
        assert!((elapsed - i64::from(hours.len())).abs() <= 80, "{zone}: {} of {elapsed} hours", hours.len());
    }
}

#[test]
fn days_tile_the_line_in_every_zone() {
    for zone in zone_names() {
        let days = in_zone("kind: daily, hour_offset: 2, minute_offset: 30", &zone);
        let chosen = interesting(&days, 86_400);
        assert_tiles(&zone, &days, chosen.into_iter());
        // Every civil day has its window, but for the one or two that some islands skipped.
        assert!((24_835..=24_837).contains(&days.len()), "{zone}: {} days", days.len());
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
        for cadence in cadences {
            let yaml = format!("{{{cadence}, start: 1969-06-01, timezone: {zone}}}");
            let space = definition(&yaml).resolve(at("2031-01-01T00:00:00Z"), &NoDynamicKeys).expect("valid");
            let name = format!("{zone} {cadence}");
            // Sparse cadences whole, dense ones around every change of clocks.
            if space.len() < 25_000 {
                assert_tiles(&name, &space, (0..space.len()).filter(|ordinal| ordinal % 9 < 3));
            } else {
                let usual = if cadence.contains("*/20") { 1_200 } else { 7_200 };
                let chosen = if cadence.contains("1,3,23") {
                    (0..space.len()).step_by(7).collect()
                } else {
                    interesting(&space, usual)
                };
                assert_tiles(&name, &space, chosen.into_iter());
            }
        }
    }
}
