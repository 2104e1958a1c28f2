//! A coordinator inside this process, with an in-process broker and, if wanted, a worker: what `backfill` and `dev`
//! run on, and what a request borrows for a moment where nobody leads.
//!
//! It ends in the order in which work flows: the worker first, so that its last reports are still recorded, then the
//! coordinator, then the API.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use backstitch_broker::{Broker, InProcess};
use backstitch_coordinator::ledger::{Ledger, LedgerError};
use backstitch_coordinator::service::{Coordinator, Handle, KeepHistory, Options, TermError};
use backstitch_coordinator::{api, engine};
use backstitch_worker::{Worker, WorkerOptions};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::metrics;
use crate::project::Project;

/// Longest wait for leadership. An embedded ledger is free or in use, so this is about recovery: reading
/// live runs and open dispatches.
const LEAD_TIMEOUT: Duration = Duration::from_secs(60);

/// How often leadership is looked for meanwhile.
const LEAD_POLL: Duration = Duration::from_millis(5);

/// What an embedded coordinator comes with.
pub(crate) struct Roles {
    /// Slots of its worker; none for no worker.
    pub(crate) slots: Option<u32>,
    /// Its API.
    pub(crate) listen: Listen,
    /// How long history is kept; for ever if none.
    pub(crate) keep_history: Option<KeepHistory>,
}

/// Where the API is served.
pub(crate) enum Listen {
    /// Not at all.
    Nowhere,
    /// On any free port of the loopback interface, for other commands of the same user; nowhere if there is none.
    AnyPort,
    /// Here.
    On(SocketAddr),
}

/// A running coordinator.
pub(crate) struct Embedded {
    handle: Handle,
    url: Option<String>,
    coordinator: Part,
    worker: Option<Part>,
    api: Option<Part>,
}

/// A part that runs until it is told to stop.
struct Part {
    name: &'static str,
    /// Until its end was seen.
    task: Option<JoinHandle<Result<()>>>,
    stop: CancellationToken,
}

impl Part {
    fn start<F: Future<Output = Result<()>> + Send + 'static>(
        name: &'static str,
        part: impl FnOnce(CancellationToken) -> F,
    ) -> Self {
        let stop = CancellationToken::new();
        Self { name, task: Some(tokio::spawn(part(stop.clone()))), stop }
    }

    /// Resolves when the part ends. Cancel-safe.
    async fn ended(&mut self) -> Result<()> {
        let Some(task) = &mut self.task else { return Ok(()) };
        let ended = task.await;
        self.task = None;
        ended.unwrap_or_else(|panicked| Err(anyhow!(panicked).context(format!("the {} panicked", self.name))))
    }

    /// Resolves when the part ends by itself, with the reason. Cancel-safe.
    async fn broken(&mut self) -> anyhow::Error {
        match self.ended().await {
            Ok(()) => anyhow!("the {} ended by itself", self.name),
            Err(error) => error,
        }
    }

    async fn stop(mut self) -> Result<()> {
        self.stop.cancel();
        self.ended().await
    }
}

impl Embedded {
    /// Starts the parts, and waits until the coordinator leads: what an ended process left undone goes on from here.
    pub(crate) async fn start(project: &Project, ledger: Arc<dyn Ledger>, roles: Roles) -> Result<Self> {
        let listener = match roles.listen {
            Listen::Nowhere => None,
            Listen::AnyPort => TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.ok(),
            Listen::On(address) => {
                Some(TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))?)
            }
        };
        let address = listener.as_ref().map(TcpListener::local_addr).transpose()?;
        let url = address.map(|address| format!("http://{address}"));
        let broker: Arc<dyn Broker> = Arc::new(InProcess::new());
        let options = Options {
            name: format!("process {}", std::process::id()),
            api_address: url.clone().unwrap_or_default(),
            engine: engine::Options::default(),
            keep_history: roles.keep_history,
        };
        let definitions = Arc::clone(&project.definitions);
        let coordinator = Coordinator::new(options, definitions, Arc::clone(&ledger), Arc::clone(&broker));
        let handle = coordinator.handle();
        let coordinator = Part::start("coordinator", async |stop| Ok(coordinator.run(stop).await?));
        let mut embedded = Self { handle, url, coordinator, worker: None, api: None };
        embedded.wait_to_lead(ledger.as_ref()).await?;
        if let Some(listener) = listener {
            let handle = embedded.handle.clone();
            let serve = async |stop| {
                api::serve(listener, handle, metrics::registry(), stop).await.context("serving the API")
            };
            embedded.api = Some(Part::start("API", serve));
        }
        if let Some(slots) = roles.slots {
            let options = WorkerOptions {
                slots,
                queues: project.definitions.worker_queues().into_iter().collect(),
                project_dir: project.dir.clone(),
                ..WorkerOptions::default()
            };
            let worker = Worker::builder().options(options).broker(broker);
            embedded.worker = Some(Part::start("worker", async |stop| Ok(worker.run_until(stop).await?)));
        }
        Ok(embedded)
    }

    /// For requests.
    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Where the API is served.
    pub(crate) fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    /// Resolves when a part ends that was not told to; then nothing goes on.
    pub(crate) async fn broken(&mut self) -> anyhow::Error {
        let Self { coordinator, worker, .. } = self;
        let worker = async {
            match worker {
                Some(worker) => worker.broken().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            error = coordinator.broken() => error,
            error = worker => error,
        }
    }

    /// Ends everything, well.
    pub(crate) async fn stop(self) -> Result<()> {
        for part in [self.worker, Some(self.coordinator), self.api].into_iter().flatten() {
            part.stop().await?;
        }
        Ok(())
    }

    async fn wait_to_lead(&mut self, ledger: &dyn Ledger) -> Result<()> {
        let deadline = Instant::now() + LEAD_TIMEOUT;
        while self.handle.epoch().is_none() {
            tokio::select! {
                error = self.coordinator.broken() => return Err(explained(error, ledger).await),
                () = sleep(LEAD_POLL) => {}
            }
            if Instant::now() > deadline {
                bail!("the coordinator could not begin; BACKSTITCH_LOG=info shows what it is doing");
            }
        }
        Ok(())
    }
}

/// A ledger in use has a user, who can be asked instead.
async fn explained(error: anyhow::Error, ledger: &dyn Ledger) -> anyhow::Error {
    let in_use = matches!(error.downcast_ref(), Some(TermError::Ledger(LedgerError::InUse { .. })));
    match ledger.leader().await {
        Ok(Some(leader)) if in_use && !leader.api_address.is_empty() => {
            anyhow!(
                "{error}; or give the work to that process ({}): --server {}",
                leader.name,
                leader.api_address
            )
        }
        _ => error,
    }
}
