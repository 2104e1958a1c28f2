//! What docs/partitions.md shows is what happens.

use std::collections::BTreeMap;

use backstitch_proto::definition::Definitions;
use backstitch_proto::mapping::{Mapper, infer, validate};
use backstitch_proto::partition::{KeyList, PartitionSubset, Partitions};

use crate::common::{at, definition, mapping, space};

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

#[test]
fn every_combination_of_the_page_needs_what_it_says() {
    for block in blocks("needs") {
        let (head, lines) = block.split_once("---\n").expect("a line of ---");
        let field = |name: &str| {
            let line = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            line.unwrap_or_else(|| panic!("{name} in {head}"))
        };
        let (upstream, downstream) = (definition(field("upstream")), definition(field("downstream")));
        let mapping = match field("mapping") {
            "inferred" => infer(&upstream, &downstream).unwrap_or_else(|error| panic!("{head}: {error}")),
            yaml => mapping(yaml),
        };
        validate(&mapping, &upstream, &downstream).unwrap_or_else(|error| panic!("{head}: {error}"));
        let (up, down) = (resolved(field("upstream")), resolved(field("downstream")));
        let mapper = Mapper::new(&mapping, &up, &down).unwrap_or_else(|error| panic!("{head}: {error}"));
        for line in lines.lines() {
            let (who, what) = line.split_once(" needs ").unwrap_or_else(|| panic!("{line}"));
            let answer = mapper.upstream_of(&subset(&down, who));
            assert_eq!(answer.subset, subset(&up, what), "{line}");
            assert!(answer.missing.is_empty(), "{line}");
        }
    }
}

#[test]
fn every_selection_of_the_page_selects_something() {
    let now = "2025-01-01T00:00:00Z";
    let spaces = [
        space("{kind: daily, start: 2024-01-01}", now),
        space("{kind: static, keys: [us, eu, 'quoted, key', 'all']}", now),
        space(
            "{kind: multi, dimensions: {date: {kind: daily, start: 2024-01-01}, region: {kind: static, keys: [us, eu, a, b, c]}}}",
            now,
        ),
    ];
    let table = PAGE.split("| written | selects |\n").nth(1).expect("the table of selections");
    let mut seen = 0;
    for row in table.lines().skip(1).take_while(|line| line.starts_with('|')) {
        let written = row.replace("\\|", "\u{1}");
        let cell = written.split('|').nth(1).unwrap_or_default().replace('\u{1}', "|");
        for text in cell.split('`').skip(1).step_by(2) {
            seen += 1;
            let selects = |space: &Partitions| space.parse(text).is_ok_and(|subset| !subset.is_empty());
            assert!(spaces.iter().any(selects), "{text}");
        }
    }
    assert!(seen >= 15, "{seen}");
}
