//! The selection grammar never panics, and what it selects reads back.

#![no_main]

use std::sync::LazyLock;

use backstitch_proto::partition::{
    Cadence, MultiPartitions, NoDynamicKeys, Partitions, PartitionsDefinition, TimeWindowPartitions,
};
use chrono::{DateTime, Utc};
use libfuzzer_sys::fuzz_target;

static SPACES: LazyLock<Vec<Partitions>> = LazyLock::new(|| {
    let days = PartitionsDefinition::TimeWindow(TimeWindowPartitions {
        cadence: Cadence::Daily { hour_offset: 0, minute_offset: 0 },
        start: "2024-01-01".to_owned(),
        end: Some("2024-03-01".to_owned()),
        timezone: None,
        end_offset: 0,
        format: None,
        exclude: Vec::new(),
    });
    let regions = PartitionsDefinition::of_keys(["us", "eu", "a, b", "all", "say \"hi\""]);
    let dimensions = [("date".to_owned(), days.clone()), ("region".to_owned(), regions.clone())].into();
    let cells = MultiPartitions { dimensions, primary: None, only: Vec::new(), except: Vec::new() };
    let now = DateTime::<Utc>::from_timestamp(1_750_000_000, 0).expect("a time");
    [days, regions, PartitionsDefinition::Multi(cells)]
        .iter()
        .map(|definition| definition.resolve(now, &NoDynamicKeys).expect("valid"))
        .collect()
});

fuzz_target!(|text: &str| {
    for space in SPACES.iter() {
        if let Ok(subset) = space.parse(text)
            && !subset.is_empty()
        {
            let again = space.format_ranges(&subset, usize::MAX);
            assert_eq!(space.parse(&again), Ok(subset), "{again}");
        }
    }
});
