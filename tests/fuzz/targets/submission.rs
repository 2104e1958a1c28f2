//! What is submitted is refused with reasons, or planned.

#![no_main]

use std::sync::{Arc, LazyLock};

use backstitch_coordinator::service::{Submission, preview};
use backstitch_proto::definition::Definitions;
use libfuzzer_sys::fuzz_target;

/// Something of every kind, so that names, partitions, mappings and config of a submission can meet.
const PROJECT: &str = "
partitions:
  days: {kind: daily, start: 2024-01-01, end: 2024-03-01}
  cells: {kind: multi, dimensions: {date: {kind: daily, start: 2024-01-01, end: 2024-03-01}, region: {kind: static, keys: [us, eu]}}}
assets:
  hourly:
    partitions: {kind: hourly, start: 2024-01-05, end: 2024-02-20}
    command: [\"true\"]
  raw: {partitions: days, command: [\"true\"], config: {n: {type: int, default: 3}}, deps: [{asset: hourly, mapping: {kind: time_window, missing: wait}}, {asset: raw, mapping: {kind: time_window, start_offset: -1, end_offset: -1}}]}
  sum: {partitions: cells, command: [\"true\"], deps: [raw]}
  total: {command: [\"true\"], deps: [sum]}
jobs:
  nightly: {select: 'raw+', config: {n: 4}}
";

static DEFINITIONS: LazyLock<Arc<Definitions>> =
    LazyLock::new(|| Arc::new(Definitions::from_yaml("backstitch.yaml", PROJECT).expect("a valid project")));

fuzz_target!(|body: &[u8]| {
    let Ok(submission) = serde_json::from_slice::<Submission>(body) else { return };
    // 2025-06-15T15:06:40Z
    match preview(&submission, &DEFINITIONS, 1_750_000_000_000_000) {
        Ok(plan) => assert_eq!(plan.tasks, plan.assets.iter().map(|asset| asset.tasks).sum::<u64>()),
        Err(error) => assert!(!error.problems.is_empty()),
    }
});
