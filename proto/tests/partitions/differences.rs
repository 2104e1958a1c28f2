//! Rows of "Where we differ from Dagster" in docs/partitions.md that need more than a line elsewhere, one test each.

use std::collections::BTreeMap;

use backstitch_proto::mapping::{Mapper, infer, validate};
use backstitch_proto::partition::{KeyList, Partitions, PartitionsDefinition, next_cron_ticks};
use chrono::SecondsFormat;

use crate::common::{at, definition, keys, needs, refused, space};

const NOW: &str = "2024-03-10T12:00:00Z";

/// Keys and the instants at which their windows begin.
fn begins(space: &Partitions) -> Vec<(String, String)> {
    let begin = |ordinal| {
        let window = space.window(ordinal).expect("a window");
        (space.key(ordinal).expect("a key"), window.start.to_rfc3339_opts(SecondsFormat::Secs, true))
    };
    (0..space.len()).map(begin).collect()
}

/// What keys need under the inferred mapping: what exists of it and what does not.
fn inferred(up: &str, down: &str, asked: &[&str]) -> (Vec<String>, Vec<String>) {
    let mapping = infer(&definition(up), &definition(down)).expect("inferable");
    let (up, down) = (space(up, NOW), space(down, NOW));
    let mapper = Mapper::new(&mapping, &up, &down).expect("bindable");
    needs(&mapper, &up, &down, asked)
}

#[test]
fn static_and_dynamic_partitions_meet_by_key_in_both_directions() {
    let sets = BTreeMap::from([("customers".to_owned(), KeyList::new(["globex", "initech", "acme"]))]);
    let (listed, set) = (
        definition("{kind: static, keys: [acme, globex, hooli]}"),
        definition("{kind: dynamic, name: customers}"),
    );
    let resolve = |definition: &PartitionsDefinition| definition.resolve(at(NOW), &sets).expect("a set");
    for (up, down, asked, expected) in [
        (&listed, &set, ["globex", "initech", "acme"], (["acme", "globex"], ["initech"])),
        (&set, &listed, ["acme", "globex", "hooli"], (["globex", "acme"], ["hooli"])),
    ] {
        let mapping = infer(up, down).expect("inferable");
        validate(&mapping, up, down).expect("valid");
        let (up, down) = (resolve(up), resolve(down));
        let mapper = Mapper::new(&mapping, &up, &down).expect("bindable");
        let expected = (expected.0.map(String::from).to_vec(), expected.1.map(String::from).to_vec());
        assert_eq!(needs(&mapper, &up, &down, &asked), expected);
        let acme = [up.ordinal("acme").expect("a key")].into_iter().collect();
        assert_eq!(down.keys(&mapper.downstream_of(&acme)).collect::<Vec<_>>(), ["acme"]);
    }
}

#[test]
fn the_leap_day_comes_the_next_day_when_asked_for_the_evening_before() {
    let ticks = next_cron_ticks("0 0 29 2 *", "UTC", at("2024-02-28T20:00:00Z"), 2).expect("valid");
    assert_eq!(ticks, [at("2024-02-29T00:00:00Z"), at("2028-02-29T00:00:00Z")]);
    let yaml = "{kind: cron, cron: '0 0 29 2 *', start: 2020-01-01, end_offset: 1, format: '%Y-%m-%d'}";
    assert_eq!(keys(&space(yaml, "2024-02-28T20:00:00Z")), ["2020-02-29"]);
    assert_eq!(keys(&space(yaml, "2024-02-29T00:00:00Z")), ["2020-02-29", "2024-02-29"]);
}

