//! What each mapping means, with the reference's oracle values where it is right.

use backstitch_proto::mapping::{Mapper, MissingPolicy, PartitionMapping, infer, validate};
use backstitch_proto::partition::PartitionSubset;

use crate::common::{definition, mapping, needs, space, subset};

const NOW: &str = "2024-03-10T12:00:00Z";
const HOURLY: &str = "{kind: hourly, start: 2024-01-01}";
const DAILY: &str = "{kind: daily, start: 2024-01-01}";
const WEEKLY: &str = "{kind: weekly, start: 2024-01-01}";
const MONTHLY: &str = "{kind: monthly, start: 2024-01-01}";

struct Bound {
    up: backstitch_proto::partition::Partitions,
    down: backstitch_proto::partition::Partitions,
    mapper: Mapper,
}

/// Binds a mapping, inferred if empty.
fn bound(up: &str, down: &str, written: &str) -> Bound {
    let (up_definition, down_definition) = (definition(up), definition(down));
    let mapping = if written.is_empty() {
        infer(&up_definition, &down_definition).expect("inferable")
    } else {
        mapping(written)
    };
    validate(&mapping, &up_definition, &down_definition).expect("valid");
    let (up, down) = (space(up, NOW), space(down, NOW));
    let mapper = Mapper::new(&mapping, &up, &down).expect("bindable");
    Bound { up, down, mapper }
}

impl Bound {
    fn needs(&self, keys: &[&str]) -> Vec<String> {
        let (existing, missing) = self.needs_and_misses(keys);
        assert_eq!(missing, [""; 0]);
        existing
    }

    fn needs_and_misses(&self, keys: &[&str]) -> (Vec<String>, Vec<String>) {
        needs(&self.mapper, &self.up, &self.down, keys)
    }

    fn needed_by(&self, keys: &[&str]) -> Vec<String> {
        self.down.keys(&self.mapper.downstream_of(&subset(&self.up, keys))).collect()
    }
}

/// Why a mapping (inferred if empty) is refused.
fn refused(up: &str, down: &str, written: &str) -> String {
    let (up, down) = (definition(up), definition(down));
    let outcome = if written.is_empty() {
        infer(&up, &down).map(|_| ())
    } else {
        validate(&mapping(written), &up, &down)
    };
    outcome.expect_err("it should be refused").to_string()
}

#[test]
fn windows_that_overlap_are_needed_whatever_the_cadence() {
    assert_eq!(bound(HOURLY, DAILY, "").needs(&["2024-01-05"]).len(), 24);
    assert_eq!(bound(DAILY, HOURLY, "").needs(&["2024-01-05-13:00"]), ["2024-01-05"]);
    assert_eq!(bound(DAILY, WEEKLY, "").needs(&["2024-01-07"]).len(), 7);
    assert_eq!(bound(WEEKLY, DAILY, "").needs(&["2024-01-09"]), ["2024-01-07"]);
    let weekly_to_monthly = bound(WEEKLY, MONTHLY, "");
    assert_eq!(
        weekly_to_monthly.needs(&["2024-02-01"]),
        ["2024-01-28", "2024-02-04", "2024-02-11", "2024-02-18", "2024-02-25"]
    );
    assert_eq!(weekly_to_monthly.needed_by(&["2024-01-28"]), ["2024-01-01", "2024-02-01"]);
}

#[test]
fn the_days_clocks_change_have_twenty_three_and_twenty_five_hours() {
    let zone = |yaml: &str| yaml.replace("2024-01-01", "2023-01-01, timezone: America/New_York");
    let days = bound(&zone(HOURLY), &zone(DAILY), "");
    let hours = |day: &str| days.needs(&[day]).len();
    assert_eq!((hours("2023-03-12"), hours("2023-11-05"), hours("2024-01-05")), (23, 25, 24));
    let before = "{kind: time_window, start_offset: -1, end_offset: -1}";
    let shifted = bound(&zone(HOURLY), &zone(HOURLY), before);
    assert_eq!(shifted.needs(&["2023-03-12-03:00"]), ["2023-03-12-01:00"]);
    assert_eq!(shifted.needs(&["2023-11-05-02:00"]), ["2023-11-05-01:00-0500"]);
}

