//! Definitions as people write them: what is read, what is refused and how.

use std::collections::BTreeMap;

use backstitch_proto::partition::{
    KEY_BYTES_MAX, KeyList, MULTI_KEY_BYTES_MAX, NoDynamicKeys, PartitionsDefinition,
};

use crate::common::{at, definition, errors};

#[test]
fn every_error_is_reported_at_once() {
    let yaml = "{kind: cron, cron: '0 0 30 2 *', start: soon, end: 2024-01-01, timezone: Europe/Berlim, \
                format: '%Q', end_offset: 200000, exclude: ['61 * * * *', 2024-13-01]}";
    let errors = errors(yaml);
    assert_eq!(errors.len(), 7, "{errors:#?}");
    let all = errors.join("\n");
    for part in [
        "timezone: time zone \"Europe/Berlim\" is not in the IANA database",
        "did you mean \"Europe/Berlin\"?",
        "cron: cron expression \"0 0 30 2 *\": it never occurs",
        "start: \"soon\" is not a time",
        "format: format \"%Q\": %Q is not supported",
        "end_offset: 200000 is outside -100000 to 100000",
        "exclude[0]: cron expression \"61 * * * *\": minute \"61\" is not valid",
        "exclude[1]: \"2024-13-01\" is not a time",
    ] {
        assert!(all.contains(part), "{part} in {all}");
    }
}

#[test]
fn errors_inside_of_dimensions_say_where() {
    let yaml = "{kind: multi, primary: day, dimensions: {date: {kind: daily, start: x}, 'a b': {kind: static, keys: [u|v]}}}";
    let all = errors(yaml).join("\n");
    assert!(all.contains("dimensions.date.start: \"x\" is not a time"), "{all}");
    assert!(all.contains("dimensions.a b: dimension name \"a b\" is not usable"), "{all}");
    assert!(all.contains("dimensions.a b.keys[0]: partition key \"u|v\" contains '|'"), "{all}");
    assert!(all.contains("primary: there is no dimension \"day\"; there are a b, date"), "{all}");
}

#[test]
fn static_keys_are_checked() {
    let error = |key: &str| {
        let definition = PartitionsDefinition::of_keys([key]);
        definition.validate().map_err(|errors| errors[0].to_string()).err().unwrap_or_default()
    };
    assert_eq!(error("us"), "");
    assert_eq!(error("São Paulo/centre, north"), "");
    assert!(error("").contains("must not be empty"));
    assert!(error("a...b").contains("separates the ends of a range"));
    assert!(error("a\tb").contains("control character"));
    assert!(error(" a").contains("begins or ends with a space"));
    assert!(error(&"k".repeat(KEY_BYTES_MAX + 1)).contains("the limit is 255"));
    assert_eq!(error(&"k".repeat(KEY_BYTES_MAX)), "");
    assert!(errors("{kind: static, keys: [a, b, a]}")[0].contains("\"a\" is listed twice"));
    assert!(errors("{kind: static, keys: []}")[0].contains("no partition keys"));
}

#[test]
fn unknown_fields_and_fields_of_other_kinds_are_errors() {
    let error =
        |yaml: &str| serde_saphyr::from_str::<PartitionsDefinition>(yaml).expect_err(yaml).to_string();
    assert!(error("{kind: daily, start: 2024-01-01, timezon: UTC}").contains("timezon"));
    assert!(
        error("{kind: daily, start: 2024-01-01, cron: '@daily'}")
            .contains("`cron` does not belong to partitions of kind daily")
    );
    assert!(error("{kind: daily}").contains("need the field `start`"));
    assert!(error("{kind: dayly, start: 2024-01-01}").contains("dayly"));
    assert!(
        error("{kind: daily, start: 2024-01-01, hour_offset: noon}").contains("hour_offset")
            || !error("{kind: daily, start: 2024-01-01, hour_offset: noon}").is_empty()
    );
}

