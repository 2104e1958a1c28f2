//! `backstitch bench` on private servers: it measures, its figures hang together, and it leaves nothing behind.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use backstitch_tests::postgres::Postgres;
use backstitch_tests::process::{Process, backstitch};
use backstitch_tests::rabbitmq::RabbitMq;
use backstitch_tests::wait::SOON;
use futures_util::StreamExt;
use lapin::options::{BasicConsumeOptions, BasicPublishOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, ConnectionProperties};
use serde_json::Value;
use sqlx::{Connection, PgConnection};
use tokio::process::Command;

/// A measurement of two seconds with everything around it, on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(120);

/// Bounds that a build without optimisation keeps on a machine that does other things too. They tell a catastrophe, or
/// something that waits for the next look, from a day that is merely slow.
const SUBMIT_MS_MAX: f64 = 1_000.0;
const FIRST_TASK_MS_MAX: f64 = 5_000.0;
const REQUEST_MS_MAX: f64 = 5_000.0;

/// Until nothing of a run is left. What nobody has claimed may take a lease and some heartbeats.
const CANCEL_MS_MAX: f64 = 15_000.0;

/// One step of a chain. Whoever looked once a second would need more.
const STEP_MS_MAX: f64 = 250.0;

/// The coordinator with twenty million partitions, megabytes.
const LARGE_RUN_MB_MAX: f64 = 150.0;

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
        "share_of_ledger_limit",
        "share_of_limits_together",
        "share_of_lower_limit",
    ] {
        ensure!(number(key)? > 0.0, "{key} is {}", number(key)?);
    }
    servers_are_measured(&figures)?;
    bounds_hold(&figures, &[("/submit_ms", SUBMIT_MS_MAX), ("/first_task_ms", FIRST_TASK_MS_MAX)])?;
    // It is over before anything piles up, perhaps.
    let deepest = number("broker_depth_max")?;
    let depths = figures["broker_depth"].as_array().filter(|points| !points.is_empty());
    for point in depths.context("a curve of the broker's depth")? {
        let waiting = point["tasks_ready"].as_u64().zip(point["reports_ready"].as_u64());
        ensure!(waiting.is_some_and(|(tasks, reports)| (tasks + reports) as f64 <= deepest), "{figures:#}");
    }
    ensure!((number("tasks_per_second")? * number("seconds")? - 2_000.0).abs() < 1.0, "{figures:#}");
    for key in ["dispatch_to_start_ms", "start_to_ledger_ms", "runs_show_ms", "partition_status_ms"] {
        ensure!(figures[key]["p99"].as_f64() > Some(0.0), "{key} in {figures:#}");
    }
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
    ensure!(last["start_to_ledger_ms_mean"].as_f64() > Some(0.0), "{sustained:#}");
    for growth in ["commit_growth", "bytes_growth", "delay_growth"] {
        ensure!(sustained[growth].as_f64() > Some(0.0), "{growth} in {sustained:#}");
    }
    servers_are_measured(&sustained)?;
    bounds_hold(&sustained, &[("/cancel_ms", CANCEL_MS_MAX), ("/coordinator_peak_mb", LARGE_RUN_MB_MAX)])?;
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

