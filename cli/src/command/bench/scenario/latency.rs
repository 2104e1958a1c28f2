//! Single tasks on an idle system, one after the other: from the request until the ledger has the outcome.

use anyhow::{Context, Result, ensure};
use backstitch_coordinator::service::{Filter, Submission};
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

use crate::command::bench::bed::{Bed, POLL};
use crate::command::bench::options::Plan;
use crate::command::bench::project::URGENT;
use crate::command::bench::samples::Percentiles;
use crate::command::bench::servers::Servers;
use crate::source::Ask;

/// Submissions that are measured at most: enough for a percentile of 99.
const SUBMISSIONS_MAX: u64 = 1_000;

/// Submissions before those that are measured.
const WARM_UP: u64 = 20;

#[derive(Serialize)]
struct Figures {
    /// From the request to the acknowledgement that the run is durable.
    submit_ms: Option<Percentiles>,
    /// From the request until the run has ended, durably.
    submit_to_ledger_ms: Option<Percentiles>,
}

pub(super) async fn run(plan: &Plan, servers: &Servers) -> Result<(Value, Vec<String>)> {
    let bed = Bed::start(plan, servers).await?;
    let submission = Submission {
        assets: Some(URGENT.to_owned()),
        partitions: Some("1970-01-01-00:00".to_owned()),
        filter: Filter::All,
        ..Submission::default()
    };
    let (mut accepted, mut recorded) = (Vec::new(), Vec::new());
    for number in 0..WARM_UP + plan.tasks.min(SUBMISSIONS_MAX) {
        let begin = Instant::now();
        let run = bed.server.submit(&submission).await?.run.context("the run is empty")?;
        let acknowledged = begin.elapsed();
        let view = bed.until_ended(run, POLL).await?;
        let took = begin.elapsed();
        ensure!(view.counts.is_some_and(|counts| counts.succeeded == 1), "run {run} did not succeed");
        if number >= WARM_UP {
            accepted.push(acknowledged);
            recorded.push(took);
        }
    }
    let figures =
        Figures { submit_ms: Percentiles::of(accepted), submit_to_ledger_ms: Percentiles::of(recorded) };
    Ok((serde_json::to_value(figures)?, bed.verify().await?))
}