#[test]
fn definitions_are_written_as_they_are_read() {
    for yaml in [
        "{kind: unpartitioned}",
        "{kind: static, keys: [b, a]}",
        "{kind: hourly, start: 2024-01-01, minute_offset: 15, timezone: Asia/Tokyo}",
        "{kind: daily, start: 2024-01-01, end: 2025-01-01, end_offset: -2, exclude: ['0 0 * * 6', {calendar: closed}]}",
        "{kind: weekly, start: 2024-01-01, day_offset: 3, hour_offset: 4}",
        "{kind: monthly, start: 2024-01-01, day_offset: 31, format: '%Y-%m'}",
        "{kind: cron, start: 2024-01-01, cron: '@daily'}",
        "{kind: calendar, start: 2024-01-01, calendar: {weekdays: mon-fri, except: [2024-12-25]}}",
        "{kind: dynamic, name: customers}",
        "{kind: multi, primary: r, dimensions: {d: {kind: daily, start: 2024-01-01}, r: {kind: static, keys: [a]}}, except: [{r: a, d: 2024-01-01}]}",
    ] {
        let once = definition(yaml);
        let json = serde_json::to_string(&once).expect("serializable");
        let again: PartitionsDefinition = serde_json::from_str(&json).expect(&json);
        assert_eq!(once, again, "{json}");
    }
}

#[test]
fn spelling_does_not_change_what_a_definition_means() {
    let fingerprint = |yaml: &str| {
        definition(yaml).resolve(at("2024-06-01T00:00:00Z"), &NoDynamicKeys).expect("valid").fingerprint()
    };
    let plain = fingerprint("{kind: daily, start: 2024-01-01}");
    assert_eq!(
        plain,
        fingerprint("{kind: daily, start: '2024-01-01T00:00', timezone: utc, format: '%Y-%m-%d'}")
    );
    assert_eq!(plain, fingerprint("{kind: cron, cron: '@daily', start: 2024-01-01, format: '%Y-%m-%d'}"));
    assert_ne!(plain, fingerprint("{kind: daily, start: 2024-01-02}"));
    assert_ne!(plain, fingerprint("{kind: daily, start: 2024-01-01, timezone: Europe/London}"));
}

#[test]
fn the_json_schema_names_every_field() {
    let schema = serde_json::to_string(&schemars::schema_for!(PartitionsDefinition)).expect("a schema");
    for field in ["kind", "start", "timezone", "exclude", "dimensions", "hourly", "calendar", "only"] {
        assert!(schema.contains(&format!("\"{field}\"")), "{field} in {schema}");
    }
}

#[test]
fn cron_expressions_are_judged_field_by_field() {
    let error = |cron: &str| {
        let yaml = format!("{{kind: cron, cron: \"{cron}\", start: 2024-01-01}}");
        errors(&yaml).first().cloned().unwrap_or_default()
    };
    for good in [
        "0 0 * * *",
        "@hourly",
        "@Yearly",
        "*/7 1-5/2 L jan-mar mon,fri",
        "0 0 * * 7",
        "0 0 * * L5",
        "0 0 * * fri#3",
        "0 0 29 2 *",
        "0 22-2 * * fri-mon",
        "5/20 * * nov-feb *",
        "0 0 31 * *",
    ] {
        assert_eq!(error(good), "", "{good}");
    }
    for (bad, part) in [
        ("0 0 * *", "4 fields"),
        ("0 0 0 * * *", "6 fields"),
        ("60 * * * *", "minute \"60\""),
        ("0 24 * * *", "hour \"24\""),
        ("0 0 0 * *", "day of month \"0\""),
        ("0 0 * 13 *", "month \"13\""),
        ("0 0 * * 8", "day of week \"8\""),
        ("0 0 * * 1#6", "day of week \"1#6\""),
        ("0 0 30 2 *", "never occurs"),
        ("@reboot", "@reboot is not known"),
        ("0 0 ? * *", "day of month \"?\""),
        ("H 0 * * *", "minute \"h\""),
        ("*/0 * * * *", "minute \"*/0\""),
        ("1,, * * * *", "minute \"\""),
        ("-5 * * * *", "minute \"-5\""),
        ("+5 * * * *", "minute \"+5\""),
    ] {
        assert!(error(bad).contains(part), "{bad}: {}", error(bad));
    }
}

