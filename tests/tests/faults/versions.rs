//! F19. Programs of two versions at once, as in an upgrade that is rolled out, rolled back, and rolled out again: the
//! one that `tests/run` builds from an earlier commit, and that of today.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use backstitch_tests::cluster::{Cluster, PATIENCE, Project, Shape};
use backstitch_tests::shared::skipped;
use backstitch_tests::wait::wait_for;
use serde_json::Value;
use sqlx::{Connection, PgConnection};

/// Partitions of each of two assets.
const SLICES: u32 = 300;

/// Successful attempts by the worker that made them.
async fn successes(cluster: &Cluster) -> Result<BTreeMap<uuid::Uuid, i64>> {
    let mut session = PgConnection::connect(&cluster.database_url()).await?;
    let by_worker = "SELECT worker_id, COUNT(*) FROM attempts WHERE outcome = 'succeeded' GROUP BY worker_id";
    Ok(sqlx::query_as(by_worker).fetch_all(&mut session).await?.into_iter().collect())
}

/// Waits until each of `workers` has succeeded with more tasks than now.
async fn until_each_goes_on(cluster: &Cluster, workers: usize) -> Result<()> {
    let before = successes(cluster).await?;
    wait_for("workers of both versions to succeed", PATIENCE, async || {
        let now = successes(cluster).await.ok()?;
        let ahead =
            now.iter().filter(|(worker, count)| before.get(worker).is_none_or(|before| before < count));
        (ahead.count() == workers).then_some(())
    })
    .await
}

/// Waits until tasks have failed once and wait for their second attempt.
async fn until_some_wait_for_a_retry(cluster: &Cluster) -> Result<()> {
    const WAITING: &str = "SELECT COUNT(*) FROM (SELECT 1 FROM attempts GROUP BY run_id, asset_index, ordinal \
        HAVING bool_and(outcome = 'failed')) AS tasks";
    let mut session = PgConnection::connect(&cluster.database_url()).await?;
    wait_for("tasks that wait for a retry", PATIENCE, async || {
        let waiting: i64 = sqlx::query_scalar(WAITING).fetch_one(&mut session).await.ok()?;
        (waiting > 0).then_some(())
    })
    .await
}

/// Ends the coordinator that leads while tasks wait for a retry, and waits for the one that stands by.
async fn hand_over(cluster: &mut Cluster) -> Result<()> {
    until_some_wait_for_a_retry(cluster).await?;
    let mut leader = cluster.coordinators.remove(0);
    leader.process.terminate()?;
    cluster.coordinators[0].process.line("leading", PATIENCE).await?;
    leader.process.wait(PATIENCE).await?;
    Ok(())
}

#[tokio::test]
async fn coordinators_and_workers_of_two_versions_work_together_through_an_upgrade_and_back() -> Result<()> {
    let Some(released) = std::env::var_os("BACKSTITCH_TEST_RELEASED").map(PathBuf::from) else {
        return skipped("BACKSTITCH_TEST_RELEASED names no program of another version; tests/run builds one");
    };
    let shape = Shape { workers: 1, ..Shape::default() };
    // Each of the second fails once. Its next attempt is long enough away for another leader to be the one who makes it.
    let assets = "  first: {partitions: slices, command: [sh, task.sh, sleep, \"0.1\"]}\n  \
                    second: {partitions: slices, deps: [first], command: [sh, task.sh, flaky, \"0.1\"], \
                             retries: {max_retries: 1, delay: 3s}}\n";
    let project = Project::new(SLICES, 2, assets)?.with_edge("first", "second");
    let mut cluster = Cluster::start(project, shape).await?;
    let run = cluster.submit().await?;
    cluster.program = Some(released.clone());
    cluster.add_worker().await?;
    cluster.until_workers(2).await.context("a coordinator of today, a worker of before")?;
    until_each_goes_on(&cluster, 2).await?;

    cluster.add_coordinator().await?;
    hand_over(&mut cluster).await.context("back to the coordinator of before")?;
    cluster.until_workers(2).await?;
    until_each_goes_on(&cluster, 2).await?;

    cluster.program = None;
    cluster.add_coordinator().await?;
    hand_over(&mut cluster).await.context("forward to the coordinator of today")?;
    cluster.until_workers(2).await?;
    until_each_goes_on(&cluster, 2).await?;
    cluster.finish(&run).await?;
    let (outcomes, begun) = (cluster.outcomes().await?, cluster.project.journal()?.begun());
    let (succeeded, failed) = (2 * SLICES as usize, SLICES as usize);
    let each =
        BTreeMap::from([("succeeded".to_owned(), succeeded as i64), ("failed".to_owned(), failed as i64)]);
    ensure!(outcomes == each, "not one failure of each of the second: {outcomes:?}");
    ensure!(begun == succeeded + failed, "{begun} executions of {succeeded} tasks and {failed} retries");

    let (database, broker) = (cluster.database_url(), cluster.broker_url());
    let arguments = ["verify", "--output", "json", "--database-url", &database, "--broker-url", &broker];
    let said: Value = serde_json::from_str(&cluster.run(&arguments).await?)?;
    ensure!(said["broker"]["dead_letters"] == 0, "somebody did not understand somebody: {said:#}");
    Ok(())
}
