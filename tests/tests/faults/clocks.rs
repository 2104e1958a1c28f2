//! Wall clocks that jump. Leases run on clocks that do not.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use backstitch_tests::clock::WallClock;
use backstitch_tests::cluster::{Cluster, Database, PATIENCE, Project, Shape};
use backstitch_tests::postgres::Postgres;
use backstitch_tests::wait::wait_for;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

const HOUR_S: i64 = 3_600;

/// How far a time in the ledger may be from the clock that it was read from: for as long as anything here waits.
const NEAR_S: i64 = 900;

/// The time of the last attempt that was begun, by a worker's clock.
const ATTEMPTS: &str = "SELECT started_us FROM attempts";

/// When a dispatch that is open was made, by the leader's clock.
const DISPATCHES: &str = "SELECT created_us FROM dispatches";

/// Whether the ledger has a time that is about `ahead_s` ahead of ours: the clock that it is from has been set.
async fn is_told(cluster: &Cluster, times: &str, ahead_s: i64) -> Result<bool> {
    let mut session = PgConnection::connect(&cluster.database_url()).await?;
    let now_s = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
    let told: Vec<i64> = sqlx::query_scalar(AssertSqlSafe(times)).fetch_all(&mut session).await?;
    Ok(told.iter().any(|told_us| (told_us / 1_000_000 - now_s - ahead_s).abs() < NEAR_S))
}

/// Waits until it has.
async fn until_told(cluster: &Cluster, times: &str, ahead_s: i64) -> Result<()> {
    wait_for("a time of the clock that was set", PATIENCE, async || {
        is_told(cluster, times, ahead_s).await.ok()?.then_some(())
    })
    .await
    .with_context(|| format!("{times}, {ahead_s} s ahead"))
}

/// The clocks of the processes of a cluster: one worker, the leader, everybody.
fn clocks(cluster: &Cluster) -> Result<[Vec<&WallClock>; 3]> {
    let workers = cluster.workers.iter().map(|worker| worker.clock.as_ref());
    let leader = cluster.coordinators.iter().map(|coordinator| coordinator.clock.as_ref());
    let leader: Vec<&WallClock> = leader.collect::<Option<_>>().context("a clock of its own")?;
    let workers: Vec<&WallClock> = workers.collect::<Option<_>>().context("a clock of its own")?;
    let all = workers.iter().chain(&leader).copied().collect();
    Ok([workers[..1].to_vec(), leader, all])
}

/// F16. In the middle of a run the wall clock of one worker goes an hour ahead, then only the leader's two hours, then
/// everybody's a day ahead and an hour back. Each is seen in the ledger before the next one comes.
#[tokio::test]
async fn wall_clocks_that_jump_lose_no_lease_and_no_task() -> Result<()> {
    let shape = Shape { own_clocks: true, ..Shape::default() };
    let mut cluster = Cluster::start(Project::chain(250, "0.1")?, shape).await?;
    let run = cluster.submit().await?;
    cluster.until_succeeded(&run, 20).await?;
    for (whose, ahead_s, told) in [
        (0, HOUR_S, ATTEMPTS),
        (1, 2 * HOUR_S, DISPATCHES),
        (2, 24 * HOUR_S, ATTEMPTS),
        (2, 24 * HOUR_S, DISPATCHES),
        (2, -HOUR_S, ATTEMPTS),
    ] {
        let [one_worker, leader, all] = clocks(&cluster)?;
        all.iter().try_for_each(|clock| clock.set(0))?;
        [one_worker, leader, all][whose].iter().try_for_each(|clock| clock.set(ahead_s))?;
        until_told(&cluster, told, ahead_s).await?;
    }
    let counts = cluster.counts(&run).await.context("the run")?;
    ensure!(counts["succeeded"] != cluster.project.tasks, "the run had ended before the last clock was set");
    cluster.until_ended(&run).await?;
    cluster.no_worker_was_lost().await?;
    cluster.finish_each_once(&run).await?;
    ensure!(cluster.outcomes().await?.len() == 1, "{:?}", cluster.outcomes().await?);
    Ok(())
}