#[tokio::test]
async fn each_scenario_measures_what_it_is_named_after() -> Result<()> {
    let (rabbitmq, postgres) = tokio::try_join!(RabbitMq::start(), Postgres::start())?;
    const ANY: f64 = f64::INFINITY;
    let control = vec![
        ("/submit_ms", SUBMIT_MS_MAX),
        ("/first_task_ms", FIRST_TASK_MS_MAX),
        ("/pause_ms", REQUEST_MS_MAX),
        ("/resume_ms", REQUEST_MS_MAX),
        ("/reprioritise_ms", REQUEST_MS_MAX),
        ("/cancel_ms", CANCEL_MS_MAX),
        ("/runs_show_ms/p50", REQUEST_MS_MAX),
        ("/runs_show_process_ms/p99", ANY),
        ("/coordinator_peak_mb", LARGE_RUN_MB_MAX),
    ];
    let measured = [
        ("slope --tasks 20000", vec![("/coordinator_peak_mb", ANY), ("/sizes/1/tasks_per_second", ANY)]),
        ("control --tasks 20000000", control.clone()),
        ("control --tasks 20000000 --assets 5", control),
        ("chain --tasks 30", vec![("/step_ms", STEP_MS_MAX), ("/worker_peak_mb", ANY)]),
        (
            "latency --tasks 10",
            vec![("/submit_to_ledger_ms/p50", SUBMIT_MS_MAX), ("/submit_ms/p50", SUBMIT_MS_MAX)],
        ),
        (
            "priority --tasks 20000000 --seconds 3",
            vec![
                ("/submit_to_start_ms/p50", FIRST_TASK_MS_MAX),
                ("/tasks_per_second", ANY),
                ("/coordinator_peak_mb", LARGE_RUN_MB_MAX),
            ],
        ),
    ];
    for (arguments, bounds) in measured {
        let mut command = backstitch(["bench", "--output", "json", "--scenario"])?;
        command.args(arguments.split(' '));
        command.args(["--database-url", &postgres.url(), "--broker-url", &rabbitmq.url()]);
        let output = command.output().await?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{arguments}: {}: {said}", output.status);
        let measured: Value = serde_json::from_slice(&output.stdout)?;
        bounds_hold(&measured, &bounds).context(arguments)?;
        for slope in ["slope_of_time_per_task", "slope_of_coordinator_cpu_per_task"] {
            // What is not finite is no JSON.
            let is_number = measured[slope].is_number();
            ensure!(is_number == arguments.starts_with("slope"), "{slope} of {arguments}: {measured:#}");
        }
        ensure!(measured["configuration"]["fsync"] == "on", "{arguments}: {measured:#}");
        ensure!(measured["violations"].as_array().is_some_and(Vec::is_empty), "{arguments}: {measured:#}");
    }
    Ok(())
}

#[tokio::test]
async fn workers_that_are_started_by_hand_are_waited_for_and_used() -> Result<()> {
    let (rabbitmq, postgres) = tokio::try_join!(RabbitMq::start(), Postgres::start())?;
    let bench = |arguments: &[&str]| -> Result<Command> {
        let mut command = backstitch(["bench", "--workers", "0", "--output", "json"])?;
        command.args(["--database-url", &postgres.url(), "--broker-url", &rabbitmq.url()]).args(arguments);
        Ok(command)
    };
    let nobody = bench(&["--worker-wait", "1"])?.output().await?;
    let said = String::from_utf8_lossy(&nobody.stderr);
    ensure!(nobody.status.code() == Some(1) && said.contains("for 1 s (--worker-wait)"), "{nobody:?}");

    // Two seconds at best.
    let sleep = ["--scenario", "sleep", "--tasks", "60", "--task-ms", "100", "--slots", "3", "--batch", "1"];
    let mut measurement = Process::spawn("bench", bench(&sleep)?)?;
    let hint =
        measurement.line("backstitch bench-worker", PATIENCE).await?.replace("USER:PASSWORD", "guest:guest");
    let mut worker = Process::spawn("worker", backstitch(hint.split_whitespace().skip(1))?)?;
    let status = measurement.wait(PATIENCE).await?;
    let said = measurement.output();
    ensure!(status.success(), "{status}: {said}");
    let figures: Value = serde_json::from_str(&said[said.find('{').context("no figures")?..])?;
    ensure!(figures["workers_at_end"] == 1 && figures["slots_at_end"] == 3, "{figures:#}");
    ensure!(
        figures["share_of_ideal"].as_f64().is_some_and(|share| 0.0 < share && share <= 1.0),
        "{figures:#}"
    );
    ensure!(figures["worker_peak_mb"].is_null(), "not started by us, so not measured: {figures:#}");
    ensure!(figures["runs_show_process_ms"]["p50"].as_f64() > Some(1.0), "a process takes time: {figures:#}");
    depths_are_plausible(&figures["broker_depth"], 60)?;

    // A worker is there, and does not know the second asset.
    let failed = bench(&["--tasks", "4", "--assets", "2"])?.output().await?;
    let said = String::from_utf8_lossy(&failed.stderr);
    ensure!(failed.status.code() == Some(1) && said.contains("the run ended as failed: "), "{failed:?}");
    ensure!(said.contains("step_1"), "{said}");
    worker.terminate()?;
    ensure!(worker.wait(SOON).await?.success(), "{}", worker.output());
    Ok(())
}

/// Each of these figures, by its path, is more than nothing and at most so much.
fn bounds_hold(figures: &Value, bounds: &[(&str, f64)]) -> Result<()> {
    for (path, most) in bounds {
        let number = figures.pointer(path).and_then(Value::as_f64);
        let holds = number.is_some_and(|number| 0.0 < number && number <= *most);
        ensure!(holds, "{path} is {number:?}, and at most {most}: {figures:#}");
    }
    Ok(())
}