#[test]
fn what_does_not_exist_yet_or_no_more_is_missing() {
    let hours = bound(DAILY, HOURLY, "");
    assert_eq!(hours.needs_and_misses(&["2024-03-10-01:00"]), (vec![], vec!["2024-03-10".into()]));
    let days = bound(WEEKLY, DAILY, "");
    assert_eq!(days.needs_and_misses(&["2024-01-03"]), (vec![], vec!["2023-12-31".into()]));
    let later = DAILY.replace("01-01", "01-10");
    let late = bound(&later, DAILY, "");
    assert_eq!(
        late.needs_and_misses(&["2024-01-05", "2024-01-12"]),
        (vec!["2024-01-12".into()], vec!["2024-01-05".into()])
    );
}

#[test]
fn the_policy_decides_what_becomes_of_the_missing() {
    let later = DAILY.replace("01-01", "01-10");
    let policy = |written: &str| {
        let late = bound(&later, DAILY, written);
        let missing = late.mapper.upstream_of(&subset(&late.down, &["2024-01-05"])).missing;
        (missing.is_empty(), missing.count(), missing.policy())
    };
    assert_eq!(policy("{kind: time_window}"), (false, 1, MissingPolicy::Error));
    assert_eq!(policy("{kind: time_window, missing: wait}"), (false, 1, MissingPolicy::Wait));
    assert!(policy("{kind: time_window, missing: skip}").0);
    assert!(policy("{kind: time_window, allow_missing: true}").0);
    assert!(policy("{kind: identity, missing: skip}").0);
}

#[test]
fn the_policy_of_an_identity_holds_in_every_dimension() {
    let cells = |start: &str, more: i32| {
        let date = format!("{{kind: daily, start: {start}, end_offset: {more}}}");
        format!("{{kind: multi, dimensions: {{date: {date}, region: {{kind: static, keys: [us, eu]}}}}}}")
    };
    let policy = |written: &str| {
        let pair = bound(&cells("2024-01-05", 0), &cells("2024-01-01", 1), written);
        let missing = pair.mapper.upstream_of(&subset(&pair.down, &["2024-03-10|us"])).missing;
        let blocked = pair.mapper.blocked(&pair.down.all());
        let refused = pair.down.format_ranges(&blocked.refused, 1);
        (missing.count(), refused, blocked.waiting.len())
    };
    assert_eq!(policy("{kind: identity}"), (1, "2024-01-01|us...2024-01-04|us and 6 more".into(), 0));
    assert_eq!(policy("{kind: identity, missing: skip}"), (0, "nothing".into(), 0));
    // Today's cells come at midnight; those before the start never do.
    assert_eq!(
        policy("{kind: identity, missing: wait}"),
        (1, "2024-01-01|us...2024-01-04|us and 4 more".into(), 1)
    );
}

#[test]
fn ten_million_missing_windows_are_told_without_a_look_at_each() {
    let minutes = |fields: &str| format!("{{kind: cron, cron: '* * * * *', {fields}}}");
    let up = minutes("start: 2024-03-10, end: '2024-03-10T12:05'");
    let down = minutes("start: 2005-01-01, end_offset: 10");
    let blocked = |written: &str| {
        let pair = bound(&up, &down, written);
        let blocked = pair.mapper.blocked(&pair.down.all());
        (pair.down.format_ranges(&blocked.refused, 4), blocked.waiting.len())
    };
    let early = "2005-01-01-00:00...2024-03-09-23:59";
    assert_eq!(blocked("{kind: identity}"), (format!("{early}, 2024-03-10-12:00...2024-03-10-12:09"), 0));
    // Five of the ten minutes from now on end before the upstream does.
    assert_eq!(
        blocked("{kind: identity, missing: wait}"),
        (format!("{early}, 2024-03-10-12:05...2024-03-10-12:09"), 5)
    );
}

#[test]
fn equal_keys_of_two_zones_are_found_in_runs() {
    let minutes = |zone: &str, start: &str| {
        format!("{{kind: cron, cron: '* * * * *', start: {start}, timezone: {zone}}}")
    };
    let up = minutes("Europe/Berlin", "2006-02-01");
    let pair = bound(&up, &minutes("Asia/Tokyo", "2004-01-01"), "{kind: identity}");
    let answer = pair.mapper.upstream_of(&pair.down.all());
    // Berlin skips an hour every spring, and Tokyo is eight hours ahead at the end.
    let missing = (366 + 365 + 31) * 1_440 + 18 * 60 + 8 * 60;
    assert_eq!(answer.missing.count(), missing);
    assert_eq!(answer.subset.len(), u64::from(pair.down.len()) - missing);
    for key in ["2006-02-01-00:00", "2024-03-10-12:59", "2023-10-29-02:30"] {
        assert_eq!(pair.needs(&[key]), [key]);
    }
    let (up, down) = (&pair.up, &pair.down);
    assert_eq!(up.carry_over(&up.all(), down).subset, pair.mapper.downstream_of(&up.all()));
    assert_eq!(pair.mapper.downstream_of(&up.all()).len(), answer.subset.len());
}