/// F16, F20. A worker remembers what was cancelled with a time of its own clock. Whether that is ahead or behind, what
/// runs is stopped, and nothing of the run that takes the rest up is.
#[tokio::test]
async fn a_cancel_under_a_wrong_clock_stops_what_was_made_before_it_and_nothing_after() -> Result<()> {
    const TASKS: u32 = 12;
    let shape = Shape { workers: 1, own_clocks: true, ..Shape::default() };
    let mut cluster = Cluster::start(Project::gated(TASKS)?, shape).await?;
    for ahead_s in [HOUR_S, -HOUR_S] {
        let clock = cluster.workers[0].clock.as_ref().context("a clock of its own")?;
        clock.set(ahead_s)?;
        // Runs that end, until one of them shows in the ledger what time the worker has: it looks once a second.
        cluster.project.open_gate()?;
        let deadline = Instant::now() + PATIENCE;
        while !is_told(&cluster, ATTEMPTS, ahead_s).await? {
            ensure!(Instant::now() < deadline, "waited in vain for the time of the worker");
            let told = cluster.submit().await?;
            cluster.until_ended(&told).await?;
        }
        cluster.project.close_gate()?;

        let begun = cluster.project.journal()?.begun();
        let run = cluster.submit().await?;
        cluster.until_begun(begun + 2).await?;
        cluster.cancel(&run).await?;
        let ended = cluster.until_ended(&run).await?;
        ensure!(ended["status"] == "cancelled" && ended["counts"]["cancelled"] == TASKS, "{ended:#}");

        let rest = cluster.leader_says("POST", &format!("/api/runs/{run}/retry"), None).await;
        let rest = rest.context("a retry was refused")?;
        let rest = rest["run"].as_str().context("a run")?;
        cluster.project.open_gate()?;
        let ended = cluster.until_ended(rest).await?;
        ensure!(ended["status"] == "succeeded" && ended["counts"]["succeeded"] == TASKS, "{ended:#}");
        let stopped = cluster.project.journal()?.stopped_of(rest);
        ensure!(stopped == 0, "{stopped} tasks of the run that took up the rest were stopped");
        cluster.project.close_gate()?;
    }
    cluster.audit().await
}

/// Sets the clock of the database, and waits until it goes by it.
async fn set_clock_of_database(cluster: &mut Cluster, ahead_s: i64) -> Result<()> {
    cluster.postgres()?.clock()?.set(ahead_s)?;
    let mut session = PgConnection::connect(&cluster.database_url()).await?;
    let is_set = "SELECT abs(extract(epoch FROM clock_timestamp())::bigint - $1) < $2";
    wait_for("the clock of the database to be set", PATIENCE, async || {
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs().cast_signed();
        let is_set =
            sqlx::query_scalar::<_, bool>(is_set).bind(now_s + ahead_s).bind(NEAR_S).fetch_one(&mut session);
        is_set.await.ok()?.then_some(())
    })
    .await
}

/// F16. The clock of the database, by which a leader shows that it lives, goes an hour ahead and two hours back.
#[tokio::test]
async fn a_database_whose_clock_jumps_costs_no_task_and_no_worker() -> Result<()> {
    let database = Database::Given(Box::new(Postgres::start_with_clock().await?));
    let shape = Shape { coordinators: 2, database, ..Shape::default() };
    let mut cluster = Cluster::start(Project::chain(400, "0.1")?, shape).await?;
    let run = cluster.submit().await?;
    for (succeeded, ahead_s) in [(40, HOUR_S), (160, -HOUR_S), (280, 0)] {
        cluster.until_succeeded(&run, succeeded).await?;
        set_clock_of_database(&mut cluster, ahead_s).await?;
    }
    let counts = cluster.counts(&run).await.context("the run")?;
    ensure!(counts["succeeded"] != cluster.project.tasks, "the run had ended before the last jump");
    cluster.until_ended(&run).await?;
    cluster.no_worker_was_lost().await?;
    cluster.finish_each_once(&run).await?;
    cluster.each_succeeded_at_once().await
}

/// F6, F16. The leader stands still, and right after its last sign of life the clock of the database goes back: by that clock
/// it would be silent for too long only in an hour.
#[tokio::test]
async fn a_frozen_leader_is_replaced_although_the_clock_of_the_database_goes_back() -> Result<()> {
    // Many times what it takes when no clock jumps.
    const REPLACED_WITHIN: Duration = Duration::from_secs(60);
    let database = Database::Given(Box::new(Postgres::start_with_clock().await?));
    let shape = Shape { coordinators: 2, workers: 2, database, ..Shape::default() };
    let mut cluster = Cluster::start(Project::gated(4)?, shape).await?;
    let run = cluster.submit().await?;
    cluster.until_begun(4).await?;
    cluster.coordinators[0].process.freeze()?;
    set_clock_of_database(&mut cluster, -HOUR_S).await?;
    cluster.coordinators[1].process.line("leading", REPLACED_WITHIN).await?;
    cluster.project.open_gate()?;
    // What the frozen leader has been given, the broker gives to the other one only when it misses the frozen one itself.
    cluster.coordinators.swap(0, 1);
    cluster.until_succeeded(&run, 4).await?;
    cluster.finish(&run).await?;
    cluster.each_succeeded_at_once().await
}
