//! An asset of which every partition needs the one before: nothing runs beside anything else, so that the time of a
//! step is one whole way around, from the decision to the ledger and to the next decision.

use anyhow::{Context, Result};
use backstitch_coordinator::service::{Filter, Submission};
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

use crate::command::bench::bed::Bed;
use crate::command::bench::options::Plan;
use crate::command::bench::project::CHAIN;
use crate::command::bench::servers::Servers;
use crate::command::bench::watch::{Meters, Seen, follow};
use crate::source::Ask;

#[derive(Serialize)]
struct Figures {
    /// The time of one partition after the other.
    step_ms: f64,
    seconds: f64,
    #[serde(flatten)]
    seen: Seen,
}

pub(super) async fn run(plan: &Plan, servers: &Servers) -> Result<(Value, Vec<String>)> {
    let mut bed = Bed::start(plan, servers).await?;
    let meters = Meters::start(&bed, servers);
    let begin = Instant::now();
    let submission =
        Submission { assets: Some(CHAIN.to_owned()), filter: Filter::All, ..Submission::default() };
    let submitted = bed.server.submit(&submission).await?;
    let run = submitted.run.context("the run is empty")?;
    let (status, took, seen) = follow(&mut bed, servers, meters, run, begin).await?;
    bed.succeeded(run, status).await?;
    let seconds = took.as_secs_f64();
    let figures = Figures { step_ms: seconds * 1e3 / submitted.plan.tasks as f64, seconds, seen };
    Ok((serde_json::to_value(figures)?, bed.verify().await?))
}
