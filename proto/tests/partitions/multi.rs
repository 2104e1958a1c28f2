//! Products of dimensions.

use std::collections::BTreeMap;

use backstitch_proto::partition::{KeyList, MultiPartitions, NoDynamicKeys, PartitionsDefinition};

use crate::common::{at, definition, errors, keys, refused, selected, space};

const DATES: &str = "{kind: daily, start: 2024-01-01}";
const NOW: &str = "2024-01-04T00:00:00Z";

#[test]
fn keys_join_their_parts_in_the_order_of_dimension_names() {
    let yaml =
        format!("{{kind: multi, dimensions: {{region: {{kind: static, keys: [us, eu]}}, date: {DATES}}}}}");
    let cells = space(&yaml, "2024-01-03T00:00:00Z");
    assert_eq!(cells.dimension_names(), ["date", "region"]);
    assert_eq!(keys(&cells), ["2024-01-01|us", "2024-01-01|eu", "2024-01-02|us", "2024-01-02|eu"]);
    assert_eq!(cells.ordinal("2024-01-02|us"), Ok(2));
    assert_eq!(cells.window(2), space(DATES, NOW).window(1));
    assert_eq!(cells.key_parts(3), [("date".into(), "2024-01-02".into()), ("region".into(), "eu".into())]);
    assert_eq!(cells.primary_dimension(), Some("date"));
}

#[test]
fn eight_dimensions_are_a_product_like_two() {
    let dimensions: Vec<String> = ('a'..='h')
        .map(|name| format!("{name}: {{kind: static, keys: ['{name}0', '{name}1', '{name}2']}}"))
        .collect();
    let cells = space(&format!("{{kind: multi, dimensions: {{{}}}}}", dimensions.join(", ")), NOW);
    assert_eq!(cells.len(), 3u32.pow(8));
    assert_eq!(cells.key(1).as_deref(), Some("a0|b0|c0|d0|e0|f0|g0|h1"));
    for ordinal in (0..cells.len()).step_by(97) {
        let key = cells.key(ordinal).expect("exists");
        assert_eq!(cells.ordinal(&key), Ok(ordinal));
    }
    let nine = format!("{{kind: multi, dimensions: {{{}, i: {DATES}}}}}", dimensions.join(", "));
    assert!(errors(&nine)[0].contains("9 dimensions; a multi definition has 2 to 8"));
}

#[test]
fn dimensions_of_dimensions_are_refused() {
    let inner = format!("{{kind: multi, dimensions: {{x: {DATES}, y: {DATES}}}}}");
    let yaml = format!("{{kind: multi, dimensions: {{a: {inner}, b: {{kind: unpartitioned}}}}}}");
    let all = errors(&yaml).join("\n");
    assert!(all.contains("dimensions.a: a dimension cannot be multi"), "{all}");
    assert!(all.contains("dimensions.b: a dimension cannot be unpartitioned"), "{all}");
}

#[test]
fn a_wrong_part_says_which_dimension() {
    let yaml =
        format!("{{kind: multi, dimensions: {{region: {{kind: static, keys: [us, eu]}}, date: {DATES}}}}}");
    let cells = space(&yaml, NOW);
    let error = |key: &str| cells.ordinal(key).expect_err("no such cell").to_string();
    assert!(error("2024-01-01|use").contains("dimension \"region\""));
    assert!(error("2024-01-01|use").contains("did you mean \"us\"?"));
    assert!(error("us").contains("1 parts where there are 2 dimensions (date, region)"));
}

#[test]
fn a_sparse_product_has_only_the_cells_it_names() {
    let yaml = "{kind: multi, dimensions: {date: {kind: daily, start: 2024-01-01}, region: {kind: static, keys: [us, eu]}}, \
                except: [{region: eu, date: '...2024-01-02'}, {date: 2024-01-05}]}";
    let cells = space(yaml, NOW);
    assert_eq!(keys(&cells), ["2024-01-01|us", "2024-01-02|us", "2024-01-03|us", "2024-01-03|eu"]);
    assert_eq!(cells.ordinal("2024-01-03|eu"), Ok(3));
    assert!(
        cells
            .ordinal("2024-01-01|eu")
            .expect_err("excepted")
            .to_string()
            .contains("not one of the combinations")
    );
    assert_eq!(selected(&cells, "region=eu"), ["2024-01-03|eu"]);
    let only = yaml.replace("except", "only");
    assert_eq!(keys(&space(&only, NOW)), ["2024-01-01|eu", "2024-01-02|eu"]);
}

#[test]
fn cells_that_make_no_sense_are_refused_at_definition_time() {
    let with = |cells: &str| {
        format!(
            "{{kind: multi, dimensions: {{date: {DATES}, region: {{kind: static, keys: [us]}}}}, except: [{cells}]}}"
        )
    };
    assert!(
        errors(&with("{region: fr}"))[0].contains("except[0]: cell of dimension \"region\": at character 1")
    );
    assert!(errors(&with("{date: latest}"))[0].contains("latest, which changes with time"));
    assert!(errors(&with("{zone: us}"))[0].contains("there is no dimension \"zone\""));
    assert!(errors(&with("{date: '2024-02-01...2024-01-01'}"))[0].contains("reversed"));
}

