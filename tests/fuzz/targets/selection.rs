//! The selection grammar never panics, and what it selects reads back.

#![no_main]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use backstitch_proto::partition::{KeyList, Partitions, PartitionsDefinition};
use chrono::{DateTime, Utc};
use libfuzzer_sys::fuzz_target;

/// One space of every nature: keys that look like words and signs of the grammar, hours that happen twice, products
/// with and without holes.
const SPACES: [&str; 9] = [
    r#"{"kind": "daily", "start": "2024-01-01", "end": "2024-03-01"}"#,
    r#"{"kind": "hourly", "start": "2024-11-02T20:00", "end": "2024-11-03T06:00", "timezone": "America/New_York"}"#,
    r#"{"kind": "cron", "cron": "*/30 * * * *", "start": "2024-04-06T23:00", "end": "2024-04-07T04:00",
        "timezone": "Australia/Lord_Howe", "exclude": ["30 2 * * *"], "format": "%Y-%m-%dT%H:%M%z"}"#,
    r#"{"kind": "static", "keys": ["us", "eu", "a, b", "all", "say \"hi\"", "latest:2", "x=1", "(", "*", "back\\slash"]}"#,
    r#"{"kind": "static", "keys": ["v1.", ".x", "..", "v1..2", ".", "v1", "x|y"]}"#,
    r#"{"kind": "dynamic", "name": "customers"}"#,
    r#"{"kind": "multi", "dimensions": {"date": {"kind": "daily", "start": "2024-01-01", "end": "2024-02-01"},
        "region": {"kind": "static", "keys": ["us", "eu", "a, b", "all", "v1.", ".x"]}}}"#,
    r#"{"kind": "multi", "primary": "who", "dimensions": {"date": {"kind": "daily", "start": "2024-01-01", "end": "2024-01-12"},
        "who": {"kind": "dynamic", "name": "customers"}},
        "except": [{"date": "2024-01-03...2024-01-05", "who": "acme"}, {"date": "2024-01-09"}]}"#,
    r#"{"kind": "multi", "dimensions": {"hour": {"kind": "hourly", "start": "2024-11-03", "end": "2024-11-03T04:00",
        "timezone": "America/New_York"}, "region": {"kind": "static", "keys": ["us", "eu", "v1."]},
        "tier": {"kind": "static", "keys": ["gold", "tin"]}},
        "only": [{"region": "us"}, {"tier": "tin", "hour": "2024-11-03-01:*"}]}"#,
];

static RESOLVED: LazyLock<Vec<Partitions>> = LazyLock::new(|| {
    let now = DateTime::<Utc>::from_timestamp(1_750_000_000, 0).expect("a time");
    let customers = KeyList::new(["globex", "acme", "initech.", ".", "all"]);
    let sets = BTreeMap::from([("customers".to_owned(), customers)]);
    SPACES
        .iter()
        .map(|json| {
            let definition: PartitionsDefinition = serde_json::from_str(json).expect("a definition");
            assert_eq!(definition.validate(), Ok(()), "{json}");
            definition.resolve(now, &sets).expect("valid")
        })
        .collect()
});

fuzz_target!(|text: &str| {
    for space in RESOLVED.iter() {
        if let Ok(subset) = space.parse(text)
            && !subset.is_empty()
        {
            let again = space.format_ranges(&subset, usize::MAX);
            assert_eq!(space.parse(&again), Ok(subset), "{again}");
        }
    }
});
