//! What happens to Postgres: it dies, stands still, ends our sessions, is full, or is read by somebody who does not leave.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use backstitch_tests::cluster::{Cluster, Database, PATIENCE, Project, Shape};
use backstitch_tests::disk::SmallDisk;
use backstitch_tests::postgres::Postgres;
use backstitch_tests::relay::Relay;
use backstitch_tests::shared::skipped;
use backstitch_tests::wait::{pass, wait_for};
use sqlx::migrate::Migrator;
use sqlx::{Connection, PgConnection};

/// F4. The server crashes, and every session is ended again and again; no process of ours exits.
#[tokio::test]
async fn a_database_that_crashes_or_ends_every_session_loses_nothing_and_stops_nobody() -> Result<()> {
    let shape = Shape { coordinators: 2, database: Database::Own, ..Shape::default() };
    let mut cluster = Cluster::start(Project::chain(200, "0.04")?, shape).await?;
    let run = cluster.submit().await?;
    for succeeded in [40, 160] {
        cluster.until_succeeded(&run, succeeded).await?;
        cluster.postgres()?.kill().await?;
        cluster.postgres()?.restart().await?;
    }
    cluster.until_succeeded(&run, 240).await?;
    for _ in 0..20 {
        // Whoever leads has at least the session that it leads with, for as long as it leads.
        let ended = async || {
            (leader_sessions(&cluster).await.ok()? > 0 && cluster.end_sessions().await.ok()? > 0)
                .then_some(())
        };
        wait_for("a leader's session to end", PATIENCE, ended).await?;
    }
    everybody_is_there(&mut cluster)?;
    cluster.finish(&run).await
}

async fn leader_sessions(cluster: &Cluster) -> Result<i64> {
    let mut session = PgConnection::connect(&cluster.database_url()).await?;
    let count = "SELECT COUNT(*) FROM pg_stat_activity WHERE application_name LIKE 'backstitch leader %'";
    Ok(sqlx::query_scalar(count).fetch_one(&mut session).await?)
}

fn everybody_is_there(cluster: &mut Cluster) -> Result<()> {
    let coordinators = cluster.coordinators.iter_mut().map(|coordinator| &mut coordinator.process);
    for process in coordinators.chain(cluster.workers.iter_mut().map(|worker| &mut worker.process)) {
        ensure!(process.ended().is_none(), "{} left:\n{}", process.name(), process.output());
    }
    Ok(())
}

/// F4. The server is lost for good, with everything that only it had; its synchronous standby has every commit.
#[tokio::test]
async fn a_standby_database_takes_over() -> Result<()> {
    let primary = Postgres::start().await?;
    let standby = primary.start_standby().await?;
    let database = Database::Given(Box::new(primary));
    let shape = Shape { coordinators: 2, database, ..Shape::default() };
    let mut cluster = Cluster::start(Project::chain(120, "0.05")?, shape).await?;
    let run = cluster.submit().await?;
    cluster.until_succeeded(&run, 80).await?;
    cluster.postgres()?.kill().await?;
    standby.promote().await?;
    cluster.fail_over(standby);
    cluster.until_succeeded(&run, 160).await?;
    everybody_is_there(&mut cluster)?;
    cluster.finish(&run).await
}

/// F4. The server is lost for good, and its standby, which no commit waited for, lacks the last of them: what had
/// succeeded in these is not known any more, and is executed again.
#[tokio::test]
async fn a_standby_database_that_lacks_commits_takes_over_and_what_they_held_is_done_again() -> Result<()> {
    let primary = Postgres::start().await?;
    let line = Relay::to(primary.port()).await?;
    let standby = primary.start_late_standby(&line).await?;
    let database = Database::Given(Box::new(primary));
    let shape = Shape { coordinators: 2, database, ..Shape::default() };
    let mut cluster = Cluster::start(Project::chain(120, "0.05")?, shape).await?;
    let run = cluster.submit().await?;
    cluster.until_succeeded(&run, 60).await?;
    line.silence();
    cluster.until_succeeded(&run, 140).await?;
    cluster.postgres()?.kill().await?;
    // What was held back is gone.
    line.refuse();
    standby.promote().await?;
    let mut session = PgConnection::connect(&standby.url()).await?;
    let recorded: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM attempts").fetch_one(&mut session).await?;
    println!("the standby has {recorded} of at least 140 successes");
    ensure!(recorded < 140, "the standby lacks nothing");
    cluster.fail_over(standby);
    cluster.until_succeeded(&run, 180).await?;
    everybody_is_there(&mut cluster)?;
    cluster.finish(&run).await?;
    let (begun, tasks) = (cluster.project.journal()?.begun() as u64, cluster.project.tasks);
    println!("{begun} executions of {tasks} tasks");
    ensure!(begun > tasks, "nothing was executed again");
    cluster.each_succeeded_at_once().await
}

/// F15. Of a database that stalls: after how many successes, and for how long. A leader is replaced after 4 s, a worker is lost after 10 s.
const STALLS: [(u64, Duration); 2] = [(40, Duration::from_secs(6)), (200, Duration::from_secs(20))];

