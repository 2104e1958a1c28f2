//! The commands. Each file is one: what it takes, what it does in a few lines, what it prints.

mod assets;
mod backfill;
mod bench;
mod chaos;
mod check;
mod coordinator;
mod dev;
mod listing;
mod materializations;
mod migrate;
mod partitions;
mod runs;
mod schema;
mod servers;
mod verify;
mod worker;
mod workers;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::exit::Exit;
use crate::telemetry::Verbosity;

/// Runs partitioned data assets: backfills, workers, and a ledger of what is up to date.
#[derive(Debug, Parser)]
#[command(name = "backstitch", version, arg_required_else_help = true, max_term_width = 110, after_help = AFTER)]
pub(crate) struct Backstitch {
    #[command(subcommand)]
    command: Command,
}

const AFTER: &str = "\
Exit status: 0 all is done, 1 something failed, 2 the request or the project makes no sense, 130 interrupted.
Settings come from flags, then from the environment, then from backstitch.settings.yaml beside backstitch.yaml.
BACKSTITCH_LOG=info shows what happens; OTEL_EXPORTER_OTLP_ENDPOINT sends traces and metrics there.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Materialize partitions of assets: those that are missing, or those that failed, or all
    Backfill(Box<backfill::BackfillArgs>),
    /// Check a project
    Check(check::CheckArgs),
    /// Run coordinator and worker in one process, with the API
    Dev(dev::DevArgs),
    /// Run a coordinator, or a standby of one
    Coordinator(coordinator::CoordinatorArgs),
    /// Run a worker
    Worker(worker::WorkerArgs),
    /// List, show, cancel, pause, change and retry runs
    Runs(runs::RunsArgs),
    /// List assets and how much of them is up to date
    Assets(listing::ListingArgs),
    /// List the partitions of an asset and their state
    Partitions(partitions::PartitionsArgs),
    /// List the latest materialization of each partition of an asset
    Materializations(materializations::MaterializationsArgs),
    /// List the workers that are alive
    Workers(listing::ListingArgs),
    /// Measure how fast tasks go on these servers, and how fast the servers let them
    Bench(Box<bench::BenchArgs>),
    /// Run a worker of a measurement
    #[command(hide = true)]
    BenchWorker(bench::NoopArgs),
    /// Check that the ledger holds together
    Verify(verify::VerifyArgs),
    /// Play simulated histories in which everything goes wrong, and check the invariants
    Chaos(chaos::ChaosArgs),
    /// Bring the schema of a ledger up to date
    Migrate(migrate::MigrateArgs),
    /// Print the JSON Schema of backstitch.yaml
    Schema,
}

impl Backstitch {
    /// What this process is to a tracing backend, and how much it logs.
    pub(crate) fn telemetry(&self) -> (&'static str, Verbosity) {
        match self.command {
            Command::Coordinator(_) => ("backstitch-coordinator", Verbosity::Service),
            Command::Worker(_) | Command::BenchWorker(_) => ("backstitch-worker", Verbosity::Service),
            Command::Dev(_) => ("backstitch", Verbosity::Service),
            _ => ("backstitch", Verbosity::Command),
        }
    }

    /// Does what was asked for.
    pub(crate) async fn run(self) -> Result<Exit> {
        match self.command {
            Command::Backfill(args) => args.run().await,
            Command::Check(args) => args.run(),
            Command::Dev(args) => args.run().await,
            Command::Coordinator(args) => args.run().await,
            Command::Worker(args) => args.run().await,
            Command::Runs(args) => args.run().await,
            Command::Assets(listing) => assets::run(listing).await,
            Command::Partitions(args) => args.run().await,
            Command::Materializations(args) => args.run().await,
            Command::Workers(listing) => workers::run(listing).await,
            Command::Bench(args) => args.run().await,
            Command::BenchWorker(args) => args.run().await,
            Command::Verify(args) => args.run().await,
            // Threads of its own, and nothing else to do meanwhile.
            Command::Chaos(args) => args.run(),
            Command::Migrate(args) => args.run().await,
            Command::Schema => schema::run(),
        }
    }
}
