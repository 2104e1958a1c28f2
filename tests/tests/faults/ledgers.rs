//! What happens to Postgres: it dies, ends our sessions, is full, or is read by somebody who does not leave.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use backstitch_tests::cluster::{Cluster, Database, PATIENCE, Project, Shape};
use backstitch_tests::postgres::Postgres;
use backstitch_tests::shared::skipped;
use backstitch_tests::wait::wait_for;
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
        // Whoever leads has at least the session that it leads with.
        let session = async || (leader_sessions(&cluster).await.ok()? > 0).then_some(());
        wait_for("a leader's session", PATIENCE, session).await?;
        let ended = cluster.end_sessions().await?;
        ensure!(ended > 0, "no session was ended");
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

/// A file system of a few megabytes.
struct SmallDisk {
    folder: tempfile::TempDir,
}

impl SmallDisk {
    /// `None` where we may not mount one.
    fn mount(megabytes: u32) -> Result<Option<Self>> {
        if !nix::unistd::Uid::effective().is_root() {
            return Ok(None);
        }
        let folder = tempfile::Builder::new().prefix("backstitch-disk-").tempdir()?;
        let size = format!("size={megabytes}m,mode=0755");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).status()?;
        fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755))?;
        Ok(mounted.success().then_some(Self { folder }))
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }

    /// Leaves no byte.
    fn fill(&self) -> Result<()> {
        let mut ballast = fs::File::create(self.ballast())?;
        let block = vec![0; 64 * 1024];
        while std::io::Write::write_all(&mut ballast, &block).is_ok() {}
        Ok(())
    }

    fn empty(&self) -> Result<()> {
        fs::remove_file(self.ballast()).context("removing the ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a server that is still ending has files open.
        drop(Command::new("umount").arg("-l").arg(self.path()).status());
    }
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
    disk.fill()?;
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
