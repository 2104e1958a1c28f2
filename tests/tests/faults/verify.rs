//! `backstitch verify` can fail: each of its checks finds what it is for, in a real ledger that somebody has changed.

use anyhow::{Context, Result, ensure};
use backstitch_broker::Target;
use backstitch_proto::message::task_queue;
use backstitch_tests::cluster::{Cluster, PATIENCE, Project, Shape};
use backstitch_tests::stranger::Stranger;
use backstitch_tests::wait::wait_for;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::task::JoinHandle;

/// A copy of some successful attempt of the ended run, which the rest changes and writes back.
const ANOTHER_ATTEMPT: &str = "CREATE TEMP TABLE another AS SELECT * FROM attempts WHERE run_id = 'ENDED' \
    AND outcome = 'succeeded' ORDER BY asset_index, ordinal LIMIT 1; UPDATE another SET attempt = attempt + 1; ";

/// What somebody does to the ledger, and what is found. `ENDED` and `LIVE` stand for runs, `ONE` for one of a single
/// partition.
const CORRUPTIONS: &[(&str, &str)] = &[
    ("A; INSERT INTO attempts SELECT * FROM another", "ONCE: tasks with more than one successful attempt"),
    (
        "A; UPDATE another SET outcome = 'lost', terminal = FALSE; INSERT INTO attempts SELECT * FROM another",
        "FENCE: attempts that ended after their task was done",
    ),
    (
        "UPDATE asset_partitions SET attempt = 99 WHERE partition_key = 'p00001'",
        "FENCE: materializations that no successful attempt made",
    ),
    (
        "UPDATE asset_partitions SET materialized_us = NULL WHERE partition_key = 'p00001'",
        "COUNT: successful attempts whose partition is not materialized",
    ),
    (
        "UPDATE run_assets SET succeeded = succeeded - 1 WHERE run_id = 'ENDED'",
        "COUNT: assets of finished runs whose final counts are not those of their attempts",
    ),
    (
        "INSERT INTO dispatches SELECT 1, run_id, 0, 1, FALSE, 0, targets FROM run_assets WHERE run_id = 'ENDED' \
         AND position = 0",
        "LIVE: dispatches of finished runs that are not closed",
    ),
    (
        "INSERT INTO dispatches SELECT 1, gen_random_uuid(), 0, 1, FALSE, 0, targets FROM run_assets \
         WHERE run_id = 'ENDED' AND position = 0",
        "LIVE: dispatches and progress of runs that were never submitted",
    ),
    (
        "UPDATE run_assets SET targets = (SELECT targets FROM run_assets WHERE run_id = 'ONE' AND position = 0) \
         WHERE run_id = 'LIVE'",
        "CONSERVE: tasks that were done but not targeted",
    ),
    (
        "UPDATE run_assets SET skipped = skipped + 1 WHERE run_id = 'ENDED' AND position = 0",
        "CONSERVE: assets of finished runs whose final counts are not all of their tasks",
    ),
    (
        "UPDATE progress SET failed = succeeded WHERE run_id = 'LIVE'",
        "CONSERVE: tasks that ended in two ways",
    ),
    (
        "UPDATE run_assets SET materialized = '' WHERE run_id = 'ENDED' AND position = 0",
        "COUNT: assets of finished runs whose materialized tasks are not those that were counted",
    ),
    (
        "UPDATE runs SET status = 'failed' WHERE id = 'ENDED'",
        "COUNT: finished runs whose status is not that of their counts",
    ),
    (
        "A; DELETE FROM attempts t USING another a WHERE (t.run_id, t.asset_index, t.ordinal) = (a.run_id, \
         a.asset_index, a.ordinal); INSERT INTO attempts SELECT * FROM another",
        "FENCE: tasks whose attempts are not numbered one after the other",
    ),
    (
        "A; UPDATE attempts t SET outcome = 'lost', terminal = FALSE FROM another a WHERE (t.run_id, t.asset_index, \
         t.ordinal) = (a.run_id, a.asset_index, a.ordinal); INSERT INTO attempts SELECT * FROM another",
        "FENCE: attempts under a dispatch that is older than that of the attempt before",
    ),
    (
        "A; UPDATE another SET attempt = attempt - 2, outcome = 'lost', terminal = FALSE; \
         INSERT INTO attempts SELECT * FROM another; UPDATE another SET attempt = attempt - 1; \
         INSERT INTO attempts SELECT * FROM another; UPDATE another SET attempt = attempt - 1; \
         INSERT INTO attempts SELECT * FROM another; UPDATE another SET attempt = attempt - 1; \
         INSERT INTO attempts SELECT * FROM another",
        "BUDGET: assets of runs with a task that failed or was lost more often than it may",
    ),
    (
        "UPDATE run_assets SET materialized = (SELECT targets FROM run_assets WHERE run_id = 'ONE' AND position = 0) \
         WHERE run_id = 'ENDED' AND position = 0",
        "ORDER: tasks of finished runs that succeeded without what they need",
    ),
    (
        "UPDATE attempts t SET dispatch_id = o.dispatch_id FROM attempts o WHERE t.run_id = 'ENDED' \
         AND t.outcome = 'succeeded' AND t.asset_index < 2 AND t.ordinal = 7 AND o.run_id = t.run_id \
         AND o.outcome = 'succeeded' AND o.asset_index = 1 - t.asset_index AND o.ordinal = t.ordinal",
        "ORDER: tasks that succeeded under a dispatch that is older than that of what they need (1 row)",
    ),
    (
        "UPDATE attempts SET outcome = 'cancelled' WHERE run_id = 'LIVE'",
        "INTENT: runs that were cancelled, or some of their tasks, though nobody has asked for it (1 row)",
    ),
    (
        "UPDATE run_assets SET cancelled = 1 WHERE run_id = 'ENDED' AND position = 0",
        "INTENT: runs that were cancelled, or some of their tasks, though nobody has asked for it (1 row)",
    ),
    (
        "DELETE FROM progress WHERE run_id = 'LIVE'",
        "COUNT: assets of live runs whose progress is not that of their attempts",
    ),
];