#[test]
fn offsets_move_by_downstream_windows() {
    let offset = |start: i32, end: i32| {
        bound(DAILY, DAILY, &format!("{{kind: time_window, start_offset: {start}, end_offset: {end}}}"))
    };
    assert_eq!(offset(-1, -1).needs(&["2024-01-05"]), ["2024-01-04"]);
    assert_eq!(offset(-2, 0).needs(&["2024-01-05"]), ["2024-01-03", "2024-01-04", "2024-01-05"]);
    assert_eq!(offset(0, 1).needs(&["2024-01-05"]), ["2024-01-05", "2024-01-06"]);
    assert_eq!(offset(-1, -1).needed_by(&["2024-01-05"]), ["2024-01-06"]);
    assert_eq!(offset(-2, 0).needed_by(&["2024-01-05"]), ["2024-01-05", "2024-01-06", "2024-01-07"]);
    let weeks = bound(DAILY, WEEKLY, "{kind: time_window, start_offset: -1}");
    assert_eq!(weeks.needs(&["2024-01-14"]).len(), 14);
}

#[test]
fn an_offset_over_the_edge_requires_nothing() {
    // An asset that depends on its own yesterday: the first day has none.
    let own = bound(DAILY, DAILY, "{kind: time_window, start_offset: -1, end_offset: -1}");
    assert_eq!(own.needs(&["2024-01-01"]), [""; 0]);
    assert_eq!(own.needs(&["2024-01-01", "2024-01-02"]), ["2024-01-01"]);
    let rolling = bound(DAILY, DAILY, "{kind: time_window, start_offset: -3}");
    assert_eq!(rolling.needs(&["2024-01-02"]), ["2024-01-01", "2024-01-02"]);
    let tomorrow = bound(DAILY, DAILY, "{kind: time_window, start_offset: 1, end_offset: 1}");
    assert_eq!(tomorrow.needs(&["2024-03-09"]), [""; 0]);
}

#[test]
fn windows_of_different_zones_overlap_as_instants() {
    // Dagster refuses this. A day in Tokyo shares instants with two days in UTC.
    let zones = bound(DAILY, "{kind: daily, start: 2024-01-02, timezone: Asia/Tokyo}", "");
    assert_eq!(zones.needs(&["2024-01-05"]), ["2024-01-04", "2024-01-05"]);
    assert_eq!(zones.needed_by(&["2024-01-05"]), ["2024-01-05", "2024-01-06"]);
}

#[test]
fn excluded_windows_are_neither_needed_nor_missing() {
    let business = "{kind: daily, start: 2024-01-01, exclude: ['0 0 * * sat,sun']}";
    let weeks = bound(business, WEEKLY, "");
    assert_eq!(weeks.needs(&["2024-01-07"]).len(), 5);
    // The window before Monday's is Friday's.
    let previous = bound(business, business, "{kind: time_window, start_offset: -1, end_offset: -1}");
    assert_eq!(previous.needs(&["2024-01-08"]), ["2024-01-05"]);
    // A weekend hour is needed by no business day.
    let hours = bound(HOURLY, business, "");
    assert_eq!(hours.needed_by(&["2024-01-06-10:00"]), [""; 0]);
    assert_eq!(hours.needs(&["2024-01-05", "2024-01-08"]).len(), 48);
}

