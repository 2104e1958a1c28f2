//! A tracing back end that is not there, or that takes connections and never answers.
//!
//! Throughput is printed for both, with the processor time that our processes took for it, and not judged to within
//! five per cent: two runs of the same on a shared machine differ by more. What makes it cost nothing is judged
//! instead: nobody waits for the exporter, so a run ends, and a process that is told to stop stops, with spans
//! dropped.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use backstitch_tests::cluster::{Cluster, PATIENCE, Project, Shape};
use backstitch_tests::process::Process;
use tokio::net::TcpListener;

/// What a run took.
struct Took {
    tasks_per_second: f64,
    processor_ms_per_task: f64,
}

/// Runs a project with this OTLP endpoint.
async fn measure(endpoint: Option<String>) -> Result<Took> {
    let variables = endpoint.map(|url| ("OTEL_EXPORTER_OTLP_ENDPOINT", url)).into_iter().collect();
    let mut cluster =
        Cluster::start(Project::chain(250, "0.01")?, Shape { variables, ..Shape::default() }).await?;
    let begin = Instant::now();
    let run = cluster.submit().await?;
    cluster.until_ended(&run).await?;
    let seconds = begin.elapsed().as_secs_f64();
    let processes = cluster.workers.iter().map(|worker| &worker.process);
    let processes = processes.chain(cluster.coordinators.iter().map(|coordinator| &coordinator.process));
    let ticks: u64 = processes.map(ticks).sum::<Result<u64>>()?;
    let tasks = cluster.project.tasks as f64;
    cluster.finish(&run).await?;
    for worker in &mut cluster.workers {
        worker.process.terminate()?;
        let status = worker.process.wait(PATIENCE).await?;
        ensure!(status.success(), "a worker ended with {status}");
    }
    // A tick is a hundredth of a second on every Linux.
    Ok(Took { tasks_per_second: tasks / seconds, processor_ms_per_task: ticks as f64 * 10.0 / tasks })
}

/// Processor time of a process, without its children: fields 14 and 15 of its line in /proc.
fn ticks(process: &Process) -> Result<u64> {
    let line = std::fs::read_to_string(format!("/proc/{}/stat", process.id()))?;
    let after_name = line.rsplit_once(") ").context("a line of /proc")?.1;
    let fields: Vec<&str> = after_name.split(' ').collect();
    Ok(fields[11].parse::<u64>()? + fields[12].parse::<u64>()?)
}

/// F23.
#[tokio::test]
async fn a_telemetry_back_end_that_is_down_or_never_answers_holds_nobody_up() -> Result<()> {
    let without = measure(None).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let silent = format!("http://{}", listener.local_addr()?);
    // Takes connections, and keeps them.
    let holding = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((connection, _)) = listener.accept().await {
            held.push(connection);
        }
    });
    let never_answers = measure(Some(silent)).await?;
    holding.abort();
    let down = measure(Some("http://127.0.0.1:1".to_owned())).await?;
    for (took, what) in [(&without, "no telemetry"), (&never_answers, "no answer"), (&down, "nobody there")] {
        let Took { tasks_per_second, processor_ms_per_task } = took;
        println!(
            "{what}: {tasks_per_second:.1} tasks/s, {processor_ms_per_task:.2} ms of processor per task"
        );
    }
    // Waiting for one export would cost its timeout of ten seconds, many times over.
    let slowest = never_answers.tasks_per_second.min(down.tasks_per_second);
    ensure!(slowest > without.tasks_per_second / 3.0, "exports hold tasks up");
    Ok(())
}