#[test]
fn a_sparse_product_keeps_its_fingerprint_while_its_first_dimension_grows() {
    let yaml = "{kind: multi, dimensions: {date: {kind: daily, start: 2024-01-01}, region: {kind: static, keys: [us, eu]}}, \
                except: [{region: eu}]}";
    assert_eq!(space(yaml, NOW).fingerprint(), space(yaml, "2024-06-01T00:00:00Z").fingerprint());
    let inner = "{kind: multi, dimensions: {region: {kind: static, keys: [us, eu]}, when: {kind: daily, start: 2024-01-01}}}";
    assert_ne!(space(inner, NOW).fingerprint(), space(inner, "2024-06-01T00:00:00Z").fingerprint());
}

#[test]
fn dynamic_keys_come_from_outside_in_their_order() {
    let customers = definition("{kind: dynamic, name: customers}");
    let none = BTreeMap::<String, KeyList>::new();
    let error = customers.resolve(at(NOW), &none).expect_err("no such set").to_string();
    assert!(error.contains("dynamic partition set \"customers\" is not known"), "{error}");
    assert!(customers.resolve(at(NOW), &NoDynamicKeys).expect("an empty set").is_empty());
    let some = BTreeMap::from([("customers".to_owned(), KeyList::new(["globex", "acme"]))]);
    let space = customers.resolve(at(NOW), &some).expect("a set");
    assert_eq!(keys(&space), ["globex", "acme"]);
    let cells = definition(&format!(
        "{{kind: multi, dimensions: {{c: {{kind: dynamic, name: customers}}, d: {DATES}}}}}"
    ));
    assert_eq!(cells.resolve(at(NOW), &some).expect("a product").len(), 6);
    for (key, part) in [
        ("", "must not be empty"),
        (" acme", "begins or ends with a space"),
        ("a...b", "the ends of a range"),
    ] {
        let broken = BTreeMap::from([("customers".to_owned(), KeyList::new(["globex|north", "acme", key]))]);
        let error = customers.resolve(at(NOW), &broken).expect_err("no key").to_string();
        assert!(error.contains(part), "{error}");
    }
    // Dagster leaves such a key out without a word.
    let broken = BTreeMap::from([("customers".to_owned(), KeyList::new(["globex|north"]))]);
    let error = cells.resolve(at(NOW), &broken).expect_err("ambiguous keys").to_string();
    assert!(error.contains("dimensions.c: partition key \"globex|north\" contains '|'"), "{error}");
}

#[test]
fn cells_of_a_dynamic_key_select_nothing_while_the_set_does_not_have_it() {
    let resolved = |cells: &str, customers: &[&str]| {
        let yaml = format!(
            "{{kind: multi, dimensions: {{c: {{kind: dynamic, name: customers}}, d: {DATES}}}, {cells}}}"
        );
        let definition = definition(&yaml);
        assert_eq!(definition.validate(), Ok(()));
        let sets = BTreeMap::from([("customers".to_owned(), KeyList::new(customers.to_vec()))]);
        keys(&definition.resolve(at("2024-01-02T00:00:00Z"), &sets).expect("valid"))
    };
    let except = "except: [{c: acme}, {c: globex...initech}]";
    assert_eq!(resolved(except, &["acme", "hooli"]), ["hooli|2024-01-01"]);
    assert_eq!(resolved(except, &["hooli", "globex"]), ["hooli|2024-01-01", "globex|2024-01-01"]);
    assert_eq!(resolved(except, &["globex", "hooli", "initech"]), [""; 0]);
    assert_eq!(resolved("only: [{c: 'acme, hooli'}]", &["hooli", "globex"]), ["hooli|2024-01-01"]);
    // What no set of keys would mend is still refused at once.
    let wrong = "{kind: multi, dimensions: {c: {kind: dynamic, name: customers}, d: {kind: daily, start: 2024-01-01}}, \
                 only: [{c: latest}, {c: '(acme'}]}";
    let all = errors(wrong).join("\n");
    assert!(all.contains("only[0]: cell of dimension \"c\" uses latest"), "{all}");
    assert!(
        all.contains("only[1]: cell of dimension \"c\": at character 1: the bracket is not closed"),
        "{all}"
    );
}

#[test]
fn a_range_of_cells_is_a_rectangle_and_never_reversed() {
    let yaml =
        format!("{{kind: multi, dimensions: {{date: {DATES}, region: {{kind: static, keys: [a, b, c]}}}}}}");
    let cells = space(&yaml, NOW);
    assert_eq!(
        selected(&cells, "2024-01-01|a...2024-01-02|b"),
        ["2024-01-01|a", "2024-01-01|b", "2024-01-02|a", "2024-01-02|b"]
    );
    // Dagster answers with nothing.
    assert!(refused(&cells, "2024-01-01|b...2024-01-02|a").contains("reversed: \"b\" comes after \"a\""));
}

