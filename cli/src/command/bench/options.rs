//! What is asked for.

use std::time::Duration;

use anyhow::Result;
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::display::OutputArgs;
use crate::exit::Invalid;
use crate::settings::{BrokerArgs, DatabaseArgs, ProjectArgs};

/// Partitions of one asset are minutes from 1970 on, and a partition exists once it is complete.
const PARTITIONS_MAX: u64 = 20_000_000;

/// How fast tasks go through coordinator, broker, workers and ledger on these servers.
#[derive(Args, Debug)]
pub(crate) struct BenchArgs {
    /// What is measured
    #[arg(long, value_enum, default_value_t, value_name = "NAME")]
    scenario: Scenario,
    /// Tasks, all assets together [default: 100000; chain: 1000; sleep: 20 for each slot]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    tasks: Option<u64>,
    /// Assets, each of which needs the same partition of the one before
    #[arg(long, default_value_t = 1, value_name = "K", value_parser = clap::value_parser!(u64).range(1..=1_000))]
    assets: u64,
    /// Time that a task takes, milliseconds [default: 0; sleep: 100]
    #[arg(long, value_name = "M")]
    task_ms: Option<u64>,
    /// Worker processes to start; 0 takes those that run, or that you start with `backstitch bench-worker`
    #[arg(long, default_value_t = 1, value_name = "W")]
    workers: u32,
    /// Seconds without a worker of yours before giving up (--workers 0)
    #[arg(long, default_value_t = 120, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    worker_wait: u64,
    /// Slots of each worker
    #[arg(long, default_value_t = 2, value_name = "S", value_parser = clap::value_parser!(u32).range(1..))]
    slots: u32,
    /// Tasks that one message carries: as many as fit, or one
    #[arg(long, value_enum, default_value_t, value_name = "auto|1")]
    batch: Packing,
    /// Seconds to measure; only for priority and sustained
    #[arg(long, default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Leave the database of the measurement behind, and say its name
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    broker: BrokerArgs,
    #[command(flatten)]
    project: ProjectArgs,
}

/// The questions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(super) enum Scenario {
    /// Tasks per second from submission to the last ledger row, beside what the servers allow
    #[default]
    Throughput,
    /// Throughput at 10,000 tasks, ten times that, and so on up to --tasks: what a task costs at each size
    Slope,
    /// Submitting, pausing, resuming, moving and cancelling one large run
    Control,
    /// Partitions that each need the one before
    Chain,
    /// Single tasks, one after the other, from submission to the ledger
    Latency,
    /// Small runs of higher priority beside a large run
    Priority,
    /// Tasks that take time, against the time that their slots would need at best
    Sleep,
    /// One large run for --seconds, beside a reader that keeps a transaction open: whether anything grows but rows
    Sustained,
}

/// Tasks of one message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(super) enum Packing {
    /// As many as the coordinator finds right.
    #[default]
    Auto,
    /// One.
    #[value(name = "1")]
    #[serde(rename = "1")]
    One,
}

/// What is measured, with every default filled in.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Plan {
    pub(super) scenario: Scenario,
    pub(super) tasks: u64,
    pub(super) assets: u64,
    pub(super) task_ms: u64,
    pub(super) workers: u32,
    pub(super) slots_per_worker: u32,
    pub(super) batch: Packing,
    #[serde(skip)]
    pub(super) measured_for: Duration,
    #[serde(skip)]
    pub(super) worker_wait: Duration,
}

/// Where the servers are.
pub(super) struct Urls {
    pub(super) database: String,
    pub(super) broker: String,
}

impl BenchArgs {
    pub(super) fn plan(&self) -> Result<Plan> {
        let slots = u64::from(self.workers.max(1)) * u64::from(self.slots);
        let tasks = self.tasks.unwrap_or(match self.scenario {
            Scenario::Chain => 1_000,
            Scenario::Sleep => 20 * slots,
            _ => 100_000,
        });
        let task_ms = self.task_ms.unwrap_or(if self.scenario == Scenario::Sleep { 100 } else { 0 });
        let plan = Plan {
            scenario: self.scenario,
            tasks,
            assets: self.assets,
            task_ms,
            workers: self.workers,
            slots_per_worker: self.slots,
            batch: self.batch,
            measured_for: Duration::from_secs(self.seconds),
            worker_wait: Duration::from_secs(self.worker_wait),
        };
        if plan.partitions() > PARTITIONS_MAX {
            let problem = format!(
                "an asset has at most {PARTITIONS_MAX} partitions here: give fewer --tasks, or more --assets"
            );
            return Err(Invalid::one(problem).into());
        }
        Ok(plan)
    }

    pub(super) fn urls(&self) -> Result<Urls> {
        let missing = |what, flag| Invalid::one(format!("a measurement needs a {what}: {flag}"));
        // Refuses what cannot be read; a password is only in the text.
        self.database.database(&self.project)?;
        let database = self.database.url(&self.project)?;
        let broker = self.broker.broker(&self.project)?;
        Ok(Urls {
            database: database.ok_or_else(|| missing("PostgreSQL server", "--database-url"))?,
            broker: broker.ok_or_else(|| missing("RabbitMQ server", "--broker-url"))?,
        })
    }

    pub(super) fn keep(&self) -> bool {
        self.keep
    }

    pub(super) fn json(&self) -> bool {
        self.output.json()
    }
}

impl Plan {
    /// Partitions of each asset.
    pub(super) fn partitions(&self) -> u64 {
        self.tasks.div_ceil(self.assets)
    }

    /// Tasks that really run: every asset has the same partitions.
    pub(super) fn total(&self) -> u64 {
        self.partitions() * self.assets
    }
}
