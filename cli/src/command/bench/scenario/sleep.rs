//! Tasks that take time: how much of their slots' time is theirs.

use anyhow::Result;
use serde::Serialize;
use serde_json::Value;

use super::throughput::{self, Throughput};
use crate::command::bench::bed::Bed;
use crate::command::bench::options::Plan;
use crate::command::bench::servers::Servers;

#[derive(Serialize)]
struct Figures {
    /// The time that the tasks would need if no slot was ever without one.
    ideal_seconds: f64,
    share_of_ideal: f64,
    #[serde(flatten)]
    throughput: Throughput,
}

pub(super) async fn run(plan: &Plan, servers: &Servers) -> Result<(Value, Vec<String>)> {
    let mut bed = Bed::start(plan, servers).await?;
    let throughput = throughput::measure(&mut bed, servers).await?;
    // Whole rounds: the last one takes its time even if it fills only some slots.
    let rounds = plan.total().div_ceil(u64::from(throughput.seen.slots_at_end.max(1)));
    let ideal_seconds = (rounds * plan.task_ms) as f64 / 1e3;
    let figures = Figures { ideal_seconds, share_of_ideal: ideal_seconds / throughput.seconds, throughput };
    Ok((serde_json::to_value(figures)?, bed.verify().await?))
}
