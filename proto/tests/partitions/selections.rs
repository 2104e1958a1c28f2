//! The text in which people name partitions.

use crate::common::{refused, selected, space};

fn days() -> backstitch_proto::partition::Partitions {
    space("{kind: daily, start: 2024-01-01}", "2024-04-01T00:00:00Z")
}

fn regions() -> backstitch_proto::partition::Partitions {
    space(
        "{kind: static, keys: [us, us-east, eu, 'all', 'a, b', 'say \"hi\"', 'new york', 'x=1']}",
        "2024-04-01T00:00:00Z",
    )
}

fn cells() -> backstitch_proto::partition::Partitions {
    let yaml = "{kind: multi, dimensions: {date: {kind: daily, start: 2024-01-01}, region: {kind: static, keys: [us, eu, fr]}}}";
    space(yaml, "2024-04-01T00:00:00Z")
}

#[test]
fn single_keys_ranges_and_lists() {
    assert_eq!(selected(&days(), "2024-01-05"), ["2024-01-05"]);
    assert_eq!(
        selected(&days(), "2024-01-05...2024-01-06, 2024-02-01"),
        ["2024-01-05", "2024-01-06", "2024-02-01"]
    );
    assert_eq!(selected(&days(), "...2024-01-02"), ["2024-01-01", "2024-01-02"]);
    assert_eq!(selected(&days(), " 2024-03-30 ... "), ["2024-03-30", "2024-03-31"]);
    assert_eq!(selected(&days(), "...").len(), 91);
    assert_eq!(selected(&regions(), "us...eu"), ["us", "us-east", "eu"]);
}

#[test]
fn wildcards_match_keys() {
    assert_eq!(selected(&days(), "2024-02-*").len(), 29);
    assert_eq!(selected(&days(), "2024-0*").len(), 91);
    assert_eq!(selected(&days(), "*-01"), ["2024-01-01", "2024-02-01", "2024-03-01"]);
    assert_eq!(selected(&days(), "2024-*-3*").len(), 4);
    assert_eq!(selected(&regions(), "us*"), ["us", "us-east"]);
    assert_eq!(selected(&regions(), "*us*"), ["us", "us-east"]);
    assert!(refused(&days(), "2025-*").contains("no partition matches \"2025-*\""));
    assert!(refused(&days(), "2024-01-*...2024-02-01").contains("* cannot stand there"));
}

#[test]
fn latest_and_all() {
    assert_eq!(selected(&days(), "latest"), ["2024-03-31"]);
    assert_eq!(selected(&days(), "latest:2"), ["2024-03-30", "2024-03-31"]);
    assert_eq!(selected(&days(), "latest:1000").len(), 91);
    assert_eq!(selected(&days(), "all").len(), 91);
    assert!(refused(&days(), "latest:0").contains("a number from 1 on"));
    assert!(refused(&days(), "latest:x").contains("a number from 1 on"));
}

#[test]
fn an_exclamation_mark_takes_out_wherever_it_stands() {
    assert_eq!(selected(&days(), "2024-01-*, !2024-01-02...2024-01-30"), ["2024-01-01", "2024-01-31"]);
    assert_eq!(selected(&days(), "!2024-01-02...2024-01-30, 2024-01-*"), ["2024-01-01", "2024-01-31"]);
    assert_eq!(selected(&days(), "!latest").len(), 90);
    assert_eq!(selected(&days(), "!!latest"), ["2024-03-31"]);
    assert_eq!(selected(&days(), "(2024-01-*, 2024-02-*) & !2024-02-*").len(), 31);
}

