//! A running Backstitch: coordinators and workers as processes of their own between real servers, with a relay on
//! every line, so that any pair of them can be parted.
//!
//! ```text
//!   worker ──relay──▶ RabbitMQ ◀──relay── coordinator ──relay──▶ Postgres
//! ```
//!
//! A test breaks something, mends it ([`Cluster::heal`]), and ends with [`Cluster::finish`] or [`Cluster::audit`]:
//! the run has ended as it should, nothing is live or on its way, `backstitch verify` finds nothing in ledger, leader
//! and broker, every success in the ledger was really executed, under the dispatch that the ledger names, and nothing
//! began before what it needs had ended.

mod api;
mod audit;
mod journal;
mod progress;
mod project;
mod queues;
mod servers;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tokio::process::Command;

pub use api::{ask, ask_text};
pub use audit::WORKERS_LOST;
pub use journal::{Execution, Journal};
pub use project::{Project, key};
pub use queues::{Depth, until_no_message_of_work};
pub use servers::{Broker, Database};

use crate::clock::WallClock;
use crate::postgres::Postgres;
use crate::process::{Process, backstitch};
use crate::rabbitmq::RabbitMq;
use crate::relay::Relay;
use crate::wait::{must_become, wait_for};
use api::metric;
use servers::{BrokerPlace, DatabasePlace};

/// Long enough for any run of these tests on a loaded machine with two processors, with leases in between. A task that is
/// not done after it is lost.
pub const PATIENCE: Duration = Duration::from_secs(240);

/// What a cluster consists of.
#[derive(Debug)]
pub struct Shape {
    /// The first one leads.
    pub coordinators: usize,
    /// How many.
    pub workers: usize,
    /// Of each worker.
    pub slots: u32,
    /// Its broker.
    pub broker: Broker,
    /// Its ledger.
    pub database: Database,
    /// Variables of every coordinator and worker.
    pub variables: Vec<(&'static str, String)>,
    /// Each process has a wall clock of its own, which the test may set.
    pub own_clocks: bool,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            coordinators: 1,
            workers: 3,
            slots: 2,
            broker: Broker::Shared,
            database: Database::Shared,
            variables: Vec::new(),
            own_clocks: false,
        }
    }
}

/// A coordinator process.
#[derive(Debug)]
pub struct Coordinator {
    /// It.
    pub process: Process,
    /// Where its API is.
    pub url: String,
    /// Its line to RabbitMQ.
    pub to_broker: Relay,
    /// Its line to Postgres.
    pub to_ledger: Relay,
    /// Its wall clock, where each has its own.
    pub clock: Option<WallClock>,
}

impl Coordinator {
    /// Whether it answers as the leader.
    pub async fn leads(&self) -> bool {
        let said = ask("GET", &format!("{}/readyz", self.url), None).await;
        said.is_ok_and(|said| said["role"] == "leader")
    }
}

/// A worker process.
#[derive(Debug)]
pub struct Worker {
    /// It.
    pub process: Process,
    /// Its line to RabbitMQ.
    pub to_broker: Relay,
    /// Its wall clock, where each has its own.
    pub clock: Option<WallClock>,
}

/// The whole of it. Processes end before servers.
#[derive(Debug)]
pub struct Cluster {
    /// Those that were started and not taken out.
    pub coordinators: Vec<Coordinator>,
    /// Those that were started and not taken out.
    pub workers: Vec<Worker>,
    /// What they work on.
    pub project: Project,
    /// Of coordinators and workers that are started from now on; that of today, if there is none.
    pub program: Option<PathBuf>,
    /// Strangers send what nobody can read: the audit does not mind dead letters.
    pub garbage: bool,
    broker: BrokerPlace,
    database: DatabasePlace,
    slots: u32,
    variables: Vec<(&'static str, String)>,
    own_clocks: bool,
    /// Processes so far, so that each has a name of its own.
    started: usize,
}

impl Cluster {
    /// Starts everything; the first coordinator leads.
    ///
    /// # Errors
    /// When something does not start.
    pub async fn start(project: Project, shape: Shape) -> Result<Self> {
        let Shape { coordinators, workers, slots, broker, database, variables, own_clocks } = shape;
        let (broker, database) = tokio::try_join!(BrokerPlace::open(broker), DatabasePlace::open(database))?;
        let (coordinators_wanted, workers_wanted) = (coordinators, workers);
        let mut cluster = Self {
            coordinators: Vec::new(),
            workers: Vec::new(),
            project,
            program: None,
            garbage: false,
            broker,
            database,
            slots,
            variables,
            own_clocks,
            started: 0,
        };
        cluster.run(&["migrate", "--database-url", &cluster.database_url()]).await?;
        for number in 0..coordinators_wanted {
            cluster.add_coordinator().await?;
            if number == 0 {
                cluster.coordinators[0].process.line("leading", PATIENCE).await?;
            }
        }
        for _ in 0..workers_wanted {
            cluster.add_worker().await?;
        }
        // The first worker to be there would take what is for all of them.
        cluster.until_workers(workers_wanted).await?;
        Ok(cluster)
    }

