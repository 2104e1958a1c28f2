//! One large run in the hands of somebody who changes their mind: submitted, paused, resumed, moved to another priority
//! class, cancelled. Each is timed until it is durable, the last until the run has ended.

use std::time::Duration;

use anyhow::{Result, ensure};
use backstitch_coordinator::ledger::RunStatus;
use serde::Serialize;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::throughput::{first_task, submit};
use crate::command::bench::bed::{Bed, POLL};
use crate::command::bench::options::Plan;
use crate::command::bench::project::asset;
use crate::command::bench::samples::{Percentiles, ms};
use crate::command::bench::servers::Servers;
use crate::command::bench::show::show;
use crate::command::bench::watch::{Meters, Roles};
use crate::source::{Ask, Look};

/// Looks at the run while it goes.
const LOOKS: u32 = 100;

/// Looks of which one is made by a process of its own too.
const SHOW_EVERY: u32 = 5;

/// Pause between two looks, and after each request, so that the run goes on in between.
const PAUSE: Duration = Duration::from_millis(20);

#[derive(Serialize)]
struct Figures {
    submit_ms: f64,
    first_task_ms: Option<f64>,
    runs_show_ms: Option<Percentiles>,
    runs_show_process_ms: Option<Percentiles>,
    partition_status_ms: Option<Percentiles>,
    pause_ms: f64,
    resume_ms: f64,
    reprioritise_ms: f64,
    /// Until the run is terminal.
    cancel_ms: f64,
    /// Tasks that had succeeded by then.
    succeeded: u64,
    #[serde(flatten)]
    roles: Roles,
}

pub(super) async fn run(plan: &Plan, servers: &Servers) -> Result<(Value, Vec<String>)> {
    let bed = Bed::start(plan, servers).await?;
    let mut meters = Meters::start(&bed, servers);
    let (begin, begin_us) = (Instant::now(), chrono::Utc::now().timestamp_micros());
    let run = submit(&bed).await?;
    let submit_ms = ms(begin.elapsed());

    let (mut runs_show, mut processes, mut partition_status) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..LOOKS {
        let begin = Instant::now();
        ensure!(
            !bed.server.run(run).await?.status.is_terminal(),
            "the run has ended already: give more --tasks"
        );
        runs_show.push(begin.elapsed());
        let begin = Instant::now();
        bed.server.partitions(&asset(0)).await?;
        partition_status.push(begin.elapsed());
        if number.is_multiple_of(SHOW_EVERY) {
            processes.push(show(&bed, run).await?);
        }
        sleep(PAUSE).await;
    }
    let pause_ms = timed(bed.server.pause(run, true)).await?;
    let resume_ms = timed(bed.server.pause(run, false)).await?;
    let reprioritise_ms = timed(bed.server.reprioritise(run, 7)).await?;
    let begin = Instant::now();
    bed.server.cancel(run).await?;
    let view = bed.until_ended(run, POLL).await?;
    let cancel_ms = ms(begin.elapsed());
    ensure!(view.status == RunStatus::Cancelled, "the run ended as {}: give more --tasks", view.status);
    let figures = Figures {
        submit_ms,
        first_task_ms: first_task(&bed, run, begin_us).await?.map(ms),
        runs_show_ms: Percentiles::of(runs_show),
        runs_show_process_ms: Percentiles::of(processes),
        partition_status_ms: Percentiles::of(partition_status),
        pause_ms,
        resume_ms,
        reprioritise_ms,
        cancel_ms,
        succeeded: view.counts.unwrap_or_default().succeeded,
        roles: meters.usage(),
    };
    Ok((serde_json::to_value(figures)?, bed.verify().await?))
}

/// Milliseconds until a request is acknowledged; then lets the run go on for a moment.
async fn timed(request: impl Future<Output = Result<()>>) -> Result<f64> {
    let begin = Instant::now();
    request.await?;
    let took = ms(begin.elapsed());
    sleep(PAUSE).await;
    Ok(took)
}
