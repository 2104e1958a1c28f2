//! A mapping never panics, whatever it says, and its two directions are one relation.
//!
//! The first two bytes choose the definitions upstream and downstream (`a` is the first), the rest is the mapping as
//! JSON. Without a rest it is inferred.

#![no_main]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use backstitch_proto::mapping::{Mapper, PartitionMapping, infer, validate};
use backstitch_proto::partition::{KeyList, PartitionSubset, Partitions, PartitionsDefinition};
use chrono::{DateTime, Utc};
use libfuzzer_sys::fuzz_target;

/// 2024-11-05, when the clocks of New York have just changed.
const NOW: i64 = 1_730_800_000;

/// How many ordinals of either side are compared.
const COMPARED: u32 = 9;

/// Definitions of every kind, with a few partitions each.
const DEFINITIONS: [&str; 16] = [
    r#"{"kind": "unpartitioned"}"#,
    r#"{"kind": "static", "keys": ["us", "eu", "fr"]}"#,
    r#"{"kind": "static", "keys": ["eu", "acme", "us", "2024-11-03"]}"#,
    r#"{"kind": "dynamic", "name": "customers"}"#,
    r#"{"kind": "hourly", "start": "2024-11-01", "timezone": "America/New_York"}"#,
    r#"{"kind": "hourly", "start": "2024-10-30", "minute_offset": 30, "end_offset": 2, "exclude": ["30 */5 * * *"]}"#,
    r#"{"kind": "daily", "start": "2024-10-25"}"#,
    r#"{"kind": "daily", "start": "2024-10-01", "end": "2024-11-03", "timezone": "Asia/Tokyo"}"#,
    r#"{"kind": "daily", "start": "2024-10-01", "exclude": ["0 0 * * sat,sun"], "end_offset": 1}"#,
    r#"{"kind": "weekly", "start": "2024-09-01", "day_offset": 3, "timezone": "Europe/Berlin"}"#,
    r#"{"kind": "monthly", "start": "2024-01-01", "day_offset": 31}"#,
    r#"{"kind": "calendar", "start": "2024-10-20", "calendar": {"weekdays": "mon-fri", "except": ["2024-11-01"]}}"#,
    r#"{"kind": "multi", "dimensions": {"date": {"kind": "daily", "start": "2024-10-28"}, "region": {"kind": "static", "keys": ["us", "eu", "fr"]}}}"#,
    r#"{"kind": "multi", "dimensions": {"date": {"kind": "weekly", "start": "2024-10-01"}, "region": {"kind": "static", "keys": ["eu", "us"]}},
        "except": [{"date": "2024-10-13", "region": "us"}]}"#,
    r#"{"kind": "multi", "dimensions": {"day": {"kind": "daily", "start": "2024-10-30", "timezone": "America/New_York"},
        "tier": {"kind": "static", "keys": ["gold", "tin"]}, "who": {"kind": "dynamic", "name": "customers"}},
        "only": [{"tier": "gold"}, {"who": "acme"}]}"#,
    r#"{"kind": "multi", "dimensions": {"from": {"kind": "static", "keys": ["us", "eu"]}, "to": {"kind": "static", "keys": ["us", "eu"]}}}"#,
];

static RESOLVED: LazyLock<Vec<(PartitionsDefinition, Partitions)>> = LazyLock::new(|| {
    let now = DateTime::<Utc>::from_timestamp(NOW, 0).expect("a time");
    let sets = BTreeMap::from([("customers".to_owned(), KeyList::new(["acme", "globex", "us"]))]);
    let read = |json: &&str| {
        let definition: PartitionsDefinition = serde_json::from_str(json).expect("a definition");
        assert_eq!(definition.validate(), Ok(()), "{json}");
        let partitions = definition.resolve(now, &sets).expect("valid");
        (definition, partitions)
    };
    DEFINITIONS.iter().map(read).collect()
});

/// Both ends of a space and some of what lies between.
fn sample(space: &Partitions) -> impl Iterator<Item = u32> {
    let (len, step) = (space.len(), space.len() / COMPARED + 1);
    (0..len).step_by(step as usize).chain(len.checked_sub(1))
}

fuzz_target!(|parts: (u8, u8, &str)| {
    let chosen = |byte: u8| &RESOLVED[usize::from(byte.wrapping_sub(b'a')) % RESOLVED.len()];
    let ((up, upstream), (down, downstream)) = (chosen(parts.0), chosen(parts.1));
    let mapping = match parts.2 {
        "" => infer(up, down).ok(),
        json => serde_json::from_str::<PartitionMapping>(json).ok(),
    };
    let Some(mapping) = mapping else { return };
    if validate(&mapping, up, down).is_err() {
        return;
    }
    let Ok(mapper) = Mapper::new(&mapping, upstream, downstream) else { return };
    let one = |ordinal| PartitionSubset::from_ordinals([ordinal]);
    let needed_by: Vec<_> = sample(upstream).map(|u| (u, mapper.downstream_of(&one(u)))).collect();
    for d in sample(downstream) {
        let needs = mapper.upstream_of(&one(d));
        for (u, needed_by) in &needed_by {
            assert_eq!(needs.subset.contains(*u), needed_by.contains(d), "{mapping:?}: up {u}, down {d}");
        }
        // Whoever misses something is blocked, and nobody else.
        assert_eq!(needs.missing.is_empty(), mapper.blocked(&one(d)).is_empty(), "{mapping:?}: down {d}");
        for key in needs.missing.keys().take(100) {
            assert!(upstream.ordinal(&key).is_err(), "{mapping:?}: {key} exists");
        }
        let _ = needs.missing.to_text(5);
    }
    let _ = mapper.blocked(&downstream.all());
    assert!(upstream.all().contains_all(&mapper.upstream_of(&downstream.all()).subset), "{mapping:?}");
    assert!(downstream.all().contains_all(&mapper.downstream_of(&upstream.all())), "{mapping:?}");
});
