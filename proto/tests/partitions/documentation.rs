//! What docs/partitions.md shows is what happens.

use std::collections::BTreeMap;

use backstitch_proto::definition::Definitions;
use backstitch_proto::mapping::{Mapper, infer, validate};
use backstitch_proto::partition::{KeyList, PartitionSubset, Partitions};

use crate::common::{at, definition, mapping, selected, space};

const PAGE: &str = include_str!("../../../docs/partitions.md");

/// The code blocks of a class, as ```` ```yaml partitions ```` begins one.
fn blocks(class: &str) -> Vec<&'static str> {
    let opening = format!("```{class}\n");
    let blocks: Vec<_> =
        PAGE.split(opening.as_str()).skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(!blocks.is_empty(), "no block of class {class}");
    blocks
}

fn indented(block: &str, by: usize) -> String {
    block.lines().map(|line| format!("{:by$}{line}\n", "")).collect()
}

fn check(project: &str) {
    let mut read = |_: &str| Ok("2024-01-02\n2024-01-03 # a comment\n".to_owned());
    if let Err(problems) = Definitions::from_yaml_with_files("backstitch.yaml", project, &mut read) {
        panic!("{project}\n{problems}");
    }
}

/// A project around the partitions of one asset, with the calendars of the page.
fn with_partitions(block: &str) -> String {
    let calendars = blocks("yaml project")[0];
    format!("{calendars}assets:\n  a:\n    command: [make]\n    partitions:\n{}", indented(block, 6))
}

#[test]
fn every_definition_of_the_page_is_valid() {
    blocks("yaml partitions").iter().for_each(|block| check(&with_partitions(block)));
    let multi = blocks("yaml partitions")
        .into_iter()
        .find(|block| block.starts_with("kind: multi"))
        .expect("a multi");
    blocks("yaml cells").iter().for_each(|block| check(&with_partitions(&format!("{multi}{block}"))));
}

#[test]
fn every_project_of_the_page_is_valid() {
    for block in blocks("yaml project") {
        let assets = if block.contains("assets:") { "" } else { "assets: {a: {command: [make]}}\n" };
        check(&format!("{block}{assets}"));
    }
}

#[test]
fn every_dependency_of_the_page_is_valid() {
    for block in blocks("yaml dependency") {
        let days = "{kind: daily, start: 2024-01-01}";
        check(&format!(
            "assets:\n  up:\n    command: [make]\n    partitions: {{kind: multi, dimensions: {{date: {days}, region: {{kind: \
             static, keys: [us]}}, tier: {{kind: static, keys: [gold, tin]}}}}}}\n  down:\n    command: [make]\n    \
             partitions: {{kind: multi, dimensions: {{day: {days}, who: {{kind: static, keys: [x]}}}}}}\n    deps:\n      \
             - asset: up\n{}",
            indented(block, 8)
        ));
    }
}

/// The first of February: all of January exists. The set of customers is the one that the page names.
fn resolved(yaml: &str) -> Partitions {
    let customers = BTreeMap::from([("customers".to_owned(), KeyList::new(["acme", "globex"]))]);
    definition(yaml)
        .resolve(at("2024-02-01T00:00:00Z"), &customers)
        .unwrap_or_else(|error| panic!("{yaml}: {error}"))
}

fn subset(space: &Partitions, text: &str) -> PartitionSubset {
    match text {
        "nothing" => PartitionSubset::new(),
        "all" => space.all(),
        text => space.parse(text).unwrap_or_else(|error| panic!("{text}: {error}")),
    }
}

/// The lines above `---` of a block, and those below.
fn parts(block: &str) -> (&str, std::str::Lines<'_>) {
    let (head, lines) = block.split_once("---\n").unwrap_or_else(|| panic!("a line of --- in {block}"));
    (head, lines.lines())
}

/// What stands behind `name: ` in the head of a block.
fn field<'a>(head: &'a str, name: &str) -> &'a str {
    let line = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    line.unwrap_or_else(|| panic!("{name} in {head}"))
}