/// Everybody's processor time and memory is there, and the database writes through to the disk.
fn servers_are_measured(figures: &Value) -> Result<()> {
    for role in ["coordinator", "worker", "rabbitmq", "postgres"] {
        let cpu = figures[format!("{role}_cpu_seconds")].as_f64();
        ensure!(cpu >= Some(0.0), "processor time of {role}: {cpu:?} in {figures:#}");
        bounds_hold(figures, &[(&format!("/{role}_peak_mb"), f64::INFINITY)])?;
    }
    ensure!(figures["configuration"]["fsync"] == "on", "{figures:#}");
    ensure!(figures["configuration"]["synchronous_commit"] == "on", "{figures:#}");
    Ok(())
}

/// The curve of a run of so many messages: it goes on in time, workers hold some in between, and nothing is left.
fn depths_are_plausible(curve: &Value, messages: u64) -> Result<()> {
    let points = curve.as_array().context("a curve")?;
    let of = |point: &Value, key: &str| point[key].as_u64().with_context(|| format!("{key} in {point}"));
    let mut held = 0;
    for point in points {
        let (ready, taken) = (of(point, "tasks_ready")?, of(point, "tasks_unacknowledged")?);
        ensure!(ready + taken <= 2 * messages, "more than there are: {curve}");
        ensure!(of(point, "reports_ready")? + of(point, "reports_unacknowledged")? <= messages, "{curve}");
        ensure!(of(point, "heartbeats_ready")? <= messages, "they are not read: {curve}");
        held = held.max(taken);
    }
    let seconds: Vec<f64> = points.iter().filter_map(|point| point["seconds"].as_f64()).collect();
    ensure!(seconds.len() == points.len() && seconds.len() > 2 && seconds.is_sorted(), "{curve}");
    ensure!(held > 0, "nobody ever held a task: {curve}");
    let last = points.last().context("a last point")?;
    ensure!(of(last, "tasks_ready")? + of(last, "reports_ready")? == 0, "something is left: {curve}");
    Ok(())
}

/// What was published to one queue: how many messages, of how many bytes, with which properties.
#[derive(Debug, Default, PartialEq)]
struct Published {
    messages: u64,
    bytes: usize,
    properties: BTreeSet<String>,
}

#[tokio::test]
async fn the_broker_limit_sends_what_the_run_sent() -> Result<()> {
    const ALL: &str = "all.that.is.published";
    let (rabbitmq, postgres) = tokio::try_join!(RabbitMq::start(), Postgres::start())?;
    // From now on the broker gives this queue a copy of every message.
    rabbitmq.ctl(["trace_on"]).await?;
    let connection = lapin::Connection::connect(&rabbitmq.url(), ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let nothing = FieldTable::default;
    channel.queue_declare(ALL.into(), QueueDeclareOptions::exclusive(), nothing()).await?;
    let bound = QueueBindOptions::default();
    channel.queue_bind(ALL.into(), "amq.rabbitmq.trace".into(), "publish.#".into(), bound, nothing()).await?;

    let mut command = backstitch(["bench", "--tasks", "300", "--batch", "1", "--output", "json"])?;
    command.args(["--database-url", &postgres.url(), "--broker-url", &rabbitmq.url()]);
    let output = command.output().await?;
    ensure!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));

    let properties = BasicProperties::default();
    let end =
        channel.basic_publish("".into(), ALL.into(), BasicPublishOptions::default(), b"end", properties);
    end.await?.await?;
    let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    let mut copies = channel.basic_consume(ALL.into(), "test".into(), options, nothing()).await?;
    let mut published: BTreeMap<String, Published> = BTreeMap::new();
    while let Some(copy) = copies.next().await.transpose()? {
        if copy.data == b"end" {
            break;
        }
        let headers = copy.properties.headers().clone().unwrap_or_default();
        let of = published.entry(routing_key(&headers).context("a routing key")?).or_default();
        of.messages += 1;
        of.bytes += copy.data.len();
        of.properties.extend(properties_of(&headers));
    }
    for (run, limit) in [
        ("backstitch.tasks.bench", "backstitch.bench.tasks"),
        ("backstitch.reports", "backstitch.bench.reports"),
    ] {
        let of = |queue: &str| published.get(queue).with_context(|| format!("{queue} in {published:#?}"));
        let (run, limit) = (of(run)?, of(limit)?);
        ensure!(run.messages == limit.messages && run.properties == limit.properties, "{run:?}, {limit:?}");
        // A mean has a fraction, and a body has none.
        ensure!(run.bytes.abs_diff(limit.bytes) as u64 <= run.messages, "{run:?}, {limit:?}");
    }
    ensure!(published["backstitch.tasks.bench"].messages == 300, "{published:#?}");
    Ok(())
}

