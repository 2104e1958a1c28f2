//! Fingerprints are stored, so they are for ever: one that changes makes every stored subset be carried over key by key.

use std::collections::BTreeMap;

use crate::partition::{KeyList, Partitions, PartitionsDefinition};

/// The database has a new version several times a year; the goldens have this one.
const ZONES: &str = "2024a";

/// A definition of every kind and of everything that is hashed, and its fingerprint.
const GOLDEN: [(&str, &str); 18] = [
    ("{kind: unpartitioned}", "47dc540c94ceb704a23875c11273e16b"),
    ("{kind: static, keys: [us, eu]}", "b49d350fca6ec09567df203c70b8481d"),
    ("{kind: dynamic, name: customers}", "9a59a598bea24bb6a5e8f43fe0e5aa83"),
    (
        "{kind: hourly, start: 2024-01-01, minute_offset: 15, timezone: America/New_York}",
        "7dfd1fa0561ee69fbc669ebc645d16b3",
    ),
    ("{kind: daily, start: 2024-01-01}", "b0b82d42a51523d60eab4fefb94326e5"),
    (
        "{kind: daily, start: 2024-01-01, hour_offset: 6, minute_offset: 30, timezone: Europe/Berlin}",
        "181414c1f5cf443d8f7c90b4a092b583",
    ),
    ("{kind: daily, start: 2024-01-01, format: '%d.%m.%Y'}", "3f15f0be2ca9ac972789a2f440df741e"),
    ("{kind: weekly, start: 2024-01-01, day_offset: 1}", "99fb19c6cc27977cb107591959cba57a"),
    ("{kind: monthly, start: 2024-01-01, day_offset: 31}", "bb330904abc9a09a8ac8a26b07f497d1"),
    (
        "{kind: cron, start: 2024-01-01, cron: '*/15 9-17 L,1 jan-jun fri#2,L5,mon'}",
        "0068b424fb2617126864bcb95d2458cb",
    ),
    (
        "{kind: calendar, start: 2024-01-01, calendar: {days: [2024-01-02, 2024-01-05, 2024-01-09]}}",
        "5a0f35dfd05bcb24972fddffffe3637c",
    ),
    (
        "{kind: calendar, start: 2024-01-01, calendar: {weekdays: mon-fri, except: [2024-01-01]}}",
        "e8a33bb0fd35eb63cacb4e784768263e",
    ),
    (
        "{kind: daily, start: 2024-01-01, exclude: ['0 0 * * sat,sun', '0 0 1 * *']}",
        "cb5941e6aa1bb9632a3365af8c67eb49",
    ),
    (
        "{kind: daily, start: 2024-01-01, exclude: [2024-01-03, '2024-01-05T00:00:00Z']}",
        "dbe4a39927577c78968aa0e0e82e1218",
    ),
    (
        "{kind: hourly, start: 2024-01-01, exclude: [{calendar: {days: [2024-01-03]}}]}",
        "355636a6309345a8585bdd8cbacf5ac6",
    ),
    (
        "{kind: multi, dimensions: {date: {kind: daily, start: 2024-01-01}, region: {kind: static, keys: [us, eu]}, tier: {kind: static, keys: [gold, tin]}}}",
        "6d8a356f97477c1a4224b21a362df781",
    ),
    (
        "{kind: multi, dimensions: {date: {kind: daily, start: 2024-01-01}, region: {kind: static, keys: [us, eu]}}, only: [{region: us}, {date: 2024-01-05}]}",
        "a76c48c82b151ec68de089926265eac2",
    ),
    (
        "{kind: multi, dimensions: {date: {kind: daily, start: 2024-01-01}, region: {kind: static, keys: [us, eu]}}, except: [{region: eu, date: '...2024-01-05'}]}",
        "3c30c116e88eff53c51bc1b608febec3",
    ),
];

fn resolve(yaml: &str, now: &str) -> Partitions {
    let definition: PartitionsDefinition =
        serde_saphyr::from_str(yaml).unwrap_or_else(|error| panic!("{yaml}: {error}"));
    assert_eq!(definition.validate(), Ok(()), "{yaml}");
    let customers = BTreeMap::from([("customers".to_owned(), KeyList::new(["globex", "acme"]))]);
    let now = now.parse().unwrap_or_else(|error| panic!("{now}: {error}"));
    definition.resolve(now, &customers).unwrap_or_else(|error| panic!("{yaml}: {error}"))
}

#[test]
fn the_fingerprint_of_every_kind_is_for_ever() {
    let wrong: Vec<String> = GOLDEN
        .iter()
        .map(|(yaml, golden)| {
            (yaml, golden, resolve(yaml, "2024-03-01T00:00:00Z").fingerprint_by(ZONES).to_string())
        })
        .filter(|(_, golden, is)| *golden != is)
        .map(|(yaml, golden, is)| format!("{yaml}: {is}, and was {golden}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_two_of_them_are_equal_and_none_changes_with_time() {
    let of = |now: &str| GOLDEN.map(|(yaml, _)| resolve(yaml, now).fingerprint_by(ZONES));
    let (early, late) = (of("2024-01-20T00:00:00Z"), of("2026-07-01T00:00:00Z"));
    assert_eq!(early, late);
    let different: std::collections::BTreeSet<_> = early.into_iter().collect();
    assert_eq!(different.len(), GOLDEN.len());
}

#[test]
fn the_version_of_the_time_zone_database_counts_only_where_there_are_windows() {
    for (yaml, _) in GOLDEN {
        let space = resolve(yaml, "2024-03-01T00:00:00Z");
        let windows = space.is_time() || space.dimensions().any(|(_, dimension)| dimension.is_time());
        assert_eq!(space.fingerprint_by("2024a") != space.fingerprint_by("2024b"), windows, "{yaml}");
    }
}
