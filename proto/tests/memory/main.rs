//! Ten million partitions never cost ten million keys: what everything costs in memory, counted.
//!
//! A program of its own, because it counts every allocation of the process: tests beside it would be counted too.

#![allow(unsafe_code, reason = "an allocator cannot be counted without being one")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use backstitch_proto::mapping::{Mapper, infer};
use backstitch_proto::partition::{
    NoDynamicKeys, PartitionSubset, Partitions, PartitionsDefinition, StoredSubset,
};
use chrono::{DateTime, Utc};

/// Ten million keys of sixteen bytes are 160 MB before any overhead. Two fragmented subsets and their bytes are
/// 4 MB; nothing else may come near that.
const PEAK_BYTES: usize = 16 << 20;

const MINUTELY: &str = "{kind: cron, cron: '* * * * *', start: 2005-01-01, timezone: America/New_York}";
const DAILY: &str = "{kind: daily, start: 2005-01-01, timezone: America/New_York}";
const CELLS: &str = "{kind: multi, dimensions: {hour: {kind: hourly, start: 2023-11-20}, customer: {kind: static, keys: [KEYS]}}}";

/// The system's allocator, counted.
struct Counted;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn grown(bytes: usize) {
    let now = NOW.fetch_add(bytes, Ordering::Relaxed) + bytes;
    PEAK.fetch_max(now, Ordering::Relaxed);
}

// SAFETY: every call is passed on unchanged to the system's allocator; counting allocates nothing.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grown(layout.size());
        // SAFETY: the caller's promise about the layout is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the block came from `alloc` with this layout, so from the system's allocator.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static COUNTED: Counted = Counted;

/// Does the work and returns how far memory rose above what was held before.
fn peak_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = NOW.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let done = work();
    (done, PEAK.load(Ordering::Relaxed) - before)
}

fn space(yaml: &str) -> Partitions {
    let definition: PartitionsDefinition = serde_saphyr::from_str(yaml).expect("a definition");
    definition.resolve(now(), &NoDynamicKeys).expect("valid")
}

fn now() -> DateTime<Utc> {
    "2024-01-10T12:00:00Z".parse().expect("a time")
}

/// Half of everything, without a pattern that compresses.
fn scattered(space: &Partitions, seed: u32) -> PartitionSubset {
    (0..space.len()).filter(|n| (n ^ seed).wrapping_mul(2_654_435_761) >> 31 == 0).collect()
}

fn within(what: &str, peak: usize) {
    println!("{what:<60} {:>9.3} MB", peak as f64 / 1e6);
    assert!(peak <= PEAK_BYTES, "{what}: {peak} bytes");
}

#[test]
fn ten_million_partitions_are_worked_on_in_a_few_megabytes() {
    // One after the other: tests of one program run side by side, and everything is counted.
    subsets_and_keys();
    mappings();
}

fn subsets_and_keys() {
    let customers: Vec<String> = (0..8_000).map(|n| format!("c{n}")).collect();
    let cells = CELLS.replace("KEYS", &customers.join(", "));
    for (name, yaml, pattern) in
        [("minutes", MINUTELY, "*-06-01-12:00"), ("cells", cells.as_str(), "customer=c1* & hour=2024-01-*")]
    {
        let (space, peak) = peak_of(|| space(yaml));
        within(&format!("{name}: build"), peak);
        assert!(space.len() > 9_800_000, "{}", space.len());

        let ((), peak) = peak_of(|| {
            for ordinal in (0..space.len()).step_by(9_973) {
                let key = space.key(ordinal).expect("below len");
                assert_eq!(space.ordinal(&key), Ok(ordinal));
            }
        });
        within(&format!("{name}: key to ordinal and back, a thousand times"), peak);

        let (a, peak) = peak_of(|| scattered(&space, 1));
        within(&format!("{name}: a fragmented half of them"), peak);
        let b = scattered(&space, 77);
        let (_, peak) = peak_of(|| (a.union(&b), a.difference(&b), a.complement(&space)));
        within(&format!("{name}: union, difference and complement, all three held"), peak);

        let (pages, peak) = peak_of(|| {
            let (mut cursor, mut pages) = (None, 0);
            loop {
                let page = a.page(cursor, 100_000);
                pages += page.ordinals.len();
                assert!(page.ordinals.iter().step_by(50).all(|ordinal| space.key(*ordinal).is_some()));
                match page.next_cursor {
                    Some(next) => cursor = Some(next),
                    None => break pages,
                }
            }
        });
        within(&format!("{name}: the half page by page"), peak);
        assert_eq!(pages as u64, a.len());

        let (selected, peak) = peak_of(|| space.parse(pattern).expect("a selection"));
        within(&format!("{name}: {pattern}"), peak);
        assert!(!selected.is_empty());

        let (bytes, peak) = peak_of(|| StoredSubset::new(&space, a.clone()).to_bytes());
        within(&format!("{name}: to bytes"), peak);
        let (again, peak) = peak_of(|| StoredSubset::from_bytes(&bytes).expect("our own bytes"));
        within(&format!("{name}: from bytes"), peak);
        assert_eq!(again.into_subset(&space).expect("the same space"), a);
    }
}

fn mappings() {
    let definition =
        |yaml: &str| -> PartitionsDefinition { serde_saphyr::from_str(yaml).expect("a definition") };
    let mapping = infer(&definition(MINUTELY), &definition(DAILY)).expect("inferable");
    let (minutes, days) = (space(MINUTELY), space(DAILY));
    let (mapper, peak) = peak_of(|| Mapper::new(&mapping, &minutes, &days).expect("bindable"));
    within("minutes -> days: bind", peak);
    let (upstream, peak) = peak_of(|| mapper.upstream_of(&days.all()));
    within("minutes -> days: upstream_of everything", peak);
    assert!(upstream.subset.len() > 9_900_000);
    let every_second: PartitionSubset = (0..days.len()).filter(|day| day % 2 == 0).collect();
    let (_, peak) = peak_of(|| mapper.upstream_of(&every_second));
    within("minutes -> days: upstream_of every second day", peak);
    let (_, peak) = peak_of(|| mapper.downstream_of(&minutes.all()));
    within("minutes -> days: downstream_of everything", peak);
}