#[test]
fn a_midnight_that_clocks_skip_or_repeat_has_the_key_that_the_clock_shows() {
    // In Havana and on the Azores clocks change at midnight: to 01:00 in spring, back to it in autumn.
    let twice = |zone: &str, start: &str, now: &str| {
        begins(&space(
            &format!("{{kind: cron, cron: '0 0,12 * * *', start: {start}, timezone: {zone}}}"),
            now,
        ))
    };
    let pairs = |pairs: [(&str, &str); 3]| pairs.map(|(key, begin)| (key.to_owned(), begin.to_owned()));
    assert_eq!(
        twice("America/Havana", "2024-03-09T12:00", "2024-03-11T04:00:00Z"),
        pairs([
            ("2024-03-09-12:00", "2024-03-09T17:00:00Z"),
            ("2024-03-10-01:00", "2024-03-10T05:00:00Z"),
            ("2024-03-10-12:00", "2024-03-10T16:00:00Z"),
        ])
    );
    assert_eq!(
        twice("America/Havana", "2024-11-02T12:00", "2024-11-04T05:00:00Z"),
        pairs([
            ("2024-11-02-12:00", "2024-11-02T16:00:00Z"),
            ("2024-11-03-00:00", "2024-11-03T05:00:00Z"),
            ("2024-11-03-12:00", "2024-11-03T17:00:00Z"),
        ])
    );
    assert_eq!(
        twice("Atlantic/Azores", "2024-03-30T12:00", "2024-04-01T00:00:00Z"),
        pairs([
            ("2024-03-30-12:00", "2024-03-30T13:00:00Z"),
            ("2024-03-31-01:00", "2024-03-31T01:00:00Z"),
            ("2024-03-31-12:00", "2024-03-31T12:00:00Z"),
        ])
    );
    assert_eq!(
        twice("Atlantic/Azores", "2024-10-26T12:00", "2024-10-28T01:00:00Z"),
        pairs([
            ("2024-10-26-12:00", "2024-10-26T12:00:00Z"),
            ("2024-10-27-00:00", "2024-10-27T01:00:00Z"),
            ("2024-10-27-12:00", "2024-10-27T13:00:00Z"),
        ])
    );
}

#[test]
fn days_and_hours_around_a_midnight_that_clocks_skip_or_repeat_keep_their_keys() {
    let days = "{kind: daily, start: 2024-03-09, timezone: America/Havana}";
    assert_eq!(
        begins(&space(days, "2024-03-12T04:00:00Z")),
        [
            ("2024-03-09".to_owned(), "2024-03-09T05:00:00Z".to_owned()),
            ("2024-03-10".to_owned(), "2024-03-10T05:00:00Z".to_owned()),
            ("2024-03-11".to_owned(), "2024-03-11T04:00:00Z".to_owned()),
        ]
    );
    let spring = space(&days.replace("daily", "hourly"), "2024-03-10T08:00:00Z");
    assert_eq!(keys(&spring)[23..26], ["2024-03-09-23:00", "2024-03-10-01:00", "2024-03-10-02:00"]);
    let autumn = "{kind: hourly, start: '2024-11-02T23:00', timezone: America/Havana}";
    assert_eq!(
        keys(&space(autumn, "2024-11-03T07:00:00Z")),
        ["2024-11-02-23:00", "2024-11-03-00:00", "2024-11-03-00:00-0500", "2024-11-03-01:00"]
    );
}

#[test]
fn a_range_that_ends_in_the_future_is_an_error_though_the_definition_has_no_end() {
    let days = space("{kind: daily, start: 2024-01-01}", NOW);
    assert_eq!(
        refused(&days, "2024-03-08...2099-01-01"),
        "at character 1: partition \"2099-01-01\" does not exist: its window is not complete yet (the last one that exists \
         is \"2024-03-09\")"
    );
    assert!(refused(&days, "...2024-03-10").contains("not complete yet"));
}

#[test]
fn a_reversed_range_of_static_keys_is_an_error() {
    let regions = space("{kind: static, keys: [us, eu, apac]}", NOW);
    assert_eq!(
        refused(&regions, "apac...us"),
        "at character 1: the range is reversed: \"apac\" comes after \"us\""
    );
}

#[test]
fn what_exists_is_not_missing_when_the_requirement_reaches_over_both_ends() {
    let days = "{kind: daily, start: 2024-01-03, end: 2024-01-30}";
    let (existing, missing) = inferred(days, "{kind: monthly, start: 2024-01-01}", &["2024-01-01"]);
    assert_eq!(existing.len(), 27);
    assert_eq!((existing[0].as_str(), existing[26].as_str()), ("2024-01-03", "2024-01-29"));
    assert_eq!(missing, ["2024-01-01", "2024-01-02", "2024-01-30", "2024-01-31"]);
}

#[test]
fn a_window_that_ends_before_the_upstream_begins_misses_every_window_that_overlaps() {
    // The week from 28 January to 4 February, and the months of January and February.
    let months = "{kind: monthly, start: 2024-03-01, end_offset: 1}";
    let asked = ["2024-01-28"];
    assert_eq!(
        inferred(months, "{kind: weekly, start: 2024-01-01}", &asked),
        (vec![], vec!["2024-01-01".to_owned(), "2024-02-01".to_owned()])
    );
}