#[test]
fn windows_that_an_offset_moves_over_a_gap_do_not_need_the_gap() {
    let working = "{kind: hourly, start: 2024-01-01, exclude: ['* * * * sat,sun']}";
    let later = bound(HOURLY, working, "{kind: time_window, start_offset: 2, end_offset: 2}");
    // The two hours follow each other; what they need has a weekend in between.
    assert_eq!(
        later.needs(&["2024-02-16-21:00", "2024-02-16-22:00"]),
        ["2024-02-16-23:00", "2024-02-19-00:00"]
    );
    let earlier = bound(HOURLY, working, "{kind: time_window, start_offset: -1, end_offset: -1}");
    assert_eq!(
        earlier.needs(&["2024-02-19-00:00", "2024-02-19-01:00"]),
        ["2024-02-16-23:00", "2024-02-19-00:00"]
    );
    let both = bound(HOURLY, working, "{kind: time_window, start_offset: -1}");
    assert_eq!(both.needs(&["2024-02-19-00:00"]).len(), 1 + 48 + 1);
}

#[test]
fn the_same_key_is_found_whatever_its_position() {
    let keys = bound("{kind: static, keys: [a, b, c]}", "{kind: static, keys: [c, q, a]}", "");
    assert_eq!(keys.needs_and_misses(&["c", "q"]), (vec!["c".into()], vec!["q".into()]));
    assert_eq!(keys.needed_by(&["a", "b"]), ["a"]);
    let days = bound(DAILY, "{kind: daily, start: 2024-01-05}", "{kind: identity}");
    assert_eq!(days.needs(&["2024-01-07"]), ["2024-01-07"]);
    let zones = bound(DAILY, "{kind: daily, start: 2024-01-05, timezone: Asia/Tokyo}", "{kind: identity}");
    assert_eq!(zones.needs(&["2024-01-07"]), ["2024-01-07"]);
}

#[test]
fn all_last_and_specific_do_not_look_at_the_downstream_key() {
    let regions = "{kind: static, keys: [us, eu, fr]}";
    let all = bound(regions, DAILY, "{kind: all}");
    assert_eq!(all.needs(&["2024-01-07"]), ["us", "eu", "fr"]);
    assert_eq!(all.needed_by(&["us"]).len(), all.down.len() as usize);
    let last = bound(DAILY, regions, "{kind: last}");
    assert_eq!(last.needs(&["us"]), ["2024-03-09"]);
    assert_eq!(last.needed_by(&["2024-03-09"]), ["us", "eu", "fr"]);
    assert_eq!(last.needed_by(&["2024-03-08"]), [""; 0]);
    let specific = bound(regions, DAILY, "{kind: specific, keys: [us, fr]}");
    assert_eq!(specific.needs(&["2024-01-07"]), ["us", "fr"]);
    assert_eq!(specific.needed_by(&["eu"]), [""; 0]);
    let future = bound(DAILY, regions, "{kind: specific, keys: ['2024-03-01', '2024-03-20'], missing: wait}");
    assert_eq!(future.needs_and_misses(&["us"]), (vec!["2024-03-01".into()], vec!["2024-03-20".into()]));
    assert!(refused(regions, DAILY, "{kind: specific, keys: [us, zz]}").contains("upstream key \"zz\""));
}

#[test]
fn a_table_relates_keys_many_to_many() {
    let (up, down) = ("{kind: static, keys: [a, b, c]}", "{kind: static, keys: [x, y, z]}");
    let table = bound(up, down, "{kind: static, map: {a: x, b: [x, y]}}");
    assert_eq!(table.needs(&["x"]), ["a", "b"]);
    assert_eq!(table.needs(&["z"]), [""; 0]);
    assert_eq!(table.needed_by(&["b"]), ["x", "y"]);
    assert!(refused(up, down, "{kind: static, map: {a: w}}").contains("downstream key \"w\""));
    assert!(refused(DAILY, down, "{kind: static, map: {a: x}}").contains("use all, last or specific"));
}

#[test]
fn unpartitioned_assets_relate_to_everything() {
    let total = bound(DAILY, "{kind: unpartitioned}", "");
    assert_eq!(total.needs(&[""]).len(), total.up.len() as usize);
    assert_eq!(total.needed_by(&["2024-01-07"]), [""]);
    let settings = bound("{kind: unpartitioned}", DAILY, "");
    assert_eq!(settings.needs(&["2024-01-07"]), [""]);
}