/// The queue that a traced message was for.
fn routing_key(headers: &FieldTable) -> Option<String> {
    let AMQPValue::FieldArray(keys) = headers.inner().get("routing_keys")? else { return None };
    text(keys.as_slice().first()?)
}

/// The properties of a traced message: what holds a name by the name's form, the rest as it is.
fn properties_of(headers: &FieldTable) -> Vec<String> {
    let Some(AMQPValue::FieldTable(properties)) = headers.inner().get("properties") else {
        return Vec::new();
    };
    let shown = |(name, value): (&lapin::types::ShortString, &AMQPValue)| match text(value) {
        Some(text) if text.len() == 36 => format!("{name}: as long as a UUID"),
        Some(text) => format!("{name}: {}", text.replace(|digit: char| digit.is_ascii_digit(), "")),
        None => format!("{name}: {value:?}"),
    };
    properties.inner().iter().map(shown).collect()
}

fn text(value: &AMQPValue) -> Option<String> {
    match value {
        AMQPValue::LongString(text) => Some(text.to_string()),
        AMQPValue::ShortString(text) => Some(text.to_string()),
        _ => None,
    }
}

/// Rows that were inserted, updated and deleted in each table of a ledger.
type Written = BTreeMap<String, [i64; 3]>;

#[tokio::test]
async fn the_ledger_limit_writes_what_the_run_wrote() -> Result<()> {
    const TASKS: i64 = 3_000;
    let (rabbitmq, postgres) = tokio::try_join!(RabbitMq::start(), Postgres::start())?;
    let mut command = backstitch(["bench", "--assets", "2", "--batch", "1", "--keep", "--output", "json"])?;
    command.args(["--tasks", &TASKS.to_string()]);
    command.args(["--database-url", &postgres.url(), "--broker-url", &rabbitmq.url()]);
    let output = command.output().await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {said}", output.status);
    let figures: Value = serde_json::from_slice(&output.stdout)?;
    let databases: Vec<&str> =
        said.lines().filter_map(|line| line.strip_prefix("left behind: database ")).collect();
    let [run, limit] = *databases else { bail!("two databases: {said}") };
    let (run, limit) = (written(&postgres, run).await?, written(&postgres, limit).await?);
    for (table, of_run) in &run {
        let of_limit = limit.get(table).copied().unwrap_or_default();
        let differ = |kind: usize, most: i64| of_run[kind].abs_diff(of_limit[kind]) > most as u64;
        if table == "progress" {
            // One for each commit that ends tasks, and not every commit of a run does. They go with the end of the run.
            ensure!(!differ(0, 5 + of_run[0] / 4), "{table}: {of_run:?}, {of_limit:?}, {figures:#}");
            continue;
        }
        // A row of each task or message, or one of a handful.
        let differs = (0..3).any(|kind| differ(kind, TASKS / 100));
        ensure!(!differs, "{table}: inserted, updated, deleted {of_run:?}, {of_limit:?}, {figures:#}");
        if table == "asset_partitions" || table.starts_with("attempts_") || table == "dispatches" {
            ensure!(of_run[0] == TASKS, "{table}: {of_run:?}");
        }
    }
    // What is written at a pace, and not with each commit.
    let [_, marked, _] = limit["confirmations"];
    let per_second = figures["ledger_limit_per_second"].as_f64().context("the limit")?;
    // Making the rows takes time, too.
    ensure!(marked as f64 <= 1.0 + 2.0 * TASKS as f64 / per_second, "{limit:?}, {figures:#}");
    Ok(())
}

/// As the server has counted it, which it does when sessions end.
async fn written(postgres: &Postgres, database: &str) -> Result<Written> {
    let url = postgres.url();
    let (server, _) = url.rsplit_once('/').context("a URL with a database")?;
    let mut session = PgConnection::connect(&format!("{server}/{database}")).await?;
    let rows: Vec<(String, i64, i64, i64)> =
        sqlx::query_as("SELECT relname::text, n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_user_tables")
            .fetch_all(&mut session)
            .await?;
    Ok(rows
        .into_iter()
        .map(|(table, inserted, updated, deleted)| (table, [inserted, updated, deleted]))
        .collect())
}
