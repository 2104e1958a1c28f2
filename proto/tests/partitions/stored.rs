//! Subsets at rest, and what happens to them when the definition changes.

use backstitch_proto::partition::{PartitionSubset, Partitions, StoredSubset, StoredSubsetError};

use crate::common::{keys, space, subset};

const NOW: &str = "2024-02-01T00:00:00Z";

fn carried(old: &Partitions, chosen: &[&str], new: &Partitions) -> (Vec<String>, Vec<String>) {
    let over = old.carry_over(&subset(old, chosen), new);
    (new.keys(&over.subset).collect(), old.keys(&over.lost).collect())
}

#[test]
fn what_is_stored_is_read_back_for_the_same_space() {
    let days = space("{kind: daily, start: 2024-01-01}", NOW);
    let stored = StoredSubset::new(&days, days.parse("2024-01-10...2024-01-20").expect("valid"));
    let read = StoredSubset::from_bytes(&stored.to_bytes()).expect("our own bytes");
    assert_eq!(read, stored);
    // The space has grown since; its ordinals still mean the same.
    let later = space("{kind: daily, start: 2024-01-01, end: 2025-01-01}", "2024-06-01T00:00:00Z");
    assert_eq!(
        later.keys(&read.into_subset(&later).expect("same numbering")).next().as_deref(),
        Some("2024-01-10")
    );
}

#[test]
fn the_layout_of_stored_bytes_is_for_ever() {
    let regions = space("{kind: static, keys: [us, eu]}", NOW);
    let bytes = StoredSubset::new(&regions, PartitionSubset::from_range(0..2)).to_bytes();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, GOLDEN);
    assert!(StoredSubset::from_bytes(&bytes).expect("golden").into_subset(&regions).is_ok());
}

#[test]
fn another_space_is_refused_and_says_to_carry_over() {
    let old = space("{kind: static, keys: [us, eu]}", NOW);
    let new = space("{kind: static, keys: [us, fr, eu]}", NOW);
    let stored = StoredSubset::new(&old, old.all());
    let error = stored.into_subset(&new).expect_err("another numbering");
    assert!(matches!(error, StoredSubsetError::OtherSpace { .. }));
    assert!(error.to_string().contains("carry it over by key"));
}

#[test]
fn broken_bytes_are_refused() {
    let stored =
        StoredSubset::new(&Partitions::unpartitioned(), PartitionSubset::from_range(0..1)).to_bytes();
    assert!(matches!(
        StoredSubset::from_bytes(&stored[..10]),
        Err(StoredSubsetError::Truncated { bytes: 10 })
    ));
    assert!(matches!(StoredSubset::from_bytes(&[]), Err(StoredSubsetError::Truncated { bytes: 0 })));
    let mut newer = stored.clone();
    newer[0] = 9;
    assert!(matches!(
        StoredSubset::from_bytes(&newer),
        Err(StoredSubsetError::UnknownVersion { version: 9 })
    ));
    assert!(matches!(StoredSubset::from_bytes(&stored[..20]), Err(StoredSubsetError::Subset(_))));
}

#[test]
fn a_key_added_in_the_middle_moves_nothing() {
    let old = space("{kind: static, keys: [us, eu]}", NOW);
    let new = space("{kind: static, keys: [us, fr, eu]}", NOW);
    assert_eq!(carried(&old, &["eu"], &new), (vec!["eu".into()], vec![]));
    assert_eq!(carried(&new, &["eu", "fr"], &old), (vec!["eu".into()], vec!["fr".into()]));
}

#[test]
fn a_start_that_moves_moves_nothing() {
    let old = space("{kind: daily, start: 2024-01-01}", NOW);
    for start in ["2023-12-01", "2024-01-15"] {
        let new = space(&format!("{{kind: daily, start: {start}}}"), NOW);
        assert_eq!(carried(&old, &["2024-01-20"], &new), (vec!["2024-01-20".into()], vec![]));
    }
    let later = space("{kind: daily, start: 2024-01-15}", NOW);
    assert_eq!(
        carried(&old, &["2024-01-14", "2024-01-15"], &later),
        (vec!["2024-01-15".into()], vec!["2024-01-14".into()])
    );
}

#[test]
fn windows_of_another_zone_are_carried_by_key() {
    let old = space("{kind: hourly, start: 2024-11-01, timezone: America/New_York}", "2024-11-05T00:00:00Z");
    let new = space("{kind: hourly, start: 2024-11-02, timezone: America/Chicago}", "2024-11-05T00:00:00Z");
    let chosen = ["2024-11-03-00:00", "2024-11-03-01:00-0500", "2024-11-03-02:00"];
    let (kept, lost) = carried(&old, &chosen, &new);
    assert_eq!(kept, ["2024-11-03-00:00", "2024-11-03-02:00"]);
    assert_eq!(lost, ["2024-11-03-01:00-0500"]);
}

#[test]
fn cells_are_carried_by_their_parts() {
    let yaml = |regions: &str| {
        format!(
            "{{kind: multi, dimensions: {{date: {{kind: daily, start: 2024-01-30}}, region: {{kind: static, keys: {regions}}}}}}}"
        )
    };
    let (old, new) = (space(&yaml("[us, eu]"), NOW), space(&yaml("[fr, us]"), NOW));
    let all: Vec<String> = keys(&old);
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let (kept, lost) = carried(&old, &all, &new);
    assert_eq!(kept, ["2024-01-30|us", "2024-01-31|us"]);
    assert_eq!(lost, ["2024-01-30|eu", "2024-01-31|eu"]);
}

/// Layout version 1, the fingerprint of `[us, eu]`, the run container 0 to 1.
const GOLDEN: &str = "01b49d350fca6ec09567df203c70b8481d3a30000001000000000001001000000000000100";