#[test]
fn one_dimension_corresponds_and_the_others_do_not_matter() {
    let cells = "{kind: multi, dimensions: {date: {kind: daily, start: 2024-01-01}, region: {kind: static, keys: [us, eu]}}}";
    let by_date = bound(cells, DAILY, "");
    assert_eq!(by_date.needs(&["2024-01-07"]), ["2024-01-07|us", "2024-01-07|eu"]);
    assert_eq!(by_date.needed_by(&["2024-01-07|us"]), ["2024-01-07"]);
    assert_eq!(bound(cells, "{kind: static, keys: [us, eu]}", "").needs(&["eu"]).len(), 69);
    assert_eq!(bound(cells, WEEKLY, "").needs(&["2024-01-07"]).len(), 14);
    assert_eq!(bound(DAILY, cells, "").needs(&["2024-01-07|eu"]), ["2024-01-07"]);
    let misses = bound(cells, "{kind: daily, start: 2023-12-31}", "").needs_and_misses(&["2023-12-31"]);
    assert_eq!(misses, (vec![], vec!["2023-12-31|us".into(), "2023-12-31|eu".into()]));
}

#[test]
fn an_ambiguous_dimension_must_be_named_and_is_honoured() {
    let legs =
        "{kind: multi, dimensions: {from: {kind: static, keys: [a, b]}, to: {kind: static, keys: [a, b]}}}";
    let places = "{kind: static, keys: [a, b]}";
    let error = refused(legs, places, "");
    assert!(
        error.contains("dimensions from, to all correspond") && error.contains("dimension: from"),
        "{error}"
    );
    assert_eq!(bound(legs, places, "{kind: dimension, dimension: to}").needs(&["b"]), ["a|b", "b|b"]);
    assert_eq!(bound(legs, places, "{kind: dimension, dimension: from}").needs(&["b"]), ["b|a", "b|b"]);
    assert!(
        refused(legs, places, "{kind: dimension, dimension: via}")
            .contains("the upstream definition has no dimension \"via\"; it has from, to")
    );
}

#[test]
fn multi_definitions_of_the_same_dimensions_need_no_words() {
    let cells = |time: &str| {
        format!("{{kind: multi, dimensions: {{city: {{kind: static, keys: [sea, sfo]}}, date: {time}}}}}")
    };
    let months = bound(&cells(DAILY), &cells(MONTHLY), "");
    let needed = months.needs(&["sea|2024-02-01"]);
    assert_eq!(
        (needed.len(), needed[0].as_str(), needed[28].as_str()),
        (29, "sea|2024-02-01", "sea|2024-02-29")
    );
    assert_eq!(months.needed_by(&["sfo|2024-01-15"]), ["sfo|2024-01-01"]);
}

#[test]
fn dimensions_are_mapped_renamed_pinned_and_left_out() {
    let up = "{kind: multi, dimensions: {date: {kind: daily, start: 2024-01-01}, region: {kind: static, keys: [us, eu]}, \
              tier: {kind: static, keys: [gold, tin]}}}";
    let down = "{kind: multi, dimensions: {day: {kind: daily, start: 2024-01-01}, model: {kind: static, keys: [m, n]}}}";
    let lagged = bound(
        up,
        down,
        "{kind: multi, dimensions: {date: {dimension: day, mapping: {kind: time_window, \
                                  start_offset: -1, end_offset: -1}}, tier: {keys: [gold]}}}",
    );
    assert_eq!(lagged.needs(&["2024-01-05|m"]), ["2024-01-04|us|gold", "2024-01-04|eu|gold"]);
    assert_eq!(lagged.needed_by(&["2024-01-04|eu|gold"]), ["2024-01-05|m", "2024-01-05|n"]);
    assert_eq!(lagged.needed_by(&["2024-01-04|eu|tin"]), [""; 0]);
    assert!(refused(up, down, "").contains("say which correspond"));
    let twice =
        "{kind: multi, dimensions: {date: {dimension: day}, region: {dimension: day, mapping: {kind: all}}}}";
    assert!(refused(up, down, twice).contains("\"day\" is mapped twice"));
    let pinned_unknown = "{kind: multi, dimensions: {tier: {keys: [lead]}}}";
    assert!(refused(up, down, pinned_unknown).contains("\"lead\""));
}

#[test]
fn missing_cells_of_a_product_are_named_whole() {
    // Dagster names only the part that is missing.
    let cells = |start: &str, regions: &str| {
        format!(
            "{{kind: multi, dimensions: {{date: {{kind: daily, start: {start}}}, region: {{kind: static, keys: {regions}}}}}}}"
        )
    };
    let pairs = bound(&cells("2024-01-05", "[us]"), &cells("2024-01-01", "[us, eu]"), "");
    let (existing, mut missing) =
        pairs.needs_and_misses(&["2024-01-04|us", "2024-01-04|eu", "2024-01-05|us", "2024-01-05|eu"]);
    missing.sort();
    assert_eq!(existing, ["2024-01-05|us"]);
    assert_eq!(missing, ["2024-01-04|eu", "2024-01-04|us", "2024-01-05|eu"]);
}

