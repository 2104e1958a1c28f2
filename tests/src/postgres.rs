//! A private PostgreSQL cluster: own port, own data, trust authentication on 127.0.0.1.
//!
//! Postgres refuses to run as root; as root its processes belong to the service user that the package made.

mod standby;

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use nix::unistd::{Uid, User};
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;
use tokio::process::Command;

use crate::child::Group;
use crate::clock::WallClock;
use crate::{port, server};

const START_PATIENCE: Duration = Duration::from_secs(60);
const STOP_PATIENCE: Duration = Duration::from_secs(30);
const DROP_PATIENCE: Duration = Duration::from_secs(5);

/// A private cluster.
#[derive(Debug)]
pub struct Postgres {
    folder: TempDir,
    programs: PathBuf,
    port: u16,
    server: Option<Group>,
    /// Its wall clock, where it has its own.
    clock: Option<WallClock>,
}

impl Postgres {
    /// Makes a cluster, starts it and waits until it takes connections. It writes through to disk as in production.
    ///
    /// # Errors
    /// When PostgreSQL is not installed or does not start; the end of its log is part of the error.
    pub async fn start() -> Result<Self> {
        Self::start_in(folder()?).await
    }

    /// The same in a folder that is there: on a file system that the test has prepared.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub async fn start_in(folder: TempDir) -> Result<Self> {
        Self::start_by(None, folder).await
    }

    /// The same with a wall clock of its own.
    ///
    /// # Errors
    /// As for [`start`](Self::start), and when there can be no such clock.
    pub async fn start_with_clock() -> Result<Self> {
        Self::start_by(Some(WallClock::right()?), folder()?).await
    }

    async fn start_by(clock: Option<WallClock>, folder: TempDir) -> Result<Self> {
        let mut cluster = Self::prepare(folder)?;
        cluster.clock = clock;
        let data = cluster.data().display().to_string();
        let arguments =
            ["-D", &data, "-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8"];
        cluster.complete("initdb", &arguments).await?;
        cluster.restart().await?;
        Ok(cluster)
    }

    /// A server without data.
    fn prepare(folder: TempDir) -> Result<Self> {
        let [port] = port::free()?;
        if let Some(user) = service_user()? {
            chown(folder.path(), Some(user.uid.as_raw()), Some(user.gid.as_raw()))
                .context("giving the cluster's folder to the service user")?;
        }
        Ok(Self { programs: programs()?, folder, port, server: None, clock: None })
    }

    /// The wall clock that only it goes by.
    ///
    /// # Errors
    /// When it has none of its own.
    pub fn clock(&self) -> Result<&WallClock> {
        self.clock.as_ref().context("the cluster has no clock of its own")
    }

    /// The cluster's port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where to connect as superuser. Tests make their own databases.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Starts the cluster again, after [`stop`](Self::stop) or [`kill`](Self::kill), on the same port and data.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub async fn restart(&mut self) -> Result<()> {
        let log = self.folder.path().join("log");
        let folder = self.folder.path().display().to_string();
        let mut command = self.program("postgres")?;
        command.arg("-D").arg(self.data()).args(["-p", &self.port.to_string(), "-k", &folder]).args([
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "max_connections=200",
        ]);
        command.envs(self.clock.iter().flat_map(WallClock::variables));
        let url = self.url();
        // It listens before it has recovered.
        let answers = async || PgConnection::connect(&url).await.is_ok();
        server::start(&mut self.server, ("PostgreSQL", command), &log, START_PATIENCE, answers).await
    }

    /// Stops the cluster: sessions are ended, data is written.
    ///
    /// # Errors
    /// When it does not stop.
    pub async fn stop(&mut self) -> Result<()> {
        let mut server = self.server.take().context("the cluster is not running")?;
        // "Fast": does not wait for sessions.
        server.signal_leader(Signal::SIGINT)?;
        server.wait(STOP_PATIENCE).await.map(drop)
    }

    /// Ends the cluster as a loss of power to its processes would, sessions included: it recovers from its log at the
    /// next start.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn kill(&mut self) -> Result<()> {
        let server = self.server.take().context("the cluster is not running")?;
        // All of them: a session that outlives the server could still commit, and keeps the next server from starting.
        server.kill_family(STOP_PATIENCE).await
    }

    /// Stops the server's processes in their tracks: connections stay open, nothing answers.
    ///
    /// # Errors
    /// When it is not running.
    pub fn freeze(&self) -> Result<()> {
        self.server.as_ref().context("the cluster is not running")?.signal_family(Signal::SIGSTOP).map(drop)
    }

    /// Lets a frozen server go on.
    ///
    /// # Errors
    /// When it is not running.
    pub fn thaw(&self) -> Result<()> {
        self.server.as_ref().context("the cluster is not running")?.signal_family(Signal::SIGCONT).map(drop)
    }

    /// Whether the server has ended by itself.
    pub fn ended(&mut self) -> bool {
        self.server.as_mut().is_none_or(|server| server.ended().is_some())
    }

    /// Ends what is left of a server that may have ended by itself, and starts it again, as a supervisor does.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub async fn revive(&mut self) -> Result<()> {
        if !self.ended() {
            return Ok(());
        }
        drop(self.server.take());
        self.restart().await
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Runs one of its programs to its end.
    async fn complete(&self, name: &str, arguments: &[&str]) -> Result<()> {
        let output = self.program(name)?.args(arguments).output().await;
        let output = output.with_context(|| format!("running {name}"))?;
        ensure!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    fn program(&self, name: &str) -> Result<Command> {
        let mut command = Command::new(self.programs.join(name));
        // A folder that the service user may enter.
        command.current_dir("/").kill_on_drop(true);
        if let Some(user) = service_user()? {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        Ok(command)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            // "Immediate": SIGKILL would leave its shared memory behind.
            let _ = server.signal_leader(Signal::SIGQUIT);
            server.wait_blocking(DROP_PATIENCE);
        }
    }
}

fn folder() -> Result<TempDir> {
    Ok(tempfile::Builder::new().prefix("backstitch-postgres-").tempdir()?)
}

/// Whom the server runs as, when that is not whoever we are.
fn service_user() -> Result<Option<User>> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    let user = User::from_name("postgres").context("looking for the user postgres")?;
    let user = user.context("Postgres refuses to run as root, and there is no user postgres to run it as")?;
    Ok(Some(user))
}

/// The folder of `initdb` and `postgres`, which Debian keeps out of `PATH`: the newest version wins.
fn programs() -> Result<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let number = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions
        .map(|entry| entry.path())
        .filter(|path| path.join("bin/initdb").exists())
        .max_by_key(|path| number(path));
    if let Some(version) = newest {
        return Ok(version.join("bin"));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).find(|folder| folder.join("initdb").exists());
    found.context("PostgreSQL is not installed (Debian: apt-get install postgresql)")
}
