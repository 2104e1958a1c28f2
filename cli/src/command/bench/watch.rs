//! What is looked at while a run goes: the same questions that people ask, and what they cost.

use std::time::Duration;

use anyhow::Result;
use backstitch_broker::Broker;
use backstitch_coordinator::ledger::RunStatus;
use backstitch_proto::id::RunId;
use backstitch_proto::message::{REPORT_QUEUE, task_queue};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::bed::Bed;
use super::project::{QUEUE, asset};
use super::samples::Percentiles;
use super::servers::Servers;
use super::usage::{Family, Meter, Usage};
use crate::source::Look;

/// Pause between two looks at the run: its end is known no later.
const LOOK: Duration = Duration::from_millis(20);

/// Looks at the run between two at everything else.
const EVERY: u32 = 25;

/// Points of a curve that are reported at most; a longer one is thinned.
const POINTS_MAX: usize = 200;

/// What was seen.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Seen {
    /// `runs show` while the run goes.
    runs_show_ms: Option<Percentiles>,
    /// Status of the partitions of its first asset, all ranges.
    partition_status_ms: Option<Percentiles>,
    /// Messages that waited for a worker, and for the coordinator, at most.
    broker_depth_max: u64,
    /// The same over time: seconds since the submission, messages.
    broker_depth: Vec<(f64, u64)>,
    #[serde(flatten)]
    pub(super) roles: Roles,
}

/// What each role has used. Null: it is not on this machine.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Roles {
    pub(super) coordinator_cpu_seconds: Option<f64>,
    pub(super) coordinator_peak_mb: Option<f64>,
    worker_cpu_seconds: Option<f64>,
    worker_peak_mb: Option<f64>,
    rabbitmq_cpu_seconds: Option<f64>,
    rabbitmq_peak_mb: Option<f64>,
    postgres_cpu_seconds: Option<f64>,
    postgres_peak_mb: Option<f64>,
}

/// The meters of all roles.
pub(super) struct Meters {
    /// Coordinator, workers, RabbitMQ, Postgres.
    meters: [Option<Meter>; 4],
}

impl Meters {
    /// Begins now.
    pub(super) fn start(bed: &Bed, servers: &Servers) -> Self {
        let server = |tree: Option<_>| Meter::start(tree.into_iter().collect());
        let meters = [
            Meter::start(bed.coordinator()),
            Meter::start(bed.workers()),
            server(servers.rabbitmq),
            server(servers.postgres),
        ];
        Self { meters }
    }

    /// Looks at memory.
    pub(super) fn look(&mut self) {
        let family = Family::read();
        self.meters.iter_mut().flatten().for_each(|meter| meter.look(&family));
    }

    /// What was used since the start.
    pub(super) fn usage(&mut self) -> Roles {
        let family = Family::read();
        let [coordinator, worker, rabbitmq, postgres] =
            self.meters.each_mut().map(|meter| meter.as_mut().map(|meter| meter.usage(&family)));
        let cpu = |usage: Option<Usage>| usage.map(|usage| usage.cpu_seconds);
        let peak = |usage: Option<Usage>| usage.map(|usage| usage.peak_mb);
        Roles {
            coordinator_cpu_seconds: cpu(coordinator),
            coordinator_peak_mb: peak(coordinator),
            worker_cpu_seconds: cpu(worker),
            worker_peak_mb: peak(worker),
            rabbitmq_cpu_seconds: cpu(rabbitmq),
            rabbitmq_peak_mb: peak(rabbitmq),
            postgres_cpu_seconds: cpu(postgres),
            postgres_peak_mb: peak(postgres),
        }
    }
}

/// Follows a run that was submitted at `begin` to its end.
pub(super) async fn follow(
    bed: &mut Bed,
    servers: &Servers,
    mut meters: Meters,
    run: RunId,
    begin: Instant,
) -> Result<(RunStatus, Duration, Seen)> {
    let (mut runs_show, mut partition_status, mut depths) = (Vec::new(), Vec::new(), Vec::new());
    let mut looks = 0_u32;
    loop {
        let asked = Instant::now();
        let view = bed.server.run(run).await?;
        let ended = begin.elapsed();
        if view.status.is_terminal() {
            let broker_depth_max = depths.iter().map(|(_, depth)| *depth).max().unwrap_or(0);
            let seen = Seen {
                runs_show_ms: Percentiles::of(runs_show),
                partition_status_ms: Percentiles::of(partition_status),
                broker_depth_max,
                broker_depth: thinned(&depths),
                roles: meters.usage(),
            };
            return Ok((view.status, ended, seen));
        }
        runs_show.push(asked.elapsed());
        if looks.is_multiple_of(EVERY) {
            let asked = Instant::now();
            bed.server.partitions(&asset(0)).await?;
            partition_status.push(asked.elapsed());
            let (tasks, reports) = (task_queue(QUEUE), REPORT_QUEUE);
            let depth =
                servers.broker.depth(&tasks).await?.ready + servers.broker.depth(reports).await?.ready;
            depths.push(((begin.elapsed().as_secs_f64() * 100.0).round() / 100.0, depth));
            meters.look();
            bed.check()?;
        }
        looks = looks.wrapping_add(1);
        sleep(LOOK).await;
    }
}

fn thinned(points: &[(f64, u64)]) -> Vec<(f64, u64)> {
    points.iter().step_by(points.len().div_ceil(POINTS_MAX).max(1)).copied().collect()
}
