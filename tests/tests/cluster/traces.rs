//! One trace follows a task from submit through RabbitMQ to a worker and back to the commit, and a real OTLP receiver
//! has it.

use anyhow::{Context, Result, ensure};
use backstitch_tests::port;
use backstitch_tests::process::Process;
use backstitch_tests::wait::wait_for;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::world::{PATIENCE, World};

/// The receiver that `tests/run` installed: a Node program and the script to run.
fn receiver(port: u16, grpc_port: u16) -> Result<Command> {
    let variable = |name| {
        std::env::var(name).with_context(|| format!("{name} is not set: start the tests with tests/run"))
    };
    let mut command = Command::new(variable("BACKSTITCH_TEST_NODE")?);
    command.arg(variable("BACKSTITCH_TEST_OTLP_RECEIVER")?);
    command.args(["--port", &port.to_string(), "--grpc-port", &grpc_port.to_string()]);
    Ok(command)
}

/// All traces that the receiver has.
async fn traces(port: u16) -> Result<Vec<Value>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let request =
        "POST /api/query/traces HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let body = answer.split_once("\r\n\r\n").context("a body")?.1;
    let answer: Value = serde_json::from_str(body).with_context(|| format!("no JSON: {body}"))?;
    Ok(answer["traces"].as_array().cloned().unwrap_or_default())
}

/// Name of each span and the service that made it, of the trace that has a span `run`.
fn spans_of_the_run(traces: &[Value]) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let spans_of = |trace: &Value| trace["spans"].as_array().cloned().unwrap_or_default();
    let of_run = traces.iter().map(spans_of).find(|spans| spans.iter().any(|span| span["name"] == "run"));
    let describe = |span: &Value| {
        (text(&span["name"]), text(&span["attributes"]["service.name"]), text(&span["traceId"]))
    };
    of_run.unwrap_or_default().iter().map(describe).collect()
}

#[tokio::test]
async fn one_trace_follows_a_task_from_submit_to_commit_across_the_broker() -> Result<()> {
    let [port, grpc_port] = port::free()?;
    let receiver = Process::spawn("otlp", receiver(port, grpc_port)?)?;
    receiver.line("Listening", PATIENCE).await?;
    let world = World::start_traced(1, &format!("http://127.0.0.1:{port}")).await?;
    world.materialize("readings", "seattle|2010-02-03").await?;
    let wanted = [
        ("run", "backstitch"),
        ("dispatch", "backstitch-coordinator"),
        ("process readings", "backstitch-worker"),
        ("record", "backstitch-coordinator"),
    ];
    let spans = wait_for("the trace to arrive", PATIENCE, async || {
        let spans = spans_of_the_run(&traces(port).await.ok()?);
        let has =
            |name: &str, service: &str| spans.iter().any(|span| (&*span.0, &*span.1) == (name, service));
        wanted.iter().all(|(name, service)| has(name, service)).then_some(spans)
    })
    .await?;
    let made = world.materializations("readings").await?;
    ensure!(made[0]["trace_id"] == *spans[0].2, "the ledger names another trace than {spans:?}: {made}");
    world.verify().await
}