/// F15. The whole server stands still, for longer than the lease of leadership and then for longer than that of a
/// worker. Both coordinators wait for it, and whoever leads then has not heard less of the workers.
#[tokio::test]
async fn a_database_that_stands_still_for_longer_than_every_lease_costs_no_worker() -> Result<()> {
    let shape = Shape { coordinators: 2, database: Database::Own, ..Shape::default() };
    let mut cluster = Cluster::start(Project::chain(200, "0.1")?, shape).await?;
    let run = cluster.submit().await?;
    for (succeeded, stall) in STALLS {
        cluster.until_succeeded(&run, succeeded).await?;
        cluster.postgres()?.freeze()?;
        // That nothing happens is the point.
        pass(stall).await;
        cluster.postgres()?.thaw()?;
    }
    nobody_was_lost(&mut cluster, &run).await
}

/// F15. A disk that stalls: the server answers whoever reads, and no commit comes back. The disk is that of a standby
/// that every commit waits for.
#[tokio::test]
async fn commits_that_hang_for_longer_than_every_lease_cost_no_worker() -> Result<()> {
    let primary = Postgres::start().await?;
    let standby = primary.start_standby().await?;
    let database = Database::Given(Box::new(primary));
    let shape = Shape { coordinators: 2, database, ..Shape::default() };
    let mut cluster = Cluster::start(Project::chain(200, "0.1")?, shape).await?;
    let run = cluster.submit().await?;
    for (succeeded, stall) in STALLS {
        cluster.until_succeeded(&run, succeeded).await?;
        standby.freeze()?;
        until_commits_hang(&cluster).await?;
        pass(stall).await;
        standby.thaw()?;
    }
    nobody_was_lost(&mut cluster, &run).await
}

/// Waits until a commit of ours waits for the standby.
async fn until_commits_hang(cluster: &Cluster) -> Result<()> {
    let mut session = PgConnection::connect(&cluster.database_url()).await?;
    wait_for("a commit that waits for the standby", PATIENCE, async || {
        let hanging = "SELECT COUNT(*) > 0 FROM pg_stat_activity WHERE wait_event = 'SyncRep' \
            AND application_name LIKE 'backstitch %'";
        sqlx::query_scalar::<_, bool>(hanging).fetch_one(&mut session).await.ok()?.then_some(())
    })
    .await
}

/// The run ends, every task of it ran once, and no worker was taken for dead meanwhile.
async fn nobody_was_lost(cluster: &mut Cluster, run: &str) -> Result<()> {
    cluster.until_ended(run).await?;
    cluster.no_worker_was_lost().await?;
    everybody_is_there(cluster)?;
    cluster.finish_each_once(run).await
}

/// A migration that a later release might bring: it holds every table until the test lets it go on.
const LATER_MIGRATION: &str = "
    LOCK TABLE leadership, lease, confirmations, assets, definitions, runs, run_assets, dispatches, progress, attempts,
        asset_partitions;
    ALTER TABLE runs ADD COLUMN note TEXT;
    ALTER TABLE attempts ADD COLUMN note TEXT;
    SELECT pg_advisory_xact_lock(19);
";

/// F19. The ledger is migrated for a later release in the middle of a run. Coordinators of this one that run go on with
/// it; one that is started after it says why it does not.
#[tokio::test]
async fn a_migration_in_the_middle_of_a_run_costs_time_and_no_worker() -> Result<()> {
    let shape = Shape { coordinators: 2, database: Database::Own, ..Shape::default() };
    let mut cluster = Cluster::start(Project::chain(200, "0.1")?, shape).await?;
    let migrations = tempfile::tempdir()?;
    let ours = concat!(env!("CARGO_MANIFEST_DIR"), "/../coordinator/migrations/postgres/0001_ledger.sql");
    std::fs::copy(ours, migrations.path().join("0001_ledger.sql"))?;
    std::fs::write(migrations.path().join("0002_later.sql"), LATER_MIGRATION)?;
    let run = cluster.submit().await?;
    cluster.until_succeeded(&run, 100).await?;
    let mut session = PgConnection::connect(&cluster.database_url()).await?;
    let mut gate = PgConnection::connect(&cluster.database_url()).await?;
    sqlx::query("SELECT pg_advisory_lock(19)").execute(&mut gate).await?;
    let migrator = Migrator::new(migrations.path()).await?;
    let migrating = async { migrator.run(&mut session).await.context("migrating") };
    let held = async {
        // Its leader can neither commit nor stay the leader.
        cluster.coordinators[0].process.line("back to standby", PATIENCE).await?;
        sqlx::query("SELECT pg_advisory_unlock(19)").execute(&mut gate).await.context("opening the gate")
    };
    tokio::try_join!(migrating, held)?;
    cluster.until_succeeded(&run, 200).await?;
    let refusal =
        cluster.add_coordinator().await.err().context("it started on a schema that it does not know")?;
    let refusal = format!("{refusal:#}");
    ensure!(refusal.contains("has migration 0002, which this program does not know"), "{refusal}");
    // `verify` of this release would refuse as well.
    sqlx::query("DELETE FROM _sqlx_migrations WHERE version = 2").execute(&mut session).await?;
    nobody_was_lost(&mut cluster, &run).await
}

