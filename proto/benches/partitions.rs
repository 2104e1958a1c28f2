//! What ten million partitions cost: `cargo bench -p backstitch-proto --bench partitions`.
//!
//! Ends with a table of what was measured, the target, and what Dagster 1.13.28 takes for the same work where it can do
//! it; its figures are measured by `measure_dagster.py` beside this file on the machine that `dagster-figures.txt` names.
//! A benchmark, not a test: nothing here fails.

mod table;

use std::hint::black_box;
use std::time::{Duration, SystemTime};

use backstitch_proto::mapping::{Mapper, infer};
use backstitch_proto::partition::{NoDynamicKeys, PartitionSubset, Partitions, PartitionsDefinition};
use chrono::{DateTime, TimeZone, Utc};
use criterion::{Criterion, Throughput};

use table::Row;

const BUILDING: &str = "build a space of 10 million (< 1 ms)";
const LOOKING_UP: &str = "key to ordinal (< 1 us for fixed cadence)";
const COMBINING: &str = "fragmented subsets of 10 million (< 5 ms)";
const COMBINING_CELLS: &str = "fragmented cells of 1,000 x 10,000 (< 5 ms)";
const MAPPING: &str = "mapping everything (< 50 ms)";
const READING: &str = "text of 10 million";

/// What the table shows: group and name of the benchmark, the target, and the name of Dagster's figure.
const ROWS: [Row; 22] = [
    Row(BUILDING, "minutely over 19 years", "< 1 ms", "count: minutely over 19 years (10 million)"),
    Row(BUILDING, "workdays every 5 minutes over 19 years", "< 1 ms", ""),
    Row(BUILDING, "1,000 x 10,000 cells", "< 1 ms", "build and count: 1,000 x 10,000 cells"),
    Row(LOOKING_UP, "minutely", "< 1 us", "is it a key: minutely"),
    Row(LOOKING_UP, "hourly", "< 1 us", "ordinal of a key: hourly (by listing the keys)"),
    Row(LOOKING_UP, "daily", "< 1 us", ""),
    Row(LOOKING_UP, "workdays", "", ""),
    Row(LOOKING_UP, "cells", "", ""),
    Row(COMBINING, "union", "< 5 ms", "union: fragmented, 500 and 333 thousand of 1 million static keys"),
    Row(
        COMBINING,
        "difference",
        "< 5 ms",
        "difference: fragmented, 20 and 10 thousand of 167 thousand hours",
    ),
    Row(COMBINING_CELLS, "union", "< 5 ms", "union: fragmented, 17 and 33 thousand of 100 x 1,000 cells"),
    Row(
        COMBINING_CELLS,
        "difference",
        "< 5 ms",
        "difference: fragmented, 17 and 33 thousand of 100 x 1,000 cells",
    ),
    Row(
        MAPPING,
        "upstream_of, hourly -> daily, 19 years",
        "< 50 ms",
        "upstream_of everything: hourly -> daily, 19 years",
    ),
    Row(
        MAPPING,
        "downstream_of, hourly -> daily, 19 years",
        "",
        "downstream_of everything: hourly -> daily, 19 years",
    ),
    Row(
        MAPPING,
        "upstream_of every second of 100,000, hourly -> daily, 19 years",
        "",
        "upstream_of every second day: hourly -> daily, 19 years",
    ),
    Row(MAPPING, "upstream_of, hourly -> daily, 9 million hours", "< 50 ms", ""),
    Row(MAPPING, "upstream_of, minutely -> daily, 10 million minutes", "< 50 ms", ""),
    Row(MAPPING, "upstream_of, daily -> minutely, 10 million minutes", "< 50 ms", ""),
    Row(
        MAPPING,
        "upstream_of, cells -> customers, 10 million cells",
        "< 50 ms",
        "upstream_of everything: 100 x 1,000 cells -> customers",
    ),
    Row(
        MAPPING,
        "downstream_of, cells -> customers, 10 million cells",
        "",
        "downstream_of everything: 100 x 1,000 cells -> customers",
    ),
    Row(MAPPING, "upstream_of, cells -> products, 10 million cells", "< 50 ms", ""),
    Row(READING, "2010-06-*", "", ""),
];

