//! A small run of higher priority every second, as a schedule would submit it, beside a large one: how long its tasks
//! wait.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use backstitch_coordinator::service::{Filter, Submission};
use backstitch_proto::id::RunId;
use chrono::Utc;
use serde::Serialize;
use serde_json::Value;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::throughput::submit;
use crate::command::bench::bed::{Bed, POLL};
use crate::command::bench::options::Plan;
use crate::command::bench::project::URGENT;
use crate::command::bench::samples::{Percentiles, ms};
use crate::command::bench::servers::{Servers, connect};
use crate::command::bench::watch::{Meters, Roles};
use crate::source::{Ask, Look};

/// Tasks of a small run.
const TASKS: usize = 10;

/// The same, as a selection.
const PARTITIONS: &str = "1970-01-01-00:00...1970-01-01-00:09";

/// Time between two small runs.
const SUBMIT_INTERVAL: Duration = Duration::from_secs(1);

/// The large run gets going first.
const WARM_UP: Duration = Duration::from_secs(3);

/// Pause between two looks at a small run. Longer than [`POLL`]: the large run goes on meanwhile, and is measured.
const SMALL_RUN_POLL: Duration = Duration::from_millis(5);

#[derive(Serialize)]
struct Figures {
    runs: usize,
    /// From the request to the acknowledgement that the small run is durable.
    submit_ms: Option<Percentiles>,
    /// From the request to the start of each of its tasks.
    submit_to_start_ms: Option<Percentiles>,
    /// From the request until the run has ended, durably; looked at every few milliseconds.
    submit_to_end_ms: Option<Percentiles>,
    /// Tasks of the large run per second meanwhile.
    tasks_per_second: f64,
    cancel_ms: f64,
    #[serde(flatten)]
    roles: Roles,
}

pub(super) async fn run(plan: &Plan, servers: &Servers) -> Result<(Value, Vec<String>)> {
    let mut bed = Bed::start(plan, servers).await?;
    let mut meters = Meters::start(&bed, servers);
    let large = submit(&bed).await?;
    sleep(WARM_UP).await;
    let (begin, done) = (Instant::now(), succeeded(&bed, large).await?);
    let submission = Submission {
        assets: Some(URGENT.to_owned()),
        partitions: Some(PARTITIONS.to_owned()),
        filter: Filter::All,
        priority: Some(10),
        ..Submission::default()
    };
    let (mut runs, mut accepted, mut ended) = (Vec::new(), Vec::new(), Vec::new());
    let mut ticks = interval(SUBMIT_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while begin.elapsed() < plan.measured_for {
        ticks.tick().await;
        let (asked, asked_us) = (Instant::now(), Utc::now().timestamp_micros());
        let run = bed.server.submit(&submission).await?.run.context("the run is empty")?;
        accepted.push(asked.elapsed());
        bed.until_ended(run, SMALL_RUN_POLL).await?;
        ended.push(asked.elapsed());
        runs.push((run, asked_us));
        meters.look();
        bed.check().await?;
    }
    let (seconds, went) = (begin.elapsed().as_secs_f64(), succeeded(&bed, large).await? - done);
    let begin = Instant::now();
    ensure!(!bed.server.run(large).await?.status.is_terminal(), "the large run has ended: give more --tasks");
    bed.server.cancel(large).await?;
    bed.until_ended(large, POLL).await?;
    let figures = Figures {
        runs: runs.len(),
        submit_ms: Percentiles::of(accepted),
        submit_to_start_ms: Percentiles::of(waits(&bed, &runs).await?),
        submit_to_end_ms: Percentiles::of(ended),
        tasks_per_second: went as f64 / seconds,
        cancel_ms: ms(begin.elapsed()),
        roles: meters.usage(),
    };
    Ok((serde_json::to_value(figures)?, bed.verify().await?))
}

async fn succeeded(bed: &Bed, run: RunId) -> Result<u64> {
    Ok(bed.server.run(run).await?.counts.unwrap_or_default().succeeded)
}

/// From the request of each run to the start of each of its tasks.
async fn waits(bed: &Bed, runs: &[(RunId, i64)]) -> Result<Vec<Duration>> {
    let mut session = connect(&bed.database_url.parse()?).await?;
    let mut waits = Vec::with_capacity(runs.len() * TASKS);
    for (run, asked_us) in runs {
        let starts: Vec<i64> = sqlx::query_scalar("SELECT started_us FROM attempts WHERE run_id = $1")
            .bind(run.0)
            .fetch_all(&mut session)
            .await?;
        ensure!(starts.len() == TASKS, "run {run} has {} attempts", starts.len());
        waits.extend(starts.iter().map(|start| Duration::from_micros((start - asked_us).max(0) as u64)));
    }
    Ok(waits)
}
