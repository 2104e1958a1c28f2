//! A small cluster around a copy of the example project.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use backstitch_tests::cluster::until_no_message_of_work;
use backstitch_tests::postgres::Postgres;
use backstitch_tests::process::{Process, backstitch};
use backstitch_tests::rabbitmq::RabbitMq;
use backstitch_tests::verify::verify;
use backstitch_tests::wait::{must_become, wait_for};
use serde_json::Value;
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;
use tokio::process::Command;

use crate::expected;

/// Long enough for the whole example on a loaded machine with two processors, with a lease or two in between.
pub(crate) const PATIENCE: Duration = Duration::from_secs(240);

/// A copy of the example without what runs of it have left behind.
pub(crate) fn copy_of_example() -> Result<TempDir> {
    let copy = TempDir::new()?;
    copy_folder(&expected::example(), copy.path())?;
    Ok(copy)
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == ".backstitch" || name == "output" {
            continue;
        }
        let target = to.join(&name);
        if entry.file_type()?.is_dir() {
            std::fs::create_dir(&target)?;
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Runs `backstitch` to its end; its output, if it ended with status 0.
pub(crate) async fn run<const N: usize>(arguments: [&str; N]) -> Result<String> {
    output_of(backstitch(arguments)?, &arguments).await
}

async fn output_of(mut command: Command, arguments: &[&str]) -> Result<String> {
    let output = command.output().await?;
    ensure!(
        output.status.success(),
        "backstitch {}: {}\n{}{}",
        arguments.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// As [`run`], for a command that prints JSON.
pub(crate) async fn run_json<const N: usize>(arguments: [&str; N]) -> Result<Value> {
    let text = run(arguments).await?;
    serde_json::from_str(&text).with_context(|| format!("no JSON: {text}"))
}

/// A coordinator process and where its API is.
pub(crate) struct Coordinator {
    pub(crate) process: Process,
    pub(crate) url: String,
}

/// Servers, coordinators and workers.
pub(crate) struct World {
    pub(crate) rabbitmq: RabbitMq,
    pub(crate) postgres: Postgres,
    pub(crate) coordinators: Vec<Coordinator>,
    pub(crate) workers: Vec<Process>,
    project: TempDir,
    /// Where all processes send their spans.
    otlp: Option<String>,
}

impl World {
    /// A cluster of its own: RabbitMQ, Postgres, `coordinators` (the first leads) and three workers.
    pub(crate) async fn start(coordinators: usize) -> Result<Self> {
        Self::build(coordinators, None).await
    }

    /// As [`World::start`], with an OTLP receiver at `otlp`.
    pub(crate) async fn start_traced(coordinators: usize, otlp: &str) -> Result<Self> {
        Self::build(coordinators, Some(otlp.to_owned())).await
    }

    async fn build(coordinators: usize, otlp: Option<String>) -> Result<Self> {
        let (rabbitmq, postgres) = tokio::try_join!(RabbitMq::start(), Postgres::start())?;
        let project = copy_of_example()?;
        let mut world =
            Self { rabbitmq, postgres, coordinators: Vec::new(), workers: Vec::new(), project, otlp };
        run(["migrate", "--project", world.project(), "--database-url", &world.postgres.url()]).await?;
        for number in 0..coordinators {
            world.add_coordinator(number).await?;
        }
        for number in 0..3 {
            world.add_worker(number)?;
        }
        Ok(world)
    }

    fn project(&self) -> &str {
        // The path of a temporary folder is text.
        self.project.path().to_str().unwrap_or_default()
    }

    async fn add_coordinator(&mut self, number: usize) -> Result<()> {
        let (database, broker) = (self.postgres.url(), self.rabbitmq.url());
        let name = format!("coordinator-{number}");
        let arguments = [
            "coordinator",
            "--project",
            self.project(),
            "--listen",
            "127.0.0.1:0",
            "--name",
            &name,
            "--database-url",
            &database,
            "--broker-url",
            &broker,
        ];
        let process = Process::spawn(&name, self.traced(backstitch(arguments)?))?;
        let line = process.line("the API is up", PATIENCE).await?;
        let address = line.split("listening=").nth(1).and_then(|rest| rest.split_whitespace().next());
        let url = format!("http://{}", address.with_context(|| format!("no address in {line:?}"))?);
        if number == 0 {
            process.line("leading", PATIENCE).await?;
        }
        self.coordinators.push(Coordinator { process, url });
        Ok(())
    }

    pub(crate) fn add_worker(&mut self, number: usize) -> Result<()> {
        let broker = self.rabbitmq.url();
        let name = format!("worker-{number}");
        let arguments =
            ["worker", "--project", self.project(), "--slots", "2", "--name", &name, "--broker-url", &broker];
        self.workers.push(Process::spawn(&name, self.traced(backstitch(arguments)?))?);
        Ok(())
    }

    /// Submits everything to the leader; the id of the run.
    pub(crate) async fn submit_all(&self) -> Result<String> {
        let url = &self.coordinators[0].url;
        let submitted =
            run_json(["backfill", "--project", self.project(), "--all", "--server", url, "--output", "json"])
                .await?;
        Ok(submitted["run"].as_str().with_context(|| format!("no run in {submitted}"))?.to_owned())
    }

    fn traced(&self, mut command: Command) -> Command {
        if let Some(otlp) = &self.otlp {
            command.env("OTEL_EXPORTER_OTLP_ENDPOINT", otlp);
        }
        command
    }

    /// Materializes one partition, and waits for it.
    pub(crate) async fn materialize(&self, asset: &str, partition: &str) -> Result<()> {
        let url = &self.coordinators[0].url;
        let arguments = [
            "backfill",
            asset,
            "--project",
            self.project(),
            "--partitions",
            partition,
            "--server",
            url,
            "--watch",
        ];
        output_of(self.traced(backstitch(arguments)?), &arguments).await.map(drop)
    }

    /// Waits until the leader knows so many workers.
    pub(crate) async fn until_workers(&self, workers: usize) -> Result<()> {
        let url = &self.coordinators[0].url;
        wait_for("workers to be known", PATIENCE, async || {
            let known = run_json(["workers", "list", "--server", url, "--output", "json"]).await.ok()?;
            (known.as_array()?.len() == workers).then_some(())
        })
        .await
    }

    /// What any coordinator that answers says of the run.
    async fn show(&self, run: &str) -> Option<Value> {
        for coordinator in self.coordinators.iter().rev() {
            if let Ok(shown) =
                run_json(["runs", "show", run, "--server", &coordinator.url, "--output", "json"]).await
                && shown["counts"].is_object()
            {
                return Some(shown);
            }
        }
        None
    }

    /// Waits until so many tasks have succeeded: the run is in the middle.
    pub(crate) async fn until_succeeded(&self, run: &str, tasks: u64) -> Result<()> {
        must_become("tasks have not succeeded", PATIENCE, async || {
            let shown = self.show(run).await?;
            (shown["counts"]["succeeded"].as_u64()? >= tasks).then_some(())
        })
        .await
    }

    /// Waits until the run has ended, and checks that all of it succeeded.
    pub(crate) async fn until_done(&self, run: &str) -> Result<()> {
        let shown = must_become("the run has not ended", PATIENCE, async || {
            let shown = self.show(run).await?;
            let status = shown["status"].as_str()?;
            (!matches!(status, "running" | "paused" | "cancelling")).then_some(shown)
        })
        .await?;
        if shown["status"] != "succeeded" || shown["counts"]["succeeded"] != expected::TASKS {
            bail!("the run did not succeed: {shown:#}");
        }
        Ok(())
    }

    /// The ledger holds exactly what the raw files say, each task has succeeded once, nothing is on its way, and no
    /// invariant is violated.
    pub(crate) async fn audit(&self) -> Result<()> {
        until_no_message_of_work(&self.rabbitmq).await?;
        for (asset, count) in expected::MATERIALIZATIONS {
            let listed = self.materializations(asset).await?;
            let found = listed.as_array().map_or(0, Vec::len);
            ensure!(found == count, "{asset}: {found} of {count} partitions are materialized");
        }
        expected::check_readings(&self.materializations("readings").await?)?;
        expected::check_months(&self.materializations("monthly_report").await?)?;
        self.each_succeeded_once().await?;
        self.verify().await
    }

    /// What the ledger has of each task is one success, and no attempt but those that were lost with a worker.
    async fn each_succeeded_once(&self) -> Result<()> {
        let mut session = PgConnection::connect(&self.postgres.url()).await?;
        let attempts: Vec<(String, i64)> =
            sqlx::query_as("SELECT outcome, COUNT(*) FROM attempts WHERE outcome <> 'lost' GROUP BY outcome")
                .fetch_all(&mut session)
                .await?;
        ensure!(attempts == [("succeeded".to_owned(), expected::TASKS.cast_signed())], "{attempts:?}");
        Ok(())
    }

    /// No invariant is violated in the ledger, in the leader or at the broker.
    pub(crate) async fn verify(&self) -> Result<()> {
        verify(self.project(), &self.postgres.url(), &self.rabbitmq.url()).await.map(drop)
    }

    pub(crate) async fn materializations(&self, asset: &str) -> Result<Value> {
        let database = self.postgres.url();
        run_json([
            "materializations",
            asset,
            "--project",
            self.project(),
            "--database-url",
            &database,
            "--output",
            "json",
        ])
        .await
    }

    /// Where commands of a worker leave their results.
    pub(crate) fn output(&self) -> PathBuf {
        self.project.path().join("output")
    }
}
