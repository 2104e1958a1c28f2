//! What was told to stop ends, whoever it waits for: servers that never answer, and clients that never finish.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use backstitch_tests::cluster::{Cluster, Project, Shape};
use backstitch_tests::process::{Process, backstitch};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

use crate::world::PATIENCE;

/// Less than an attempt to reach a server takes by itself; many times what ending takes.
const AT_ONCE: Duration = Duration::from_secs(20);

/// Ends by its own will, with a good status.
async fn stops(process: &mut Process, patience: Duration) -> Result<()> {
    process.terminate()?;
    let status = process.wait(patience).await?;
    ensure!(status.success(), "it ended with {status}");
    Ok(())
}

/// A server that takes connections and says nothing.
struct Mute(TcpListener);

impl Mute {
    async fn start() -> Result<Self> {
        Ok(Self(TcpListener::bind("127.0.0.1:0").await?))
    }

    fn url(&self, scheme: &str) -> Result<String> {
        Ok(format!("{scheme}://backstitch:pw@{}", self.0.local_addr()?))
    }

    /// Starts this program, and tells it to stop when it waits for an answer of ours.
    async fn is_asked_by_what_stops(&self, name: &str, command: Command) -> Result<()> {
        let mut process = Process::spawn(name, command)?;
        let asked = tokio::time::timeout(PATIENCE, self.0.accept()).await;
        let _connection = asked.with_context(|| format!("{name} printed:\n{}", process.output()))??;
        stops(&mut process, AT_ONCE).await
    }
}

#[tokio::test]
async fn a_coordinator_that_waits_for_the_ledger_stops_at_once() -> Result<()> {
    let (project, ledger) = (Project::gated(1)?, Mute::start().await?);
    let (url, nowhere) = (ledger.url("postgres")?, "amqp://127.0.0.1:1");
    let mut command = backstitch(["coordinator", "--listen", "127.0.0.1:0", "--broker-url", nowhere])?;
    command.args(["--database-url", &url, "--project", project.path()]);
    ledger.is_asked_by_what_stops("coordinator", command).await
}

#[tokio::test]
async fn a_worker_that_waits_for_the_broker_stops_at_once() -> Result<()> {
    let (project, broker) = (Project::gated(1)?, Mute::start().await?);
    let command = backstitch(["worker", "--project", project.path(), "--broker-url", &broker.url("amqp")?])?;
    broker.is_asked_by_what_stops("worker", command).await
}

#[tokio::test]
async fn a_worker_program_that_waits_for_the_broker_stops_at_once() -> Result<()> {
    let broker = Mute::start().await?;
    // Beside the program under test.
    let program = backstitch([""; 0])?.as_std().get_program().to_owned();
    let mut command =
        Command::new(std::path::Path::new(&program).with_file_name("backstitch-example-native"));
    command.env("BACKSTITCH_BROKER_URL", broker.url("amqp")?);
    broker.is_asked_by_what_stops("native", command).await
}

#[tokio::test]
async fn a_coordinator_that_takes_over_without_a_broker_stops_at_once() -> Result<()> {
    let shape = Shape { coordinators: 2, workers: 0, ..Shape::default() };
    let mut cluster = Cluster::start(Project::gated(1)?, shape).await?;
    let mut leader = cluster.coordinators.remove(0);
    let standby = &mut cluster.coordinators[0];
    standby.to_broker.silence();
    leader.process.kill().await?;
    standby.process.line("leading", PATIENCE).await?;
    stops(&mut standby.process, AT_ONCE).await?;
    cluster.coordinators.clear();
    cluster.add_coordinator().await?;
    cluster.audit().await
}

#[tokio::test]
async fn a_client_that_never_finishes_its_request_does_not_keep_a_coordinator_alive() -> Result<()> {
    let shape = Shape { workers: 0, ..Shape::default() };
    let mut cluster = Cluster::start(Project::gated(1)?, shape).await?;
    let coordinator = &mut cluster.coordinators[0];
    let address = coordinator.url.trim_start_matches("http://");
    let mut client = BufReader::new(TcpStream::connect(address).await?);
    let request = "POST /api/runs HTTP/1.1\r\nHost: backstitch\r\nContent-Type: application/json\r\n\
         Content-Length: 100\r\nExpect: 100-continue\r\n\r\n";
    client.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    // So the server waits for the body by now.
    client.read_line(&mut answer).await?;
    ensure!(answer.contains("100 Continue"), "{answer:?}");
    client.write_all(b"{").await?;
    stops(&mut coordinator.process, PATIENCE).await
}
