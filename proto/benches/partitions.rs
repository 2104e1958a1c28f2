//! What ten million partitions cost: `cargo bench -p backstitch-proto --bench partitions`.
//!
//! The same work in Dagster 1.13.28, where it can do it, stands behind ours in the output; its figures are
//! measured by `measure_dagster.py` beside this file on the machine that `dagster-figures.txt` names. Targets
//! are in the names of the groups. A benchmark, not a test: nothing here fails.

use std::hint::black_box;
use std::time::Duration;

use backstitch_proto::mapping::{Mapper, infer};
use backstitch_proto::partition::{NoDynamicKeys, PartitionSubset, Partitions, PartitionsDefinition};
use chrono::{DateTime, TimeZone, Utc};
use criterion::{Criterion, Throughput};

const DAGSTER_FIGURES: &str = include_str!("dagster-figures.txt");

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

/// 1,000 x 10,000 cells.
fn cells() -> PartitionsDefinition {
    let keys =
        |prefix: &str, count: u32| (0..count).map(|n| format!("{prefix}{n}")).collect::<Vec<_>>().join(", ");
    let yaml = format!(
        "{{kind: multi, dimensions: {{customer: {{kind: static, keys: [{}]}}, product: {{kind: static, keys: [{}]}}}}}}",
        keys("c", 1_000),
        keys("p", 10_000)
    );
    definition(&yaml)
}

fn building(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("build a space of 10 million (< 1 ms)");
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
    let mut group = criterion.benchmark_group("key to ordinal (< 1 us for fixed cadence)");
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
    let mut group = criterion.benchmark_group("fragmented subsets of 10 million (< 5 ms)");
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

fn mapping(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("upstream_of everything (< 50 ms)");
    let bound = |up: &str, down: &str| {
        let mapping = infer(&definition(up), &definition(down)).expect("inferable");
        let (up, down) = (space(up), space(down));
        (Mapper::new(&mapping, &up, &down).expect("bindable"), up, down)
    };
    for (name, up, down) in [
        ("hourly -> daily, 19 years", HOURLY, DAILY),
        ("hourly -> daily, 9 million hours", HOURLY_TEN_MILLION, DAILY_SINCE_1000),
        ("minutely -> daily, 10 million minutes", MINUTELY, DAILY),
        ("daily -> minutely, 10 million minutes", DAILY, MINUTELY),
    ] {
        let (mapper, upstream, downstream) = bound(up, down);
        let (all_up, all_down) = (upstream.all(), downstream.all());
        group.bench_function(name, |bencher| bencher.iter(|| mapper.upstream_of(&all_down)));
        group.bench_function(format!("{name}: downstream_of"), |bencher| {
            bencher.iter(|| mapper.downstream_of(&all_up));
        });
        let every_second: PartitionSubset = all_down.iter().take(100_000).filter(|n| n % 2 == 0).collect();
        group.bench_function(format!("{name}: every second of 100,000"), |bencher| {
            bencher.iter(|| mapper.upstream_of(&every_second));
        });
    }
    group.finish();
}

fn reading(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("text of 10 million");
    let minutes = space(MINUTELY);
    for text in ["2010-01-01-00:00...2020-12-31-23:59", "latest:1000000", "2010-06-*", "*-06-01-12:00"] {
        group.bench_function(text, |bencher| bencher.iter(|| minutes.parse(text)));
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(20)
        .configure_from_args();
    building(&mut criterion);
    looking_up(&mut criterion);
    combining(&mut criterion);
    mapping(&mut criterion);
    reading(&mut criterion);
    criterion.final_summary();
    println!("{DAGSTER_FIGURES}");
}