/// F14. The disk of the database is full: Postgres panics when it cannot write its log, and is started again.
#[tokio::test]
async fn a_database_with_a_full_disk_loses_nothing_once_there_is_room() -> Result<()> {
    let Some(disk) = SmallDisk::mount(160)? else {
        return skipped("only root can mount a small file system for the database");
    };
    let folder = tempfile::Builder::new().prefix("data-").tempdir_in(disk.path())?;
    let database = Database::Given(Box::new(Postgres::start_in(folder).await?));
    let mut cluster =
        Cluster::start(Project::chain(400, "0.02")?, Shape { database, ..Shape::default() }).await?;
    let run = cluster.submit().await?;
    cluster.until_succeeded(&run, 100).await?;
    disk.fill_but(0)?;
    // A log segment that exists has room left: writing goes on until it is used up.
    let mut session = PgConnection::connect(&cluster.database_url()).await?;
    sqlx::query("CREATE TABLE filler (bytes TEXT)").execute(&mut session).await.ok();
    wait_for("the database to run out of room", PATIENCE, async || {
        let filling = "INSERT INTO filler SELECT repeat(md5(n::text), 100) FROM generate_series(1, 300) n";
        sqlx::query(filling).execute(&mut session).await.is_err().then_some(())
    })
    .await?;
    drop(session);
    cluster.coordinators[0].process.line("commit failed", PATIENCE).await?;
    disk.empty()?;
    wait_for("the database to be back", PATIENCE, async || {
        cluster.postgres().ok()?.revive().await.ok()?;
        PgConnection::connect(&cluster.database_url()).await.ok().map(drop)
    })
    .await?;
    cluster.finish(&run).await?;
    drop(cluster);
    Ok(())
}

/// F17. A reader that stays in its transaction, and every connection that the server has left taken. The session that
/// commits ends meanwhile: there is no room for another until somebody leaves.
#[tokio::test]
async fn readers_that_never_leave_and_no_free_connection_do_not_stop_a_run() -> Result<()> {
    let shape = Shape { database: Database::Own, ..Shape::default() };
    let mut cluster = Cluster::start(Project::chain(150, "0.03")?, shape).await?;
    let url = cluster.database_url();
    let mut idle = PgConnection::connect(&url).await?;
    sqlx::query("BEGIN ISOLATION LEVEL REPEATABLE READ").execute(&mut idle).await?;
    sqlx::query("SELECT COUNT(*) FROM attempts").execute(&mut idle).await?;
    let run = cluster.submit().await?;
    cluster.until_succeeded(&run, 50).await?;
    let mut taken = take_every_connection(&url).await?;
    // Nobody can open a connection: the ones that are open have to do.
    cluster.until_succeeded(&run, 120).await?;
    let more = wait_for("the place of the session that commits", PATIENCE, async || {
        Some(take_place_of_writer(taken.last_mut()?, &url).await).filter(|more| !matches!(more, Ok(None)))
    });
    let mut more = more.await?.context("ending the session that commits")?;
    // Nobody commits now, until there is a place again.
    drop(more.as_mut().and_then(Vec::pop));
    cluster.until_succeeded(&run, 220).await?;
    drop((taken, more));
    cluster.finish(&run).await?;
    let tasks = i64::try_from(cluster.project.tasks)?;
    // A row that every commit changed would have a dead version of each commit, under this reader.
    for (table, most) in [("leadership", 10), ("dispatches", tasks)] {
        let dead = "SELECT n_dead_tup FROM pg_stat_user_tables WHERE relname = $1";
        let mut session = PgConnection::connect(&url).await?;
        let dead: i64 = sqlx::query_scalar(dead).bind(table).fetch_one(&mut session).await?;
        ensure!(dead <= most, "{table} has {dead} dead versions of rows");
    }
    sqlx::query("COMMIT").execute(&mut idle).await?;
    Ok(())
}

/// Ends the sessions that commit and takes their places, unless their program is quicker.
async fn take_place_of_writer(session: &mut PgConnection, url: &str) -> Result<Option<Vec<PgConnection>>> {
    let end =
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'backstitch writer'";
    let writers = sqlx::query(end).execute(session).await?.rows_affected();
    let taken = take_every_connection(url).await?;
    Ok((writers > 0 && !taken.is_empty()).then_some(taken))
}

/// Connects as often as the server allows.
async fn take_every_connection(url: &str) -> Result<Vec<PgConnection>> {
    let mut taken = Vec::new();
    while let Ok(connection) = PgConnection::connect(url).await {
        taken.push(connection);
        ensure!(taken.len() < 1_000, "the server has no limit");
    }
    Ok(taken)
}
