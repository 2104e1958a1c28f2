//! A tracing back end that is not there, or that takes connections and never answers.
//!
//! What it costs is judged by what does not depend on who else uses the machine: processor time per task and peak
//! memory, side by side with a cluster that exports nothing, again and again in turn. And nobody waits for the exporter:
//! tasks that leave the processor idle follow each other as fast as without it, and a process that is told to stop
//! stops, with spans dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};
use backstitch_tests::cluster::{Cluster, PATIENCE, Project, Shape, key};
use backstitch_tests::process::Process;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// How often each cluster makes its run. Odd: there is a median.
const ROUNDS: usize = 5;

/// Tasks of a run whose cost is taken. They do nothing, so that it is about what we do.
const TASKS: u32 = 400;

/// Tasks of a run whose pace is taken, and the time that each only sleeps, seconds. The pace is that until so many of
/// them have ended: at the end of a run, slots are idle.
const SLOW_TASKS: u32 = 100;
const SLOW_TASK_S: &str = "0.2";
const PACED: usize = 80;

/// The part of the pace of a cluster that exports nothing which is left at least.
const PACE_MIN: f64 = 0.95;

/// What exports that lead nowhere may cost, as a part of what everything costs, where tasks are nothing but that. About
/// one part in twenty is usual, and is printed; the rest is for a machine that does much else.
const COST_MAX: f64 = 0.25;

/// How far the costs of the same may be apart, as a part of them: beyond that, nothing can be told from them.
const NOISE_MAX: f64 = 0.25;

/// Queues of spans have a bound.
const MEMORY_MB: u64 = 32;

/// A cluster, and what its runs have cost so far.
struct Side {
    what: &'static str,
    cluster: Cluster,
    /// Of each run, sorted: milliseconds of processor per task.
    costs: Vec<f64>,
    /// Of each run of slow tasks, in their order: tasks per second.
    paces: Vec<f64>,
}

impl Side {
    async fn start(what: &'static str, endpoint: Option<&str>) -> Result<Self> {
        let endpoint = endpoint.map(|url| ("OTEL_EXPORTER_OTLP_ENDPOINT", url.to_owned()));
        let shape =
            Shape { workers: 1, slots: 4, variables: endpoint.into_iter().collect(), ..Shape::default() };
        let assets = format!(
            "  quick: {{partitions: slices, command: [sh, task.sh]}}\n  \
               slow: {{partitions: slices, command: [sh, task.sh, sleep, \"{SLOW_TASK_S}\"]}}\n"
        );
        let cluster = Cluster::start(Project::new(TASKS, 2, &assets)?, shape).await?;
        Ok(Self { what, cluster, costs: Vec::new(), paces: Vec::new() })
    }

    fn processes(&self) -> impl Iterator<Item = &Process> {
        let coordinators = self.cluster.coordinators.iter().map(|coordinator| &coordinator.process);
        coordinators.chain(self.cluster.workers.iter().map(|worker| &worker.process))
    }

    fn processor_ms(&self) -> Result<u64> {
        self.processes().map(Process::processor_ms).sum()
    }

    /// The most memory that one of its processes ever had.
    fn memory_mb(&self) -> Result<u64> {
        Ok(self
            .processes()
            .map(Process::memory_peak_mb)
            .collect::<Result<Vec<_>>>()?
            .into_iter()
            .max()
            .unwrap_or(0))
    }

    /// A run of so many tasks of `asset`.
    async fn run(&self, asset: &str, tasks: u32) -> Result<String> {
        let begun = self.cluster.project.journal()?.begun();
        let partitions = format!("{}...{}", key(0), key(tasks - 1));
        let submission = json!({ "assets": asset, "partitions": partitions, "filter": "all" });
        let run = self.cluster.submit_as(submission).await?;
        // To ask the leader again and again would be most of what it does.
        self.cluster.until_begun(begun + tasks as usize).await?;
        let ended = self.cluster.until_ended(&run).await?;
        ensure!(ended["status"] == "succeeded" && ended["counts"]["succeeded"] == tasks, "{ended:#}");
        Ok(run)
    }