    /// The private broker node with this number.
    ///
    /// # Errors
    /// When there is none.
    pub fn rabbitmq(&mut self, number: usize) -> Result<&mut RabbitMq> {
        self.broker.nodes.get_mut(number).context("no private broker")
    }

    /// The private database server.
    ///
    /// # Errors
    /// When there is none.
    pub fn postgres(&mut self) -> Result<&mut Postgres> {
        self.database.server.as_mut().context("no private database")
    }

    /// Everybody is led to `standby`, as when a service name changes, and the server that they were led to is gone.
    pub fn fail_over(&mut self, standby: Postgres) {
        self.database.port = standby.port();
        for coordinator in &self.coordinators {
            coordinator.to_ledger.lead_to(standby.port());
            coordinator.to_ledger.cut();
        }
        self.database.server = Some(standby);
    }

    /// Ends the session of everybody who works on the ledger: of how many.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn end_sessions(&self) -> Result<i64> {
        let mut session = PgConnection::connect(&self.database_url()).await?;
        let end = "SELECT COUNT(*) FROM (SELECT pg_terminate_backend(pid) AS told FROM pg_stat_activity \
            WHERE application_name LIKE 'backstitch %') AS sessions WHERE told";
        sqlx::query_scalar(end).fetch_one(&mut session).await.context("ending sessions")
    }

    /// Where the database is, without a relay.
    #[must_use]
    pub fn database_url(&self) -> String {
        self.database.url(self.database.port)
    }

    /// Where the broker is, without a relay.
    #[must_use]
    pub fn broker_url(&self) -> String {
        self.broker.url(self.broker.ports[0])
    }