/// Ten million minutes: nineteen years, in a zone whose clocks change twice a year.
const MINUTELY: &str = "{kind: cron, cron: '* * * * *', start: 2005-01-01, timezone: America/New_York}";
const HOURLY: &str = "{kind: hourly, start: 2005-01-01, timezone: America/New_York}";
const DAILY: &str = "{kind: daily, start: 2005-01-01, timezone: America/New_York}";
const WORKDAYS: &str =
    "{kind: cron, cron: '*/5 9-17 * * mon-fri', start: 2005-01-01, timezone: America/New_York}";
/// Ten million hours are eleven centuries.
const HOURLY_TEN_MILLION: &str = "{kind: hourly, start: 1000-01-01}";
const DAILY_SINCE_1000: &str = "{kind: daily, start: 1000-01-01}";

fn now() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2024, 1, 10, 12, 0, 0).single().unwrap_or_default()
}

fn definition(yaml: &str) -> PartitionsDefinition {
    serde_saphyr::from_str(yaml).expect("a definition")
}

fn resolve(definition: &PartitionsDefinition) -> Partitions {
    definition.resolve(now(), &NoDynamicKeys).expect("valid")
}

fn space(yaml: &str) -> Partitions {
    resolve(&definition(yaml))
}

/// So many keys.
fn keys(prefix: &str, count: u32) -> String {
    let keys: Vec<String> = (0..count).map(|n| format!("{prefix}{n}")).collect();
    format!("{{kind: static, keys: [{}]}}", keys.join(", "))
}

const CUSTOMERS: u32 = 1_000;
const PRODUCTS: u32 = 10_000;

/// 1,000 x 10,000 cells.
fn cells() -> PartitionsDefinition {
    let (customers, products) = (keys("c", CUSTOMERS), keys("p", PRODUCTS));
    definition(&format!("{{kind: multi, dimensions: {{customer: {customers}, product: {products}}}}}"))
}

fn building(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group(BUILDING);
    for (name, yaml) in
        [("minutely over 19 years", MINUTELY), ("workdays every 5 minutes over 19 years", WORKDAYS)]
    {
        let definition = definition(yaml);
        group.bench_function(name, |bencher| bencher.iter(|| black_box(resolve(&definition)).len()));
    }
    let cells = cells();
    group.bench_function("1,000 x 10,000 cells", |bencher| bencher.iter(|| black_box(resolve(&cells)).len()));
    group.finish();
}

fn looking_up(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group(LOOKING_UP);
    let cells = resolve(&cells());
    for (name, space) in [
        ("minutely", space(MINUTELY)),
        ("hourly", space(HOURLY)),
        ("daily", space(DAILY)),
        ("workdays", space(WORKDAYS)),
        ("cells", cells),
    ] {
        let keys: Vec<String> =
            (0..1_000u32).filter_map(|n| space.key(n.wrapping_mul(2_654_435_761) % space.len())).collect();
        let mut turn = keys.iter().cycle();
        group.bench_function(name, |bencher| bencher.iter(|| space.ordinal(turn.next().expect("endless"))));
        let mut ordinals = (0..u32::MAX).map(|n| n.wrapping_mul(2_654_435_761) % space.len());
        group.bench_function(format!("{name}: ordinal to key"), |bencher| {
            bencher.iter(|| space.key(ordinals.next().expect("endless")));
        });
    }
    group.finish();
}

