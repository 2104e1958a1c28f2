//! What one task costs at 10,000 tasks, at ten times that, and so on: a slope of 0 is the same at every size.

use anyhow::Result;
use serde::Serialize;
use serde_json::Value;

use super::throughput::{self, Throughput};
use crate::command::bench::bed::Bed;
use crate::command::bench::options::Plan;
use crate::command::bench::samples;
use crate::command::bench::servers::Servers;

/// Below this the start of the first task is most of the time.
const SMALLEST: u64 = 10_000;

#[derive(Serialize)]
struct Figures {
    /// Time of one task against the number of tasks, both as logarithms: 0.1 is a quarter more for ten times as many.
    slope_of_time_per_task: Option<f64>,
    /// The same of the coordinator's processor time.
    slope_of_coordinator_cpu_per_task: Option<f64>,
    /// The most that the coordinator needed at any size.
    coordinator_peak_mb: Option<f64>,
    sizes: Vec<Size>,
}

#[derive(Serialize)]
struct Size {
    tasks: u64,
    #[serde(flatten)]
    figures: Throughput,
}

pub(super) async fn run(plan: &Plan, servers: &Servers) -> Result<(Value, Vec<String>)> {
    let (mut sizes, mut violations): (Vec<Size>, Vec<String>) = (Vec::new(), Vec::new());
    let tenfold = std::iter::successors(Some(SMALLEST), |tasks| tasks.checked_mul(10));
    for tasks in tenfold.take_while(|tasks| *tasks < plan.tasks).chain([plan.tasks]) {
        let plan = Plan { tasks, ..plan.clone() };
        let mut bed = Bed::start(&plan, servers).await?;
        let figures = throughput::measure(&mut bed, servers).await?;
        violations.extend(bed.verify().await?);
        eprintln!("{tasks} tasks: {:.0} per second", figures.tasks_per_second);
        sizes.push(Size { tasks: plan.total(), figures });
    }
    let of = |cost: fn(&Throughput) -> Option<f64>| {
        let points = sizes.iter().filter_map(|size| Some((size.tasks as f64, cost(&size.figures)?)));
        samples::slope(&points.collect::<Vec<_>>())
    };
    let peaks = sizes.iter().filter_map(|size| size.figures.seen.roles.coordinator_peak_mb);
    let figures = Figures {
        slope_of_time_per_task: of(|figures| Some(1.0 / figures.tasks_per_second)),
        slope_of_coordinator_cpu_per_task: of(|figures| figures.coordinator_us_per_task),
        coordinator_peak_mb: peaks.reduce(f64::max),
        sizes,
    };
    Ok((serde_json::to_value(figures)?, violations))
}
