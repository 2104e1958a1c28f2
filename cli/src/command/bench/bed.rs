//! One coordinator and its workers on an empty ledger: what a scenario measures.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use backstitch_coordinator::ledger::{AuditReport, Ledger};
use backstitch_coordinator::service::audit;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use super::options::{Packing, Plan};
use super::project;
use super::servers::Servers;
use super::usage::Tree;
use crate::project::Project;
use crate::source::{self, Leading, Server, leader_of};

/// Time for processes to come up on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Pause between two looks at whether they have.
const LOOK: Duration = Duration::from_millis(20);

/// Bytes of a log that an error shows.
const LOG_TAIL: usize = 2_000;

/// Processes that are measured. They are killed on drop.
pub(super) struct Bed {
    pub(super) plan: Plan,
    pub(super) project: Project,
    /// The coordinator's API.
    pub(super) server: Server,
    pub(super) leading: Leading,
    pub(super) ledger: Arc<dyn Ledger>,
    /// Of the ledger; may hold a password.
    pub(super) database_url: String,
    coordinator: Program,
    workers: Vec<Program>,
    _folder: TempDir,
}

struct Program {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Bed {
    /// Starts everything and waits until it is ready.
    pub(super) async fn start(plan: &Plan, servers: &Servers) -> Result<Self> {
        let folder = tempfile::tempdir().context("making a folder for the project")?;
        let project = project::write(plan, folder.path())?;
        let database_url = servers.ledger().await?;
        let ledger = source::open(&database_url.parse()?).await?;

        let mut command = program(servers, &folder)?;
        // Passwords go through the environment: everybody can read arguments.
        command.env("BACKSTITCH_DATABASE_URL", &database_url);
        command.args(["coordinator", "--listen", "127.0.0.1:0", "--project"]).arg(folder.path());
        if plan.batch == Packing::One {
            command.args(["--tasks-per-message", "1"]);
        }
        let mut coordinator = Program::start("coordinator", command, &folder)?;
        let mut workers = Vec::new();
        for number in 0..plan.workers {
            let mut command = program(servers, &folder)?;
            command.arg("bench-worker");
            command.args(["--slots", &plan.slots_per_worker.to_string()]);
            command.args(["--assets", &plan.assets.to_string(), "--task-ms", &plan.task_ms.to_string()]);
            workers.push(Program::start(&format!("worker {number}"), command, &folder)?);
        }
        let deadline = Instant::now() + PATIENCE;
        let url = loop {
            if let Some(leader) = leader_of(ledger.as_ref()).await? {
                break leader.url().to_owned();
            }
            coordinator.check(deadline)?;
            sleep(LOOK).await;
        };
        let leading = Leading::at(&url)?;
        // None of ours: those that somebody starts meanwhile.
        let expected = plan.workers.max(1) as usize;
        while leading.look.workers().await?.len() < expected {
            for worker in workers.iter_mut().chain([&mut coordinator]) {
                worker.check(deadline)?;
            }
            sleep(LOOK).await;
        }
        let (plan, server) = (plan.clone(), Server::new(&url)?);
        Ok(Self {
            plan,
            project,
            server,
            leading,
            ledger,
            database_url,
            coordinator,
            workers,
            _folder: folder,
        })
    }

    /// The coordinator's process.
    pub(super) fn coordinator(&self) -> Vec<Tree> {
        self.coordinator.tree().into_iter().collect()
    }

    /// The workers that were started here.
    pub(super) fn workers(&self) -> Vec<Tree> {
        self.workers.iter().filter_map(Program::tree).collect()
    }

    /// An error when a process has ended that should run.
    pub(super) fn check(&mut self) -> Result<()> {
        self.workers.iter_mut().chain([&mut self.coordinator]).try_for_each(Program::alive)
    }

    /// Recounts the ledger, and asks the leader. Then ends everything.
    pub(super) async fn verify(self) -> Result<Vec<String>> {
        let mut violations = self.leading.ask.violations().await?;
        let AuditReport { findings, .. } = audit(self.ledger.as_ref()).await?;
        violations.extend(
            findings.iter().map(|found| format!("{}: {} ({} rows)", found.invariant, found.what, found.rows)),
        );
        for mut program in self.workers.into_iter().chain([self.coordinator]) {
            program.child.kill().await.with_context(|| format!("ending {}", program.name))?;
        }
        Ok(violations)
    }
}

/// This program, about to be started.
fn program(servers: &Servers, folder: &TempDir) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("looking for this program")?);
    command.current_dir(folder).env("BACKSTITCH_BROKER_URL", &servers.broker_url);
    command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    // Ctrl-C ends the measurement, which ends its processes.
    command.process_group(0);
    Ok(command)
}

impl Program {
    fn start(name: &str, mut command: Command, folder: &TempDir) -> Result<Self> {
        let log = folder.path().join(format!("{name}.log"));
        command.stderr(std::fs::File::create(&log).context("making a log")?);
        let child = command.spawn().with_context(|| format!("starting {name}"))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    fn tree(&self) -> Option<Tree> {
        self.child.id().map(Tree::of)
    }

    fn alive(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(anyhow!("{} ended with {status}:\n{}", self.name, self.tail())),
        }
    }

    fn check(&mut self, deadline: Instant) -> Result<()> {
        self.alive()?;
        if Instant::now() > deadline {
            bail!("{} is not ready after {} s:\n{}", self.name, PATIENCE.as_secs(), self.tail());
        }
        Ok(())
    }

    fn tail(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(LOG_TAIL)..]).into_owned()
    }
}