    async fn take_cost(&mut self) -> Result<()> {
        let before = self.processor_ms()?;
        self.run("quick", TASKS).await?;
        let cost = (self.processor_ms()? - before) as f64 / f64::from(TASKS);
        let place = self.costs.partition_point(|earlier| *earlier < cost);
        self.costs.insert(place, cost);
        Ok(())
    }

    async fn take_pace(&mut self) -> Result<()> {
        let run = self.run("slow", SLOW_TASKS).await?;
        let took_s = self.cluster.project.journal()?.of_run(&run).until_ends_s(PACED).context("ends")?;
        self.paces.push(PACED as f64 / took_s);
        Ok(())
    }

    /// Its pace as a part of that of `other`, which ran in turn with it: the median of all turns.
    fn pace_beside(&self, other: &Self) -> f64 {
        let mut parts: Vec<f64> =
            self.paces.iter().zip(&other.paces).map(|(own, other)| own / other).collect();
        parts.sort_by(f64::total_cmp);
        parts[parts.len() / 2]
    }

    fn median(&self) -> f64 {
        self.costs[self.costs.len() / 2]
    }

    /// How far the costs of the same are apart, without the least and the most of them.
    fn noise(&self) -> f64 {
        self.costs[self.costs.len() - 2] - self.costs[1]
    }

    /// Its workers stop when they are told to, whatever they still have to export.
    async fn stop(mut self) -> Result<()> {
        self.cluster.audit().await?;
        for worker in &mut self.cluster.workers {
            worker.process.terminate()?;
            let status = worker.process.wait(PATIENCE).await?;
            ensure!(status.success(), "{}: a worker ended with {status}", self.what);
        }
        Ok(())
    }
}

/// Takes connections, and keeps them or ends them.
struct Listener {
    url: String,
    tried: Arc<AtomicUsize>,
    listening: JoinHandle<()>,
}

impl Listener {
    async fn open(keep: bool) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let tried = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&tried);
        let listening = tokio::spawn(async move {
            let mut kept = Vec::new();
            while let Ok((connection, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                kept.extend(keep.then_some(connection));
            }
        });
        Ok(Self { url, tried, listening })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// F23.
#[tokio::test]
async fn a_telemetry_back_end_that_is_down_or_never_answers_costs_next_to_nothing() -> Result<()> {
    let (silent, rude) = (Listener::open(true).await?, Listener::open(false).await?);
    let mut without = Side::start("no telemetry", None).await?;
    let mut others = [
        Side::start("no answer", Some(&silent.url)).await?,
        Side::start("hung up on", Some(&rude.url)).await?,
        Side::start("nobody there", Some("http://127.0.0.1:1")).await?,
    ];
    for _ in 0..ROUNDS {
        without.take_cost().await?;
        for side in &mut others {
            side.take_cost().await?;
        }
    }
    for _ in 0..ROUNDS {
        without.take_pace().await?;
        for side in &mut others {
            side.take_pace().await?;
        }
    }
    let (cost, noise, memory_mb) = (without.median(), without.noise(), without.memory_mb()?);
    println!("no telemetry: {cost:.2} ms of processor per task, noise {noise:.2}, at most {memory_mb} MB");
    ensure!(
        noise <= cost * NOISE_MAX,
        "nothing can be told on this machine: {:.2?} ms per task",
        without.costs
    );
    for side in &others {
        let (what, with, with_mb) = (side.what, side.median(), side.memory_mb()?);
        println!("{what}: {with:.2} ms of processor per task {:.2?}, at most {with_mb} MB", side.costs);
        ensure!(with_mb <= memory_mb + MEMORY_MB, "{what}: {with_mb} MB of memory, {memory_mb} MB without");
        ensure!(
            with <= cost * (1.0 + COST_MAX) + noise,
            "{what}: {with:.2} ms per task, {cost:.2} ms without"
        );
        let pace = side.pace_beside(&without);
        println!("{what}: {:.2?} tasks per second, {pace:.3} of {:.2?}", side.paces, without.paces);
        ensure!(pace >= PACE_MIN, "{what}: the pace is {pace:.3} of what it is without");
    }
    for (listener, what) in [(&silent, "no answer"), (&rude, "hung up on")] {
        ensure!(listener.tried.load(Ordering::Relaxed) > 0, "{what}: nobody tried to export anything");
    }
    without.stop().await?;
    for side in others {
        side.stop().await?;
    }
    Ok(())
}