#[test]
fn quotes_make_a_key_of_anything() {
    assert_eq!(selected(&regions(), "\"all\""), ["all"]);
    assert_eq!(selected(&regions(), "all").len(), 8);
    assert_eq!(selected(&regions(), "\"a, b\", us"), ["us", "a, b"]);
    assert_eq!(selected(&regions(), r#""say \"hi\"""#), ["say \"hi\""]);
    assert_eq!(selected(&regions(), "new york"), ["new york"]);
    assert_eq!(selected(&regions(), "\"x=1\""), ["x=1"]);
    assert_eq!(selected(&regions(), "\"a,\"*"), ["a, b"]);
}

#[test]
fn dimensions_are_selected_by_name() {
    assert_eq!(
        selected(&cells(), "date=2024-01-30...2024-01-31 & region=us"),
        ["2024-01-30|us", "2024-01-31|us"]
    );
    assert_eq!(selected(&cells(), "date=2024-01-01 & region=us,eu"), ["2024-01-01|us", "2024-01-01|eu"]);
    assert_eq!(selected(&cells(), "date=2024-01-01 & region=!us"), ["2024-01-01|eu", "2024-01-01|fr"]);
    assert_eq!(selected(&cells(), "date=2024-01-01 & !region=us"), ["2024-01-01|eu", "2024-01-01|fr"]);
    assert_eq!(selected(&cells(), "date=latest, region=us, !date=...2024-03-30").len(), 3);
    assert_eq!(selected(&cells(), "2024-01-0*|us").len(), 9);
    assert_eq!(selected(&cells(), "*|us").len(), 91);
    assert_eq!(selected(&cells(), "*").len(), 273);
    assert!(refused(&cells(), "*us").contains("no partition matches \"*us\""));
    assert_eq!(selected(&cells(), "*|*s").len(), 91);
    assert_eq!(selected(&cells(), "region=(us, eu) & date=2024-01-01").len(), 2);
    assert!(
        refused(&cells(), "city=x")
            .contains("at character 1: there is no dimension \"city\"; there are date, region")
    );
    assert!(refused(&days(), "date=2024-01-01").contains("there are none"));
}

#[test]
fn errors_point_at_the_place() {
    assert!(refused(&days(), "").contains("at character 1: the selection is empty"));
    assert!(
        refused(&days(), "2024-01-01, 2024-1-2").starts_with("at character 13: \"2024-1-2\" is not spelled")
    );
    assert!(
        refused(&days(), "2024-01-01,").contains("at character 12: expected a partition key, found the end")
    );
    assert!(refused(&days(), "(2024-01-01").contains("at character 1: the bracket is not closed"));
    assert!(
        refused(&days(), "2024-01-01)").contains("at character 11: expected a comma, & or the end, found )")
    );
    assert!(refused(&regions(), "us, \"eu").contains("at character 5: the quote is not closed"));
    assert!(refused(&days(), "2024-03-01...2024-02-01").contains("at character 1: the range is reversed"));
    assert!(refused(&regions(), "éu, eux").contains("at character 1: there is no partition \"éu\""));
    assert!(
        refused(&regions(), "eu, eux")
            .contains("at character 5: there is no partition \"eux\" (did you mean \"eu\"?)")
    );
    assert!(refused(&days(), &"(".repeat(100)).contains("nested more than 32 deep"));
    assert!(refused(&days(), &"!".repeat(100)).contains("nested more than 32 deep"));
}

#[test]
fn formatted_ranges_read_back_as_the_same_subset() {
    for space in [days(), regions(), cells()] {
        for step in [1, 2, 3, 7] {
            let subset = (0..space.len()).filter(|ordinal| ordinal % step != 1 || step == 1).collect();
            let text = space.format_ranges(&subset, usize::MAX);
            assert_eq!(space.parse(&text), Ok(subset), "{text}");
        }
    }
}

#[test]
fn keys_with_a_dot_at_an_end_are_quoted_in_ranges() {
    let versions = space("{kind: static, keys: ['v1.', 'v2.', '.v3', '.v4.', v5]}", "2024-04-01T00:00:00Z");
    for from in 0..versions.len() {
        for to in from..versions.len() {
            let subset = (from..=to).collect();
            let text = versions.format_ranges(&subset, usize::MAX);
            assert_eq!(versions.parse(&text), Ok(subset), "{text}");
        }
    }
    assert_eq!(versions.format_ranges(&versions.all(), 1), "\"v1.\"...v5");
}

#[test]
fn an_interval_of_cells_is_shown_as_few_selections() {
    let shown = |from: &str, to: &str| -> Vec<String> {
        let ordinal = |key| cells().ordinal(key).expect("a cell");
        cells().blocks(ordinal(from)..=ordinal(to)).into_iter().map(|block| block.selection).collect()
    };
    assert_eq!(shown("2024-01-02|fr", "2024-01-02|fr"), ["2024-01-02|fr"]);
    assert_eq!(shown("2024-01-02|us", "2024-01-02|fr"), ["date=2024-01-02"]);
    assert_eq!(shown("2024-01-02|eu", "2024-01-02|fr"), ["date=2024-01-02 & region=eu...fr"]);
    assert_eq!(
        shown("2024-01-02|fr", "2024-01-09|eu"),
        ["2024-01-02|fr", "date=2024-01-03...2024-01-08", "date=2024-01-09 & region=us...eu"]
    );
    assert_eq!(shown("2024-01-01|us", "2024-03-31|fr"), ["all"]);
    let day = |key| days().ordinal(key).expect("a day");
    assert_eq!(days().blocks(day("2024-01-03")..=day("2024-02-01"))[0].selection, "2024-01-03...2024-02-01");
}

#[test]
fn an_asset_that_is_not_partitioned_has_one_nameless_partition() {
    let whole = space("{kind: unpartitioned}", "2024-04-01T00:00:00Z");
    assert_eq!((whole.len(), whole.key(0).as_deref(), whole.is_partitioned()), (1, Some(""), false));
    assert_eq!(selected(&whole, "all"), [""]);
    assert!(refused(&whole, "us").contains("this is not partitioned"));
}
