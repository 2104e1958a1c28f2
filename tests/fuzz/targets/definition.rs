//! Cron expressions, formats, times and zones never panic.

#![no_main]

use backstitch_proto::partition::{
    Cadence, Exclude, NoDynamicKeys, PartitionsDefinition, TimeWindowPartitions,
};
use chrono::{DateTime, Utc};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|parts: (&str, &str, &str, &str, i16)| {
    let (cron, format, start, exclude, end_offset) = parts;
    let definition = PartitionsDefinition::TimeWindow(TimeWindowPartitions {
        cadence: Cadence::Cron { cron: cron.to_owned() },
        start: start.to_owned(),
        end: None,
        timezone: Some("America/New_York".to_owned()),
        end_offset: i32::from(end_offset),
        format: Some(format.to_owned()),
        exclude: vec![Exclude::When(exclude.to_owned())],
    });
    if definition.validate().is_err() {
        return;
    }
    let now = DateTime::<Utc>::from_timestamp(1_750_000_000, 0).expect("a time");
    let Ok(space) = definition.resolve(now, &NoDynamicKeys) else { return };
    for ordinal in [0, 1, space.len() / 2, space.len().saturating_sub(1)] {
        if let Some(key) = space.key(ordinal) {
            assert_eq!(space.ordinal(&key), Ok(ordinal), "{key}");
        }
    }
});
