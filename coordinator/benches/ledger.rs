//! How many finished tasks a second the ledger takes: an attempt, the state of its partition and the progress of the
//! run for each, committed by itself. Prints; judges nothing.
//!
//! ```sh
//! BENCH_DATABASE_URL=postgres://... BENCH_TASKS=1000000 cargo bench -p backstitch-coordinator --bench ledger
//! ```
//!
//! Each ledger is left with its rows; use a database for the purpose. Without `BENCH_DATABASE_URL` only SQLite is
//! measured, in a temporary folder.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backstitch_coordinator::ledger::{
    Address, AttemptRecord, Batch, Candidate, DispatchRecord, Ledger, PlannedAsset, RunRecord, connect,
    migrate,
};
use backstitch_proto::id::{DispatchId, Epoch, RunId, WorkerId};
use backstitch_proto::partition::PartitionSubset;
use uuid::Uuid;

/// Tasks per batch: one alone, what a busy coordinator collects, and more than it ever does.
const BATCH_TASKS: [u32; 4] = [1, 100, 1_000, 10_000];
/// When everything happens, microseconds since the Unix epoch.
const NOW_US: i64 = 1_700_000_000_000_000;
/// A size is measured for so long at most.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let tasks = std::env::var("BENCH_TASKS").map_or(Ok(200_000), |tasks| tasks.parse())?;
    println!(
        "{:<10} {:>12} {:>10} {:>10} {:>12} {:>10} {:>10}",
        "ledger", "tasks/batch", "tasks", "seconds", "tasks/s", "p50 ms", "p99 ms"
    );
    let folder = tempfile::tempdir()?;
    measure("sqlite", &Address::sqlite(folder.path().join("ledger.db")), tasks).await?;
    if let Ok(url) = std::env::var("BENCH_DATABASE_URL") {
        measure("postgres", &url.parse()?, tasks).await?;
    }
    Ok(())
}

async fn measure(name: &str, address: &Address, tasks: u32) -> Result<(), Box<dyn Error>> {
    migrate(address).await?;
    let ledger = connect(address).await?;
    let candidate = Candidate { name: "bench".to_owned(), api_address: String::new() };
    let term = ledger.lead(&candidate).await?;
    for size in BATCH_TASKS {
        let (done, latencies) = run(&*ledger, term.epoch(), tasks, size).await?;
        let seconds = latencies.iter().sum::<Duration>().as_secs_f64();
        let at =
            |quantile: f64| latencies[(quantile * (latencies.len() - 1) as f64) as usize].as_secs_f64() * 1e3;
        println!(
            "{name:<10} {size:>12} {done:>10} {seconds:>10.2} {:>12.0} {:>10.2} {:>10.2}",
            f64::from(done) / seconds,
            at(0.5),
            at(0.99)
        );
    }
    let begin = Instant::now();
    let live = ledger.load_live().await?;
    println!(
        "{name:<10} loads {} live runs in {:.1} ms",
        live.runs.len(),
        begin.elapsed().as_secs_f64() * 1e3
    );
    term.resign().await;
    Ok(())
}

/// Commits the results of a run of its own, batch after batch, with the dispatches of the next one. Returns how many
/// tasks were committed, and the sorted times of the commits.
async fn run(
    ledger: &dyn Ledger,
    epoch: Epoch,
    tasks: u32,
    size: u32,
) -> Result<(u32, Vec<Duration>), Box<dyn Error>> {
    let asset: Arc<str> = format!("bench_{size}_{epoch}").into();
    let run = submission(&asset, tasks);
    let id = run.id;
    ledger.commit(epoch, &Batch { runs: vec![run], ..Batch::default() }).await?;
    // Ids of dispatches of different sizes must not meet.
    let mut dispatch = DispatchId(DispatchId::before_first_of(epoch).0 + u64::from(size) * 10_000_000);
    let (mut latencies, mut done) = (Vec::new(), 0);
    let begin = Instant::now();
    while done < tasks && begin.elapsed() < PATIENCE {
        let ordinals = done..(done + size).min(tasks);
        let closed = dispatch;
        dispatch = dispatch.next();
        let batch = Batch {
            dispatches: vec![DispatchRecord {
                id: dispatch,
                run: id,
                asset_index: 0,
                attempt: 1,
                announce_start: false,
                created_us: 1_700_000_000_000_000,
                ordinals: PartitionSubset::from_range(ordinals.clone()),
            }],
            closed: vec![closed],
            attempts: ordinals.clone().map(|ordinal| attempt(id, &asset, ordinal, dispatch)).collect(),
            confirmed_through: closed,
            ..Batch::default()
        };
        let begin = Instant::now();
        ledger.commit(epoch, &batch).await?;
        latencies.push(begin.elapsed());
        done = ordinals.end;
    }
    latencies.sort_unstable();
    Ok((done, latencies))
}

fn submission(asset: &Arc<str>, tasks: u32) -> RunRecord {
    let assets = vec![PlannedAsset { asset: asset.clone(), targets: PartitionSubset::from_range(0..tasks) }];
    RunRecord::backfill(RunId(Uuid::now_v7()), "bench".to_owned(), NOW_US, assets)
}

fn attempt(run: RunId, asset: &Arc<str>, ordinal: u32, dispatch: DispatchId) -> AttemptRecord {
    AttemptRecord {
        worker: Some(WorkerId(Uuid::from_u128(1))),
        trace_id: Some([1; 16]),
        ..AttemptRecord::succeeded(run, asset.clone(), ordinal, format!("p{ordinal:08}"), dispatch, NOW_US)
    }
}
