//! One large run for a long time, beside a reader that keeps a transaction open: whether commits take longer as history
//! grows, and whether tables grow by more than their rows.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgConnection;
use tokio::time::{Instant, sleep_until};

use super::throughput::submit;
use crate::command::bench::bed::{Bed, POLL};
use crate::command::bench::metrics::Scrape;
use crate::command::bench::options::Plan;
use crate::command::bench::samples::{Percentiles, ms};
use crate::command::bench::servers::{Servers, connect};
use crate::command::bench::watch::{Meters, Roles};
use crate::source::{Ask, Look};

/// Parts of the time, each with figures of its own.
const PARTS: u32 = 10;

/// What went on during one part.
#[derive(Serialize)]
struct Part {
    /// Tasks that had succeeded by its end.
    tasks: u64,
    tasks_per_second: f64,
    commit_ms_mean: f64,
    /// From the start of the first task of a message until its outcomes are durable.
    start_to_ledger_ms: Option<Percentiles>,
    start_to_ledger_ms_mean: f64,
    /// Tables of the ledger with their indexes, by its end, for one task.
    ledger_bytes_per_task: f64,
}

#[derive(Serialize)]
struct Figures {
    seconds: f64,
    tasks_per_second: f64,
    /// Mean time of a commit in the last part against that in the second; the first warms up.
    commit_growth: f64,
    /// Mean time from the start of the first task of a message until its outcomes are durable, the same.
    delay_growth: f64,
    /// Bytes for one task, the same.
    bytes_growth: f64,
    cancel_ms: f64,
    parts: Vec<Part>,
    #[serde(flatten)]
    roles: Roles,
}

pub(super) async fn run(plan: &Plan, servers: &Servers) -> Result<(Value, Vec<String>)> {
    let mut bed = Bed::start(plan, servers).await?;
    let mut meters = Meters::start(&bed, servers);
    let options = bed.database_url.parse()?;
    let (mut reader, mut session) = (connect(&options).await?, connect(&options).await?);
    // It sees the ledger as it is now, so that nothing which dies from now on can be cleaned up.
    sqlx::query("BEGIN ISOLATION LEVEL REPEATABLE READ").execute(&mut reader).await?;
    sqlx::query("SELECT count(*) FROM runs").execute(&mut reader).await?;

    let url = bed.server.url().to_owned();
    let run = submit(&bed).await?;
    let begin = Instant::now();
    let mut parts: Vec<Part> = Vec::new();
    let (mut tasks_before, mut before, mut since) = (0, Scrape::read(&url).await?, begin);
    for part in 1..=PARTS {
        let end = begin + plan.measured_for * part / PARTS;
        while Instant::now() < end {
            sleep_until(end.min(Instant::now() + Duration::from_secs(1))).await;
            meters.look();
            bed.check().await?;
        }
        let view = bed.server.run(run).await?;
        ensure!(!view.status.is_terminal(), "the run has ended already: give more --tasks");
        let (tasks, now) = (view.counts.unwrap_or_default().succeeded, Scrape::read(&url).await?);
        let timed = |name: &str| now.histogram(name).since(&before.histogram(name));
        parts.push(Part {
            tasks,
            tasks_per_second: (tasks - tasks_before) as f64 / since.elapsed().as_secs_f64(),
            commit_ms_mean: timed("backstitch_commit_duration_seconds").mean() * 1e3,
            start_to_ledger_ms: timed("backstitch_outcome_delay_seconds").percentiles_ms(),
            start_to_ledger_ms_mean: timed("backstitch_outcome_delay_seconds").mean() * 1e3,
            ledger_bytes_per_task: ledger_bytes(&mut session).await? as f64 / tasks.max(1) as f64,
        });
        (tasks_before, before, since) = (tasks, now, Instant::now());
    }
    let seconds = begin.elapsed().as_secs_f64();
    let begin = Instant::now();
    bed.server.cancel(run).await?;
    bed.until_ended(run, POLL).await?;
    let growth = |of: fn(&Part) -> f64| match (parts.get(1), parts.last()) {
        (Some(second), Some(last)) if of(second) > 0.0 => of(last) / of(second),
        _ => 0.0,
    };
    let figures = Figures {
        seconds,
        tasks_per_second: tasks_before as f64 / seconds,
        commit_growth: growth(|part| part.commit_ms_mean),
        delay_growth: growth(|part| part.start_to_ledger_ms_mean),
        bytes_growth: growth(|part| part.ledger_bytes_per_task),
        cancel_ms: ms(begin.elapsed()),
        parts,
        roles: meters.usage(),
    };
    drop(reader);
    Ok((serde_json::to_value(figures)?, bed.verify().await?))
}

/// What the tables of the ledger take on disk, indexes included.
async fn ledger_bytes(session: &mut PgConnection) -> Result<i64> {
    let sum = "SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class \
               WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace";
    Ok(sqlx::query_scalar(sum).fetch_one(session).await?)
}