#[test]
fn every_combination_of_the_page_needs_what_it_says() {
    for block in blocks("needs") {
        let (head, lines) = parts(block);
        let field = |name| field(head, name);
        let (upstream, downstream) = (definition(field("upstream")), definition(field("downstream")));
        let mapping = match field("mapping") {
            "inferred" => infer(&upstream, &downstream).unwrap_or_else(|error| panic!("{head}: {error}")),
            yaml => mapping(yaml),
        };
        validate(&mapping, &upstream, &downstream).unwrap_or_else(|error| panic!("{head}: {error}"));
        let (up, down) = (resolved(field("upstream")), resolved(field("downstream")));
        let mapper = Mapper::new(&mapping, &up, &down).unwrap_or_else(|error| panic!("{head}: {error}"));
        for line in lines {
            let (who, what) = line.split_once(" needs ").unwrap_or_else(|| panic!("{line}"));
            let answer = mapper.upstream_of(&subset(&down, who));
            assert_eq!(answer.subset, subset(&up, what), "{line}");
            assert!(answer.missing.is_empty(), "{line}");
        }
    }
}

#[test]
fn every_example_of_the_page_selects_these_keys() {
    for block in blocks("selects") {
        let (head, lines) = parts(block);
        let space = space(field(head, "partitions"), field(head, "now"));
        for line in lines {
            let (text, keys) = line.split_once(" selects ").unwrap_or_else(|| panic!("{line}"));
            assert_eq!(selected(&space, text).join(", "), keys, "{line} in {head}");
        }
    }
}

/// What the texts of the table of selections select: days of 2024, regions, or cells of both.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Of {
    Days,
    Regions,
    Cells,
}

/// Each text of the table; how many partitions it selects, the first and the last.
const SELECTIONS: [(&str, Of, usize, &str, &str); 19] = [
    ("2024-01-05", Of::Days, 1, "2024-01-05", "2024-01-05"),
    ("2024-01-01...2024-03-31", Of::Days, 91, "2024-01-01", "2024-03-31"),
    ("2024-03-01...", Of::Days, 306, "2024-03-01", "2024-12-31"),
    ("...2024-03-01", Of::Days, 61, "2024-01-01", "2024-03-01"),
    ("2024-01-*", Of::Days, 31, "2024-01-01", "2024-01-31"),
    ("*-01", Of::Days, 12, "2024-01-01", "2024-12-01"),
    ("us*", Of::Regions, 2, "us", "us-east"),
    ("us, eu", Of::Regions, 2, "us", "eu"),
    ("latest", Of::Days, 1, "2024-12-31", "2024-12-31"),
    ("latest:7", Of::Cells, 7 * 6, "2024-12-25|us", "2024-12-31|eu"),
    ("all", Of::Regions, 6, "us", "eu"),
    ("2024-01-*, !2024-01-05", Of::Days, 30, "2024-01-01", "2024-01-31"),
    ("date=2024-01-01...2024-01-31 & region=us,eu", Of::Cells, 62, "2024-01-01|us", "2024-01-31|eu"),
    ("2024-01-*|us", Of::Cells, 31, "2024-01-01|us", "2024-01-31|us"),
    ("*", Of::Cells, 366 * 6, "2024-01-01|us", "2024-12-31|eu"),
    ("2024-01-01|a...2024-01-31|c", Of::Cells, 31 * 4, "2024-01-01|a", "2024-01-31|c"),
    ("(us, eu) & !latest", Of::Regions, 1, "us", "us"),
    ("\"quoted, key\"", Of::Regions, 1, "quoted, key", "quoted, key"),
    ("\"all\"", Of::Regions, 1, "all", "all"),
];

#[test]
fn every_selection_of_the_page_selects_exactly_this() {
    let of = |of: Of| {
        let days = "{kind: daily, start: 2024-01-01}";
        let yaml = match of {
            Of::Days => days.to_owned(),
            Of::Regions => "{kind: static, keys: [us, us-east, 'quoted, key', all, apac, eu]}".to_owned(),
            Of::Cells => format!(
                "{{kind: multi, dimensions: {{date: {days}, region: {{kind: static, keys: [us, a, b, x, c, eu]}}}}}}"
            ),
        };
        space(&yaml, "2025-01-01T00:00:00Z")
    };
    let table = PAGE.split("| written | selects |\n").nth(1).expect("the table of selections");
    let rows = table.lines().skip(1).take_while(|line| line.starts_with('|'));
    let written = rows.map(|row| row.replace("\\|", "\u{1}"));
    let cells = written.map(|row| row.split('|').nth(1).unwrap_or_default().replace('\u{1}', "|"));
    let texts: Vec<String> = cells
        .flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>())
        .collect();
    assert_eq!(texts, SELECTIONS.map(|(text, ..)| text));
    for (text, space, count, first, last) in SELECTIONS {
        let keys = selected(&of(space), text);
        let ends = (keys.first().map(String::as_str), keys.last().map(String::as_str));
        assert_eq!((keys.len(), ends), (count, (Some(first), Some(last))), "{text}");
    }
}
