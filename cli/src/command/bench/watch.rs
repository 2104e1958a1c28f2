//! What is looked at while a run goes: the same questions that people ask, and what they cost.

use std::time::Duration;

use anyhow::Result;
use backstitch_coordinator::ledger::RunStatus;
use backstitch_proto::id::RunId;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::bed::Bed;
use super::depth::{Curve, Depth};
use super::project::asset;
use super::samples::Percentiles;
use super::servers::Servers;
use super::show::show;
use super::usage::{Family, Meter, Usage};
use crate::source::Look;

/// Pause between two looks at the run: its end is known no later.
const RUN_POLL: Duration = Duration::from_millis(20);

/// Looks at the run between two at everything else.
const POLLS_PER_SAMPLE: u32 = 25;

/// Time between two processes that show the run.
const SHOW_EVERY: Duration = Duration::from_secs(2);

/// Time until the first of them: it needs a processor for some milliseconds, which a short run would notice.
const SHOW_FIRST: Duration = Duration::from_secs(1);

/// What was seen.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Seen {
    /// A run, asked of the API while it goes.
    runs_show_ms: Option<Percentiles>,
    /// The whole process `backstitch runs show` meanwhile.
    runs_show_process_ms: Option<Percentiles>,
    /// Status of the partitions of its first asset, all ranges.
    partition_status_ms: Option<Percentiles>,
    /// Messages that waited for a worker, and for the coordinator, at most.
    broker_depth_max: u64,
    broker_depth: Vec<Depth>,
    /// Workers at the end, and what they execute at once.
    workers_at_end: u32,
    pub(super) slots_at_end: u32,
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
    let (mut runs_show, mut processes, mut partition_status) = (Vec::new(), Vec::new(), Vec::new());
    let (mut curve, mut show_at) = (Curve::default(), SHOW_FIRST);
    let mut looks = 0_u32;
    loop {
        let asked = Instant::now();
        let view = bed.server.run(run).await?;
        let ended = begin.elapsed();
        if view.status.is_terminal() {
            let roles = meters.usage();
            let (broker_depth, broker_depth_max) = curve.end(Depth::look(bed, servers, begin).await?);
            let fleet = bed.fleet().await?;
            let seen = Seen {
                runs_show_ms: Percentiles::of(runs_show),
                runs_show_process_ms: Percentiles::of(processes),
                partition_status_ms: Percentiles::of(partition_status),
                broker_depth_max,
                broker_depth,
                workers_at_end: fleet.workers,
                slots_at_end: fleet.slots,
                roles,
            };
            return Ok((view.status, ended, seen));
        }
        runs_show.push(asked.elapsed());
        if looks.is_multiple_of(POLLS_PER_SAMPLE) {
            let asked = Instant::now();
            bed.server.partitions(&asset(0)).await?;
            partition_status.push(asked.elapsed());
            curve.push(Depth::look(bed, servers, begin).await?);
            meters.look();
            bed.check().await?;
        }
        if begin.elapsed() >= show_at {
            processes.push(show(bed, run).await?);
            show_at = begin.elapsed() + SHOW_EVERY;
        }
        looks = looks.wrapping_add(1);
        sleep(RUN_POLL).await;
    }
}