/// What a leader of the seventh term says of itself.
const LEADER: &str = r#"{"name": "c", "url": "", "epoch": 7, "here": true}"#;

/// Somebody who says that they lead this ledger, in the seventh term, and sees these violations.
async fn stand_in(database: &str, violations: &'static str) -> Result<JoinHandle<std::io::Result<()>>> {
    let router = axum::Router::new()
        .route("/api/leader", axum::routing::get(async || LEADER))
        .route("/api/violations", axum::routing::get(async move || violations));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let serving = tokio::spawn(axum::serve(listener, router).into_future());
    let mut session = PgConnection::connect(database).await?;
    sqlx::query("UPDATE leadership SET epoch = 7, api_address = $1").bind(&url).execute(&mut session).await?;
    let alive = "UPDATE lease SET epoch = 7, renewed_at = clock_timestamp() + interval '1 hour'";
    sqlx::query(alive).execute(&mut session).await?;
    session.close().await?;
    Ok(serving)
}

#[tokio::test]
async fn verify_finds_every_kind_of_damage_and_nothing_in_a_sound_ledger() -> Result<()> {
    let mut cluster =
        Cluster::start(Project::chain(40, "0.02")?, Shape { workers: 2, ..Shape::default() }).await?;
    let one = json!({ "assets": "*", "partitions": "p00000", "filter": "all" });
    let one = cluster.submit_as(one).await?;
    cluster.until_ended(&one).await?;
    let ended = cluster.submit().await?;
    cluster.until_ended(&ended).await?;
    let live = cluster.submit().await?;
    cluster.until_succeeded(&live, 10).await?;
    // Now nobody works on the ledger any more, and it can be copied.
    cluster.coordinators.remove(0).process.kill().await?;
    for mut worker in cluster.workers.drain(..) {
        worker.process.kill().await?;
    }
    let sound = cluster.database_url();
    let serving = stand_in(&sound, "[]").await?;
    cluster.run(&["verify", "--database-url", &sound]).await.context("of the sound ledger")?;

    let (server, name) = sound.rsplit_once('/').context("a URL with a database")?;
    let mut session = PgConnection::connect(&format!("{server}/postgres")).await?;
    for (number, (corruption, finding)) in CORRUPTIONS.iter().enumerate() {
        let copy = format!("{name}_{number}");
        let create = format!("CREATE DATABASE {copy} TEMPLATE {name}");
        sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut session).await?;
        let copy = format!("{server}/{copy}");
        let sql = corruption.replace("A; ", ANOTHER_ATTEMPT);
        let sql = sql.replace("ENDED", &ended).replace("LIVE", &live).replace("ONE", &one);
        let mut damaged = PgConnection::connect(&copy).await?;
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut damaged).await.context(*corruption)?;
        damaged.close().await?;
        let refused = cluster.run(&["verify", "--database-url", &copy]).await.err();
        let said = refused.with_context(|| format!("nothing was found after: {corruption}"))?.to_string();
        ensure!(said.contains("exit status: 1") && said.contains(finding), "{corruption}: {said}");
    }
    serving.abort();
    Ok(())
}