fn combining(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group(COMBINING);
    group.throughput(Throughput::Elements(10_000_000));
    let scattered = |seed: u32| -> PartitionSubset {
        (0..10_000_000u32).filter(|n| (n ^ seed).wrapping_mul(2_654_435_761) >> 31 == 0).collect()
    };
    let (a, b) = (scattered(1), scattered(77));
    group.bench_function("union", |bencher| bencher.iter(|| a.union(&b)));
    group.bench_function("intersection", |bencher| bencher.iter(|| a.intersection(&b)));
    group.bench_function("difference", |bencher| bencher.iter(|| a.difference(&b)));
    group.bench_function("count", |bencher| bencher.iter(|| a.len()));
    let bytes = a.to_bytes();
    group.bench_function("to bytes", |bencher| bencher.iter(|| a.to_bytes()));
    group.bench_function("from bytes", |bencher| bencher.iter(|| PartitionSubset::from_bytes(&bytes)));
    group.finish();
}

fn combining_cells(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group(COMBINING_CELLS);
    group.throughput(Throughput::Elements(u64::from(CUSTOMERS * PRODUCTS)));
    let cells = resolve(&cells());
    let of = |chosen: fn(u32, u32) -> bool| -> PartitionSubset {
        (0..cells.len()).filter(|cell| chosen(cell / PRODUCTS, cell % PRODUCTS)).collect()
    };
    // No two cells of either stand side by side for long, along neither dimension.
    let a = of(|customer, product| customer % 3 == 0 && product % 2 == 0);
    let b = of(|customer, product| customer % 2 == 0 && product % 3 != 0);
    group.bench_function("union", |bencher| bencher.iter(|| a.union(&b)));
    group.bench_function("difference", |bencher| bencher.iter(|| a.difference(&b)));
    group.finish();
}

fn mapping(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group(MAPPING);
    let bound = |up: &PartitionsDefinition, down: &PartitionsDefinition| {
        let mapping = infer(up, down).expect("inferable");
        let (up, down) = (resolve(up), resolve(down));
        (Mapper::new(&mapping, &up, &down).expect("bindable"), up, down)
    };
    for (name, up, down) in [
        ("hourly -> daily, 19 years", definition(HOURLY), definition(DAILY)),
        ("hourly -> daily, 9 million hours", definition(HOURLY_TEN_MILLION), definition(DAILY_SINCE_1000)),
        ("minutely -> daily, 10 million minutes", definition(MINUTELY), definition(DAILY)),
        ("daily -> minutely, 10 million minutes", definition(DAILY), definition(MINUTELY)),
        ("cells -> customers, 10 million cells", cells(), definition(&keys("c", CUSTOMERS))),
        ("cells -> products, 10 million cells", cells(), definition(&keys("p", PRODUCTS))),
    ] {
        let (mapper, upstream, downstream) = bound(&up, &down);
        let (all_up, all_down) = (upstream.all(), downstream.all());
        group.bench_function(format!("upstream_of, {name}"), |bencher| {
            bencher.iter(|| mapper.upstream_of(&all_down));
        });
        group.bench_function(format!("downstream_of, {name}"), |bencher| {
            bencher.iter(|| mapper.downstream_of(&all_up));
        });
        let every_second: PartitionSubset = all_down.iter().take(100_000).filter(|n| n % 2 == 0).collect();
        group.bench_function(format!("upstream_of every second of 100,000, {name}"), |bencher| {
            bencher.iter(|| mapper.upstream_of(&every_second));
        });
    }
    group.finish();
}

fn reading(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group(READING);
    let minutes = space(MINUTELY);
    for text in ["2010-01-01-00:00...2020-12-31-23:59", "latest:1000000", "2010-06-*", "*-06-01-12:00"] {
        group.bench_function(text, |bencher| bencher.iter(|| minutes.parse(text)));
    }
    group.finish();
}

fn main() {
    let begun = SystemTime::now();
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(20)
        .configure_from_args();
    building(&mut criterion);
    looking_up(&mut criterion);
    combining(&mut criterion);
    combining_cells(&mut criterion);
    mapping(&mut criterion);
    reading(&mut criterion);
    criterion.final_summary();
    table::print(&ROWS, begun);
}