    /// Starts another coordinator, and waits until its API is up.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn add_coordinator(&mut self) -> Result<&mut Coordinator> {
        let (name, to_broker) = (self.next_name("coordinator"), self.line_to_broker().await?);
        let to_ledger = Relay::to(self.database.port).await?;
        let (database, broker) = (self.database.url(to_ledger.port()), self.broker.url(to_broker.port()));
        let arguments = ["coordinator", "--listen", "127.0.0.1:0", "--name", &name];
        let servers = ["--database-url", &database, "--broker-url", &broker];
        let (command, clock) = self.service(&[&arguments[..], &servers].concat())?;
        let process = Process::spawn(&name, command)?;
        let line = process.line("the API is up", PATIENCE).await?;
        let address = line.split("listening=").nth(1).and_then(|rest| rest.split_whitespace().next());
        let url = format!("http://{}", address.with_context(|| format!("no address in {line:?}"))?);
        self.coordinators.push(Coordinator { process, url, to_broker, to_ledger, clock });
        self.coordinators.last_mut().context("it was just added")
    }

    /// Starts another worker.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn add_worker(&mut self) -> Result<&mut Worker> {
        let (name, to_broker) = (self.next_name("worker"), self.line_to_broker().await?);
        let (slots, broker) = (self.slots.to_string(), self.broker.url(to_broker.port()));
        let arguments = ["worker", "--slots", &slots, "--name", &name, "--broker-url", &broker];
        let (command, clock) = self.service(&arguments)?;
        let process = Process::spawn(&name, command)?;
        self.workers.push(Worker { process, to_broker, clock });
        self.workers.last_mut().context("it was just added")
    }

    /// Starts workers in place of those that have ended, as a supervisor does. How many had.
    ///
    /// # Errors
    /// When one does not start.
    pub async fn replace_ended_workers(&mut self) -> Result<usize> {
        let before = self.workers.len();
        self.workers.retain_mut(|worker| worker.process.ended().is_none());
        let ended = before - self.workers.len();
        for _ in 0..ended {
            self.add_worker().await?;
        }
        Ok(ended)
    }

    /// Mends every line, and lets every process go on.
    ///
    /// # Errors
    /// When a signal cannot be sent.
    pub fn heal(&mut self) -> Result<()> {
        for coordinator in &mut self.coordinators {
            coordinator.to_broker.restore();
            coordinator.to_ledger.restore();
            coordinator.process.thaw()?;
        }
        for worker in &mut self.workers {
            worker.to_broker.restore();
            worker.process.thaw()?;
        }
        Ok(())
    }

    /// Submits everything, also what is up to date; the id of the run.
    ///
    /// # Errors
    /// When nobody takes it.
    pub async fn submit(&self) -> Result<String> {
        self.submit_as(json!({ "assets": "*", "filter": "all" })).await
    }

    /// Submits this; the id of the run. It is sent under one idempotency key until somebody takes it.
    ///
    /// # Errors
    /// When nobody takes it.
    pub async fn submit_as(&self, mut submission: Value) -> Result<String> {
        submission["client_key"] = uuid::Uuid::new_v4().to_string().into();
        let mut refusal = None;
        let submitted = wait_for("a submission to be taken", PATIENCE, async || {
            for coordinator in &self.coordinators {
                match ask("POST", &format!("{}/api/runs", coordinator.url), Some(&submission)).await {
                    Ok(submitted) => return Some(Ok(submitted)),
                    // It would be refused again.
                    Err(error) if error.to_string().contains(": 422 ") => return Some(Err(error)),
                    Err(error) => refusal = Some(error),
                }
            }
            None
        });
        let submitted = submitted.await.with_context(|| format!("the last refusal: {refusal:?}"))??;
        Ok(submitted["run"].as_str().with_context(|| format!("no run in {submitted}"))?.to_owned())
    }

    /// What any coordinator that leads says of `path`.
    pub async fn leader_says(&self, method: &str, path: &str, body: Option<&Value>) -> Option<Value> {
        for coordinator in &self.coordinators {
            if let Ok(said) = ask(method, &format!("{}{path}", coordinator.url), body).await {
                return Some(said);
            }
        }
        None
    }

    /// Asks for something else of a live run.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn change(&self, run: &str, change: Value) -> Result<()> {
        let changed = self.leader_says("PATCH", &format!("/api/runs/{run}"), Some(&change)).await;
        changed.map(drop).with_context(|| format!("{change} was refused"))
    }

    /// Asks for the end of a live run.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn cancel(&self, run: &str) -> Result<()> {
        let cancelled = self.leader_says("POST", &format!("/api/runs/{run}/cancel"), None).await;
        cancelled.map(drop).with_context(|| format!("cancelling {run} was refused"))
    }

    /// Tasks of the run per state, as whoever leads counts them.
    pub async fn counts(&self, run: &str) -> Option<Value> {
        let shown = self.leader_says("GET", &format!("/api/runs/{run}"), None).await?;
        shown["counts"].is_object().then(|| shown["counts"].clone())
    }

    /// Waits until so many tasks have succeeded.
    ///
    /// # Errors
    /// When they do not.
    pub async fn until_succeeded(&self, run: &str, tasks: u64) -> Result<()> {
        let waited = must_become("tasks have not succeeded", PATIENCE, async || {
            (self.counts(run).await?["succeeded"].as_u64()? >= tasks).then_some(())
        });
        waited.await.with_context(|| format!("of run {run}"))
    }

    /// Waits until so many executions have begun.
    ///
    /// # Errors
    /// When they do not.
    pub async fn until_begun(&self, executions: usize) -> Result<()> {
        wait_for("executions to begin", PATIENCE, async || {
            (self.project.journal().ok()?.begun() >= executions).then_some(())
        })
        .await
    }

    /// Waits until a coordinator answers as the leader: its place among them.
    ///
    /// # Errors
    /// When none does.
    pub async fn until_one_leads(&self) -> Result<usize> {
        wait_for("a coordinator to lead", PATIENCE, async || {
            for (place, coordinator) in self.coordinators.iter().enumerate() {
                if coordinator.leads().await {
                    return Some(place);
                }
            }
            None
        })
        .await
    }

    /// Waits until so many workers are known to whoever leads.
    ///
    /// # Errors
    /// When they are not.
    pub async fn until_workers(&self, workers: usize) -> Result<()> {
        wait_for("workers to be known", PATIENCE, async || {
            let known = self.leader_says("GET", "/api/workers", None).await?;
            (known.as_array()?.len() == workers).then_some(())
        })
        .await
    }

    /// The sum of a metric over all coordinators that answer; absent while none of them exports it.
    pub async fn metric(&self, name: &str) -> Option<f64> {
        let mut sum = None;
        for coordinator in &self.coordinators {
            if let Ok(text) = ask_text("GET", &format!("{}/metrics", coordinator.url), None).await
                && let Some(value) = metric(&text, name)
            {
                *sum.get_or_insert(0.0) += value;
            }
        }
        sum
    }

    /// Runs `backstitch` on the project to its end; its output, if it ended with status 0.
    ///
    /// # Errors
    /// When it ended with another.
    pub async fn run(&self, arguments: &[&str]) -> Result<String> {
        let output = self.command(arguments)?.kill_on_drop(true).output().await?;
        let (said, errors) = (String::from_utf8(output.stdout)?, String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "backstitch {}: {}\n{said}{errors}", arguments[0], output.status);
        Ok(said)
    }

    /// A command for a process that stays, and the clock that it goes by.
    fn service(&self, arguments: &[&str]) -> Result<(Command, Option<WallClock>)> {
        let mut command = match &self.program {
            None => self.command(arguments)?,
            Some(program) => {
                let mut command = Command::new(program);
                command.args(arguments);
                self.of_project(command)
            }
        };
        let clock = self.own_clocks.then(WallClock::right).transpose()?;
        command.envs(clock.iter().flat_map(WallClock::variables));
        Ok((command, clock))
    }

    fn command(&self, arguments: &[&str]) -> Result<Command> {
        Ok(self.of_project(backstitch(arguments)?))
    }

    fn of_project(&self, mut command: Command) -> Command {
        command.env("BACKSTITCH_PROJECT", self.project.path());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    fn next_name(&mut self, role: &str) -> String {
        self.started += 1;
        format!("{role}-{}", self.started)
    }

    async fn line_to_broker(&self) -> Result<Relay> {
        Relay::to_any(self.broker.ports.clone()).await
    }
}
