//! `backstitch bench` on private servers: it measures, its figures hang together, and it leaves nothing behind.

use anyhow::{Context, Result, ensure};
use backstitch_tests::postgres::Postgres;
use backstitch_tests::process::backstitch;
use backstitch_tests::rabbitmq::RabbitMq;
use serde_json::Value;
use sqlx::{Connection, PgConnection};

#[tokio::test]
async fn a_measurement_says_how_fast_it_went_and_leaves_nothing_behind() -> Result<()> {
    let (rabbitmq, postgres) = tokio::try_join!(RabbitMq::start(), Postgres::start())?;
    let mut command = backstitch(["bench", "--tasks", "2000", "--assets", "2", "--output", "json"])?;
    command.args(["--database-url", &postgres.url(), "--broker-url", &rabbitmq.url()]);
    let output = command.output().await?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {errors}", output.status);

    let figures: Value = serde_json::from_slice(&output.stdout)?;
    let number = |key: &str| figures[key].as_f64().with_context(|| format!("{key} in {figures:#}"));
    for key in [
        "tasks_per_second",
        "broker_limit_per_second",
        "ledger_limit_per_second",
        "coordinator_peak_mb",
        "worker_peak_mb",
        "rabbitmq_peak_mb",
        "postgres_peak_mb",
        "coordinator_cpu_seconds",
        "submit_ms",
        "first_task_ms",
    ] {
        ensure!(number(key)? >= 0.0, "{key} is {}", number(key)?);
    }
    ensure!((number("tasks_per_second")? * number("seconds")? - 2_000.0).abs() < 1.0, "{figures:#}");
    ensure!(figures["dispatch_to_start_ms"]["p99"].is_number(), "{figures:#}");
    ensure!(figures["violations"].as_array().is_some_and(Vec::is_empty), "{figures:#}");

    let mut command = backstitch(["bench", "--scenario", "sustained", "--seconds", "3", "--output", "json"])?;
    command.args(["--tasks", "20000000", "--database-url", &postgres.url(), "--broker-url", &rabbitmq.url()]);
    let output = command.output().await?;
    ensure!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    let sustained: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(sustained["parts"].as_array().is_some_and(|parts| parts.len() == 10), "{sustained:#}");
    let last = &sustained["parts"][9];
    ensure!(last["tasks"].as_u64() > sustained["parts"][4]["tasks"].as_u64(), "{sustained:#}");
    ensure!(last["commit_ms_mean"].as_f64() > Some(0.0), "{sustained:#}");
    ensure!(last["ledger_bytes_per_task"].as_f64() > Some(0.0), "{sustained:#}");
    ensure!(sustained["violations"].as_array().is_some_and(Vec::is_empty), "{sustained:#}");

    let queues = rabbitmq.ctl(["list_queues", "--quiet", "name"]).await?;
    ensure!(!queues.contains("backstitch"), "queues are left: {queues}");
    let mut session = PgConnection::connect(&postgres.url()).await?;
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_database WHERE datname LIKE 'backstitch%'")
        .fetch_one(&mut session)
        .await?;
    ensure!(left == 0, "{left} databases are left");
    Ok(())
}