#[tokio::test]
async fn verify_says_what_the_leader_sees_and_finds_live_runs_without_one() -> Result<()> {
    let mut cluster =
        Cluster::start(Project::chain(1, "0.01")?, Shape { workers: 0, ..Shape::default() }).await?;
    let database = cluster.database_url();
    let arguments = ["verify", "--database-url", &database];
    let said = cluster.run(&arguments).await?;
    ensure!(said.contains("leader: 0 violations"), "{said}");
    cluster.coordinators.remove(0).process.kill().await?;
    let said = cluster.run(&arguments).await?;
    ensure!(said.contains("does not answer, or leads no more: not looked at"), "{said}");
    ensure!(said.contains("What was looked at holds."), "{said}");

    cluster.add_coordinator().await?;
    let run = cluster.submit().await?;
    let said = cluster.run(&arguments).await?;
    ensure!(said.contains("All invariants hold."), "{said}");
    cluster.coordinators.remove(0).process.kill().await?;
    let said = cluster.run(&arguments).await.err().context("nothing was found")?.to_string();
    let silent = "LIVE: 1 live run, and nobody who leads answers";
    ensure!(said.contains("exit status: 1") && said.contains(silent), "{said}");
    // From when on its lease is over, the ledger names nobody.
    let unled = wait_for("the lease of leadership to run out", PATIENCE, async || {
        let said = cluster.run(&arguments).await.unwrap_or_else(|error| error.to_string());
        said.contains("leader: nobody leads").then_some(said)
    });
    let said = unled.await?;
    ensure!(said.contains("exit status: 1") && said.contains(silent), "{said}");
    cluster.add_coordinator().await?;
    cluster.add_worker().await?;
    cluster.finish(&run).await?;
    cluster.coordinators.remove(0).process.kill().await?;

    let serving = stand_in(&database, r#"["LIMIT: pool p: 3 of 2 slots are taken"]"#).await?;
    let said = cluster.run(&arguments).await.err().context("nothing was found")?.to_string();
    serving.abort();
    ensure!(
        said.contains("exit status: 1") && said.contains("LIMIT: pool p: 3 of 2 slots are taken"),
        "{said}"
    );
    Ok(())
}

#[tokio::test]
async fn verify_finds_a_task_queue_that_holds_more_than_any_window() -> Result<()> {
    const MESSAGES: usize = 5_000;
    let cluster =
        Cluster::start(Project::chain(1, "0.01")?, Shape { workers: 0, ..Shape::default() }).await?;
    let (database, broker_url) = (cluster.database_url(), cluster.broker_url());
    let arguments = ["verify", "--database-url", &database, "--broker-url", &broker_url];
    cluster.run(&arguments).await?;
    let stranger = Stranger::at(&broker_url).await?;
    let messages = std::iter::repeat_n(b"not ours".to_vec(), MESSAGES);
    stranger.send(&Target::Queue(task_queue("default")), messages).await?;
    stranger.leave().await;
    let said = cluster.run(&arguments).await.err().context("nothing was found")?.to_string();
    ensure!(said.contains("exit status: 1") && said.contains("BOUND: 5000 messages wait"), "{said}");
    Ok(())
}
