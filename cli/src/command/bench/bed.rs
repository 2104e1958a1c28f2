//! One coordinator and its workers on an empty ledger: what a scenario measures.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use backstitch_coordinator::api::RunView;
use backstitch_coordinator::ledger::{AuditReport, Ledger, RunStatus};
use backstitch_coordinator::service::audit;
use backstitch_proto::id::RunId;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use super::by_hand::ByHand;
use super::options::{Packing, Plan};
use super::project::{self, QUEUE};
use super::servers::Servers;
use super::usage::Tree;
use crate::project::Project;
use crate::source::{self, Ask, AttemptsQuery, Look, Server, leader_of};

/// Time for processes to come up on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Pause between two looks at whether they have.
const START_POLL: Duration = Duration::from_millis(20);

/// Longest wait for the end of a run that has little left to do, beside the time of a task.
const END_TIMEOUT: Duration = Duration::from_secs(60);

/// Pause between two looks at a run that is about to end: the figures are this much too high at most.
pub(super) const POLL: Duration = Duration::from_millis(1);

/// Bytes of a log that an error shows.
const LOG_TAIL: usize = 2_000;

/// Processes that are measured. They are killed on drop.
pub(super) struct Bed {
    pub(super) plan: Plan,
    pub(super) project: Project,
    /// The coordinator's API.
    pub(super) server: Server,
    pub(super) ledger: Arc<dyn Ledger>,
    /// Of the ledger; may hold a password.
    pub(super) database_url: String,
    coordinator: Program,
    workers: Vec<Program>,
    /// Instead of workers of ours.
    by_hand: Option<ByHand>,
    _folder: TempDir,
}

/// The workers of a measurement, whoever started them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fleet {
    pub(super) workers: u32,
    pub(super) slots: u32,
    /// Dispatches in their hands.
    pub(super) held: u64,
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
        let deadline = Instant::now() + START_TIMEOUT;
        let server = loop {
            if let Some(leader) = leader_of(ledger.as_ref()).await? {
                break leader;
            }
            coordinator.check(deadline)?;
            sleep(START_POLL).await;
        };
        let mut by_hand = (plan.workers == 0).then(|| ByHand::new(plan, servers));
        loop {
            let there = fleet(&server).await?.workers;
            if there >= plan.workers.max(1) {
                break;
            }
            match &mut by_hand {
                Some(by_hand) => {
                    by_hand.look(there)?;
                    coordinator.alive()?;
                }
                None => workers
                    .iter_mut()
                    .chain([&mut coordinator])
                    .try_for_each(|program| program.check(deadline))?,
            }
            sleep(START_POLL).await;
        }
        Ok(Self {
            plan: plan.clone(),
            project,
            server,
            ledger,
            database_url,
            coordinator,
            workers,
            by_hand,
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

    /// All workers, also those that were not started here.
    pub(super) async fn fleet(&self) -> Result<Fleet> {
        fleet(&self.server).await
    }

    /// An error when a process has ended that should run, or when nobody is there to run anything.
    pub(super) async fn check(&mut self) -> Result<()> {
        self.workers.iter_mut().chain([&mut self.coordinator]).try_for_each(Program::alive)?;
        if let Some(by_hand) = &mut self.by_hand {
            by_hand.look(fleet(&self.server).await?.workers)?;
        }
        Ok(())
    }

    /// Waits for the end of a run that has little left to do, looking at it this often.
    pub(super) async fn until_ended(&self, run: RunId, poll: Duration) -> Result<RunView> {
        let deadline = Instant::now() + END_TIMEOUT + Duration::from_millis(self.plan.task_ms);
        loop {
            let view = self.server.run(run).await?;
            if view.status.is_terminal() {
                return Ok(view);
            }
            ensure!(Instant::now() < deadline, "run {run} does not end");
            sleep(poll).await;
        }
    }

    /// An error unless a run has succeeded, with the first thing that went wrong in it.
    pub(super) async fn succeeded(&self, run: RunId, status: RunStatus) -> Result<()> {
        if status == RunStatus::Succeeded {
            return Ok(());
        }
        let first = AttemptsQuery { run, failed: true, output: false, limit: 1 };
        let failed = self.server.attempts(first).await?.pop().and_then(|attempt| attempt.failure_message);
        bail!("the run ended as {status}: {}", failed.as_deref().unwrap_or("no attempt failed"))
    }

    /// Recounts the ledger, and asks the leader. Then ends everything.
    pub(super) async fn verify(self) -> Result<Vec<String>> {
        let mut violations = self.server.violations().await?;
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

/// The workers that take tasks of a measurement.
async fn fleet(look: &dyn Look) -> Result<Fleet> {
    let mut fleet = Fleet::default();
    for worker in look.workers().await? {
        // Others may use the broker too.
        if worker.queues.iter().any(|queue| queue == QUEUE) && !worker.draining {
            fleet.workers += 1;
            fleet.slots += worker.slots;
            fleet.held += u64::from(worker.running + worker.waiting);
        }
    }
    Ok(fleet)
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
            bail!("{} is not ready after {} s:\n{}", self.name, START_TIMEOUT.as_secs(), self.tail());
        }
        Ok(())
    }

    fn tail(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(LOG_TAIL)..]).into_owned()
    }
}