#[test]
fn ranges_of_few_cells_cost_little_however_large_the_product_is() {
    let names = |name: &str| PartitionsDefinition::of_keys((0..60_000).map(|at| format!("{name}{at}")));
    for primary in ["a", "b"] {
        let cells = PartitionsDefinition::Multi(MultiPartitions {
            dimensions: ["a", "b"].map(|name| (name.to_owned(), names(name))).into(),
            primary: Some(primary.to_owned()),
            only: Vec::new(),
            except: Vec::new(),
        });
        let cells = cells.resolve(at(NOW), &NoDynamicKeys).expect("a product");
        assert_eq!(cells.len(), 3_600_000_000);
        let few = cells.parse("a59999|b59998, a7|b7, a8|b8, a7|b8").expect("cells");
        let expected = match primary {
            "a" => "a7|b7, a7|b8...a8|b8, a59999|b59998",
            _ => "a7|b7...a7|b8, a8|b8, a59999|b59998",
        };
        assert_eq!(cells.format_ranges(&few, 9), expected);
    }
}

#[test]
fn a_product_is_cut_into_lines_whether_it_is_full_or_nearly_empty() {
    let yaml = |primary: &str| {
        let keys =
            |name: &str| format!("{{kind: static, keys: [{name}0, {name}1, {name}2, {name}3, {name}4]}}");
        format!(
            "{{kind: multi, primary: {primary}, dimensions: {{a: {}, b: {}, c: {}}}, except: [{{a: a1, c: c2...c3}}]}}",
            keys("a"),
            keys("b"),
            keys("c")
        )
    };
    for primary in ["a", "b", "c"] {
        let cells = space(&yaml(primary), NOW);
        for step in [1, 2, 5, 7, 31, 64] {
            let subset = (0..cells.len()).filter(|ordinal| ordinal % step == 0).collect();
            let text = cells.format_ranges(&subset, usize::MAX);
            assert_eq!(cells.parse(&text), Ok(subset.clone()), "{text}");
            // Lines in order: the same cell of the others, one primary coordinate after another.
            let ranges: Vec<_> = cells.key_ranges(&subset).collect();
            assert_eq!(ranges.iter().map(|range| u64::from(range.count)).sum::<u64>(), subset.len());
            assert_eq!(cells.count_key_ranges(&subset), ranges.len() as u64);
        }
    }
}

#[test]
fn cells_of_a_sparse_product_are_found_in_runs_and_far_apart() {
    let names = |name: &str, count: usize| {
        (0..count).map(|at| format!("{name}{at:03}")).collect::<Vec<_>>().join(", ")
    };
    let yaml = format!(
        "{{kind: multi, dimensions: {{a: {{kind: static, keys: [{}]}}, b: {{kind: static, keys: [{}]}}}}, \
         except: [{{b: 'b*0, b*4, b*8'}}, {{a: a100...a420}}]}}",
        names("a", 900),
        names("b", 40)
    );
    let cells = space(&yaml, NOW);
    // Every so many-th cell up to one, and from there on.
    for (step, until, then) in [
        (1, u32::MAX, 1),
        (1, 7_000, 7),
        (2, u32::MAX, 1),
        (5, 3_000, 4_097),
        (4_097, 9_000, 1),
        (9_000, u32::MAX, 1),
    ] {
        let until = until.min(cells.len());
        let chosen = (3..until).step_by(step).chain((until + 2..cells.len()).step_by(then)).collect();
        let text = cells.format_ranges(&chosen, usize::MAX);
        assert_eq!(cells.parse(&text), Ok(chosen), "every {step} until {until}, then every {then}");
    }
}

#[test]
fn ranges_run_along_the_primary_dimension() {
    let yaml = "{kind: multi, dimensions: {date: {kind: daily, start: 2024-01-01}, region: {kind: static, keys: [us, eu]}}}";
    let cells = space(yaml, NOW);
    let text = |selection: &str| cells.format_ranges(&cells.parse(selection).expect("valid"), 10);
    assert_eq!(text("region=eu"), "2024-01-01|eu...2024-01-03|eu");
    assert_eq!(text("all"), "2024-01-01|us...2024-01-03|us, 2024-01-01|eu...2024-01-03|eu");
    assert_eq!(text("latest"), "2024-01-03|us, 2024-01-03|eu");
    let by_region = yaml.replace("{kind: multi,", "{kind: multi, primary: region,");
    let cells = space(&by_region, NOW);
    assert_eq!(
        cells.format_ranges(&cells.all(), 2),
        "2024-01-01|us...2024-01-01|eu, 2024-01-02|us...2024-01-02|eu and 2 more"
    );
    assert_eq!(selected(&cells, "latest"), ["2024-01-01|eu", "2024-01-02|eu", "2024-01-03|eu"]);
}