#[test]
fn what_is_missing_comes_in_the_same_order_every_time() {
    let cells = |keys: &str| {
        format!("{{kind: multi, dimensions: {{date: {DAILY}, region: {{kind: static, keys: [{keys}]}}}}}}")
    };
    let pair = bound(&cells("us"), &cells("a, b, c, d, e, f, g, h"), "");
    // Every day another set of regions.
    let chosen = pair.down.all().iter().filter(|cell| (cell / 8) & (1 << (cell % 8)) != 0).collect();
    let missing = || pair.mapper.upstream_of(&chosen).missing.keys().collect::<Vec<_>>();
    assert_eq!(missing(), missing());
    assert_eq!(missing().len() as u64, chosen.len());
}

#[test]
fn a_text_about_missing_cells_counts_what_it_does_not_name() {
    // Twenty thousand customers, of which every second one is new, times two months of minutes.
    let numbers = |from: usize, step: usize| {
        (from..20_000).step_by(step).map(|at| format!("c{at:05}")).collect::<Vec<_>>().join(", ")
    };
    let cells = |keys: String, start: &str| {
        let time = format!("{{kind: cron, cron: '* * * * *', start: {start}, end: 2024-03-01}}");
        format!("{{kind: multi, dimensions: {{customer: {{kind: static, keys: [{keys}]}}, time: {time}}}}}")
    };
    let up = cells(numbers(0, 2), "2024-02-01");
    let down = cells(numbers(0, 1), "2024-01-01");
    let pair = bound(&up, &down, "{kind: multi, dimensions: {customer: {}, time: {}}}");
    let missing = pair.mapper.upstream_of(&pair.down.all()).missing;
    let (customers, minutes) = (10_000, (31 + 29) * 1_440);
    assert_eq!(missing.count(), customers * minutes + customers * 31 * 1_440);
    let text = missing.to_text(1);
    assert!(text.ends_with(" more"), "{text}");
    let named: u64 =
        missing.count() - text.rsplit(' ').nth(1).and_then(|n| n.parse::<u64>().ok()).expect("a number");
    assert!((1..=minutes).contains(&named), "{text}");
}

#[test]
fn a_sparse_product_does_not_miss_what_it_leaves_out() {
    let sparse = "{kind: multi, dimensions: {date: {kind: daily, start: 2024-01-01}, region: {kind: static, keys: [us, eu]}}, \
                  except: [{region: eu, date: '2024-01-05'}]}";
    assert_eq!(bound(sparse, DAILY, "").needs(&["2024-01-05"]), ["2024-01-05|us"]);
}

#[test]
fn impossible_pairs_say_what_would_work() {
    let regions = "{kind: static, keys: [us]}";
    let cells = "{kind: multi, dimensions: {a: {kind: static, keys: [x]}, b: {kind: static, keys: [y]}}}";
    assert!(refused(DAILY, regions, "").contains("write one: all, last, specific"));
    assert!(
        refused(regions, "{kind: dynamic, name: d}", "{kind: time_window}")
            .contains("both sides must be made of time windows")
    );
    assert!(refused(DAILY, regions, "{kind: identity}").contains("use all, last or specific"));
    assert!(refused(cells, regions, "").contains("kind: dimension, dimension: a or b"));
    assert!(refused(cells, cells, "{kind: dimension, dimension: a}").contains("use kind: multi"));
    assert!(refused(DAILY, DAILY, "{kind: multi, dimensions: {}}").contains("neither side has dimensions"));
    assert!(
        refused(DAILY, DAILY, "{kind: time_window, start_offset: 1}")
            .contains("start_offset 1 is greater than end_offset 0")
    );
    assert!(refused(cells, DAILY, "{kind: time_window}").contains("as that dimension's mapping"));
    let unknown =
        serde_saphyr::from_str::<PartitionMapping>("{kind: identity, keys: [a]}").expect_err("foreign field");
    assert!(
        unknown.to_string().contains("`keys` does not belong to a mapping of kind identity"),
        "{unknown}"
    );
}