#[test]
fn too_many_partitions_are_refused_with_their_number() {
    let minutes = "{kind: cron, cron: '* * * * *', start: 1900-01-01}";
    let yaml = format!("{{kind: multi, dimensions: {{a: {minutes}, b: {minutes}}}}}");
    let error = definition(&yaml).resolve(at("2024-01-01T00:00:00Z"), &NoDynamicKeys).expect_err("too many");
    assert!(error.to_string().contains("the limit is 4294967295"), "{error}");
}

#[test]
fn products_of_any_size_are_counted_and_one_with_an_empty_dimension_is_empty() {
    let resolved = |dimensions: &[&str]| {
        let named = ('a'..).zip(dimensions).map(|(name, dimension)| format!("{name}: {dimension}"));
        let yaml = format!("{{kind: multi, dimensions: {{{}}}}}", named.collect::<Vec<_>>().join(", "));
        definition(&yaml).resolve(at("9000-01-01T00:00:00Z"), &NoDynamicKeys).map_err(|e| e.to_string())
    };
    let (long, none) = ("{kind: cron, cron: '* * * * *', start: 1000-01-01}", "{kind: dynamic, name: none}");
    let error = resolved(&[long; 8]).expect_err("too many");
    assert!(error.contains("the limit is 4294967295"), "{error}");
    for dimensions in [[none, long, long], [long, none, long], [long, long, none]] {
        let cells = resolved(&dimensions).expect("no cells");
        assert_eq!((cells.len(), cells.key(0), cells.blocks(0..=0).len()), (0, None, 0));
        assert_eq!(cells.format_ranges(&cells.all(), 1), "nothing");
        assert_eq!(cells.parse("!latest"), Ok(cells.all()));
        assert!(cells.ordinal("2024-01-01-00:00|2024-01-01-00:00|x").is_err());
    }
}

#[test]
fn multi_keys_have_a_limit_of_their_own_and_the_error_says_which_dimension_is_long() {
    let yaml = |length: usize| {
        let key = |c: &str| c.repeat(length);
        format!(
            "{{kind: multi, dimensions: {{a: {{kind: static, keys: [{}]}}, b: {{kind: static, keys: [{}]}}, \
             c: {{kind: static, keys: [{}]}}, d: {{kind: static, keys: [{}]}}, e: {{kind: daily, start: 2024-01-01}}}}}}",
            key("a"),
            key("b"),
            key("c"),
            key("d")
        )
    };
    assert_eq!(errors(&yaml(200)), Vec::<String>::new());
    let all = errors(&yaml(KEY_BYTES_MAX)).join("\n");
    assert!(
        all.contains("partition keys would have up to 1041 bytes (a 255, b 255, c 255, d 255, e 17)"),
        "{all}"
    );
    assert!(all.contains(&format!("the limit is {MULTI_KEY_BYTES_MAX}: shorten the keys")), "{all}");
}

#[test]
fn keys_of_a_dynamic_set_have_the_same_limits() {
    let sets = |length: usize| -> BTreeMap<String, KeyList> {
        ["a", "b", "c", "d", "e"].map(|name| (name.to_owned(), KeyList::new([name.repeat(length)]))).into()
    };
    let refused = |yaml: &str, length: usize| {
        let definition = definition(yaml);
        assert_eq!(definition.validate(), Ok(()));
        definition
            .resolve(at("2024-01-01T00:00:00Z"), &sets(length))
            .map(|_| ())
            .map_err(|error| error.to_string())
    };
    assert_eq!(refused("{kind: dynamic, name: a}", KEY_BYTES_MAX), Ok(()));
    let error = refused("{kind: dynamic, name: a}", KEY_BYTES_MAX + 1).unwrap_err();
    assert!(error.contains("has 256 bytes; the limit is 255"), "{error}");
    let cells = "{kind: multi, dimensions: {a: {kind: dynamic, name: a}, b: {kind: dynamic, name: b}, \
                 c: {kind: dynamic, name: c}, d: {kind: dynamic, name: d}, e: {kind: dynamic, name: e}}}";
    assert_eq!(refused(cells, 204), Ok(()));
    let error = refused(cells, 205).unwrap_err();
    assert!(error.contains("up to 1029 bytes"), "{error}");
}
