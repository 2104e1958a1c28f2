//! One run over everything, from its submission to its last ledger row; then what the servers do by themselves.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use backstitch_coordinator::service::{Filter, Submission};
use backstitch_proto::id::RunId;
use chrono::Utc;
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

use crate::command::bench::bed::Bed;
use crate::command::bench::limits::{self, Limits, Traffic};
use crate::command::bench::metrics::Scrape;
use crate::command::bench::options::Plan;
use crate::command::bench::project::asset;
use crate::command::bench::samples::{Percentiles, ms};
use crate::command::bench::servers::{Servers, connect};
use crate::command::bench::watch::{Meters, Seen, follow};
use crate::source::Ask;

/// What one run over everything came to.
#[derive(Debug, Serialize)]
pub(super) struct Throughput {
    pub(super) tasks_per_second: f64,
    pub(super) seconds: f64,
    /// From the request to the acknowledgement that the run is durable.
    submit_ms: f64,
    /// From the request to the start of the first task.
    first_task_ms: Option<f64>,
    /// From the decision to send a message until its first task starts.
    dispatch_to_start_ms: Option<Percentiles>,
    /// From the start of the first task of a message until its outcomes are durable.
    start_to_ledger_ms: Option<Percentiles>,
    #[serde(flatten)]
    pub(super) seen: Seen,
    #[serde(flatten)]
    traffic: Traffic,
    tasks_per_message: f64,
    tasks_per_commit: f64,
    commit_ms_mean: f64,
    /// Processor time of the coordinator for one task, microseconds.
    pub(super) coordinator_us_per_task: Option<f64>,
}

#[derive(Serialize)]
struct Figures {
    #[serde(flatten)]
    throughput: Throughput,
    #[serde(flatten)]
    limits: Limits,
}

pub(super) async fn run(plan: &Plan, servers: &Servers) -> Result<(Value, Vec<String>)> {
    let mut bed = Bed::start(plan, servers).await?;
    let throughput = measure(&mut bed, servers).await?;
    let limits = limits::measure(&bed, servers, throughput.traffic, throughput.tasks_per_second).await?;
    let violations = bed.verify().await?;
    Ok((serde_json::to_value(Figures { throughput, limits })?, violations))
}

/// Runs everything once.
pub(super) async fn measure(bed: &mut Bed, servers: &Servers) -> Result<Throughput> {
    let tasks = bed.plan.total();
    let url = bed.server.url().to_owned();
    let before = Scrape::read(&url).await?;
    let meters = Meters::start(bed, servers);

    let (begin, begin_us) = (Instant::now(), Utc::now().timestamp_micros());
    let run = submit(bed).await?;
    let submitted = begin.elapsed();
    let (status, took, seen) = follow(bed, servers, meters, run, begin).await?;
    bed.succeeded(run, status).await?;

    let after = Scrape::read(&url).await?;
    let counted = |name: &str| (after.value(name) - before.value(name)) as u64;
    let timed = |name: &str| after.histogram(name).since(&before.histogram(name));
    let (commit_seconds, commits) = {
        let commits = timed("backstitch_commit_duration_seconds");
        (commits.mean(), commits.count as u64)
    };
    let mean = |bytes: &str, messages: u64| counted(bytes) as f64 / messages.max(1) as f64;
    let (messages, reports) = (counted("backstitch_dispatches_total"), counted("backstitch_reports_total"));
    let traffic = Traffic {
        tasks,
        messages,
        message_bytes: mean("backstitch_dispatches_bytes_total", messages),
        reports,
        report_bytes: mean("backstitch_reports_bytes_total", reports),
        commits,
    };
    let seconds = took.as_secs_f64();
    Ok(Throughput {
        tasks_per_second: tasks as f64 / seconds,
        seconds,
        submit_ms: ms(submitted),
        first_task_ms: first_task(bed, run, begin_us).await?.map(ms),
        dispatch_to_start_ms: timed("backstitch_dispatch_wait_seconds").percentiles_ms(),
        start_to_ledger_ms: timed("backstitch_outcome_delay_seconds").percentiles_ms(),
        tasks_per_message: tasks as f64 / traffic.messages.max(1) as f64,
        tasks_per_commit: tasks as f64 / commits.max(1) as f64,
        commit_ms_mean: commit_seconds * 1e3,
        coordinator_us_per_task: seen.roles.coordinator_cpu_seconds.map(|cpu| cpu * 1e6 / tasks as f64),
        traffic,
        seen,
    })
}

/// Submits a run over every partition of every asset of the chain.
pub(super) async fn submit(bed: &Bed) -> Result<RunId> {
    let last = asset(bed.plan.assets - 1);
    let submission =
        Submission { assets: Some(format!("++{last}")), filter: Filter::All, ..Submission::default() };
    let submitted = bed.server.submit(&submission).await?;
    ensure!(submitted.plan.tasks == bed.plan.total(), "{} tasks were planned", submitted.plan.tasks);
    submitted.run.context("the run is empty")
}

/// From `begin_us` until the first task of a run started.
pub(super) async fn first_task(bed: &Bed, run: RunId, begin_us: i64) -> Result<Option<Duration>> {
    let mut session = connect(&bed.database_url.parse()?).await?;
    let first: Option<i64> = sqlx::query_scalar("SELECT min(started_us) FROM attempts WHERE run_id = $1")
        .bind(run.0)
        .fetch_one(&mut session)
        .await?;
    Ok(first.map(|first| Duration::from_micros((first - begin_us).max(0) as u64)))
}