#[test]
fn keys_that_can_never_be_partitions_are_refused_where_they_are_written() {
    let regions = "{kind: static, keys: [us]}";
    let cells = "{kind: multi, dimensions: {date: {kind: daily, start: 2024-01-01}, name: {kind: dynamic, name: n}, \
                 region: {kind: static, keys: [us]}}}";
    let specific = |up: &str, key: &str| {
        let written = mapping(&format!("{{kind: specific, keys: ['{key}']}}"));
        let outcome = validate(&written, &definition(up), &definition(regions));
        outcome.err().map(|error| error.to_string()).unwrap_or_default()
    };
    for (up, key, part) in [
        (DAILY, "2024-1-5", "upstream key \"2024-1-5\": \"2024-1-5\" is not spelled as a partition key"),
        (DAILY, "today", "its keys look like 2024-01-31"),
        (HOURLY, "2024-01-05-00:30", "no window begins then"),
        (cells, "2024-01-05|us", "2 parts where there are 3 dimensions (date, name, region)"),
        (cells, "2024-1-5|x|us", "dimension \"date\" of \"2024-1-5|x|us\""),
        (cells, "2024-01-05|x|fr", "dimension \"region\""),
    ] {
        assert!(specific(up, key).contains(part), "{key}: {}", specific(up, key));
    }
    // Time and others may bring these.
    for (up, key) in [(DAILY, "2099-01-01"), (DAILY, "2023-01-01"), (cells, "2099-01-01|new|us")] {
        assert_eq!(specific(up, key), "");
    }
    let pinned = "{kind: multi, dimensions: {date: {keys: ['2024-1-5']}, region: {}}}";
    assert!(refused(cells, cells, pinned).contains("did you mean \"2024-01-05\"?"));
}

#[test]
fn identity_between_keys_that_are_never_equal_is_refused() {
    let error = refused(DAILY, HOURLY, "{kind: identity}");
    assert!(
        error.contains(
            "no key is the same on both sides (\"2024-01-31\" upstream, \"2024-01-31-00:00\" downstream)"
        ),
        "{error}"
    );
    assert!(error.contains("use time_window for the windows that overlap, or give both the same format"));
    let cells = |date: &str| {
        format!("{{kind: multi, dimensions: {{date: {date}, region: {{kind: static, keys: [us]}}}}}}")
    };
    let error = refused(&cells(HOURLY), &cells(DAILY), "{kind: identity}");
    assert!(error.contains("dimension \"date\"") && error.contains("no key is the same"), "{error}");
    // Of one format, the keys of one cadence can be some of another's.
    let midnights = "{kind: hourly, start: 2024-01-01, exclude: ['0 1-23 * * *']}";
    let days = "{kind: daily, start: 2024-01-01, format: '%Y-%m-%d-00:00'}";
    assert_eq!(bound(midnights, days, "{kind: identity}").needs(&["2024-01-05-00:00"]), ["2024-01-05-00:00"]);
    assert_eq!(bound(DAILY, MONTHLY, "{kind: identity}").needs(&["2024-02-01"]), ["2024-02-01"]);
}

#[test]
fn mappings_are_written_as_they_are_read() {
    for yaml in [
        "{kind: identity, missing: wait}",
        "{kind: all}",
        "{kind: last}",
        "{kind: specific, keys: [a], missing: skip}",
        "{kind: static, map: {a: [b, c], n: [y, no]}}",
        "{kind: time_window, start_offset: -1, end_offset: 2}",
        "{kind: dimension, dimension: d, mapping: {kind: last}}",
        "{kind: multi, dimensions: {a: {dimension: b, mapping: {kind: all}}, c: {keys: [x]}}}",
    ] {
        let once = mapping(yaml);
        let json = serde_json::to_string(&once).expect("serializable");
        assert_eq!(serde_json::from_str::<PartitionMapping>(&json).expect(&json), once, "{json}");
    }
}

#[test]
fn nothing_needs_nothing() {
    for written in ["{kind: all}", "{kind: last}", "", "{kind: time_window, start_offset: -5}"] {
        let bound = bound(DAILY, DAILY, written);
        let answer = bound.mapper.upstream_of(&PartitionSubset::new());
        assert!(answer.subset.is_empty() && answer.missing.is_empty());
        assert!(bound.mapper.downstream_of(&PartitionSubset::new()).is_empty());
    }
}
