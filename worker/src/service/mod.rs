//! A running worker: the tasks it consists of, and how it stops.
//!
//! ```text
//!   queue ─▶ intake ─┐                      ┌─▶ reporter ─▶ reports
//!   queue ─▶ intake ─┼─▶ dispatch, dispatch ┤
//!   control ─────────┘   (one per held)     └─▶ heartbeat ─▶ heartbeats
//! ```
//!
//! Told to stop, it does so from left to right: it takes nothing in any more and hands back what waits for a slot;
//! what runs has the drain grace, then it is interrupted; the reporter empties itself; a last heartbeat says that
//! nothing is held. Control and heartbeats go on until the end, so that leases hold and cancellations count.

mod batch;
mod control;
mod dispatch;
mod heartbeat;
mod intake;
mod pace;
mod recent;
mod reporter;
mod table;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backstitch_broker::{Acker, Broker, BrokerError, Topology};
use backstitch_proto::id::WorkerId;
use backstitch_proto::message::{CONTROL_FANOUT, task_queue};
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use self::pace::Pace;
use self::reporter::Reporter;
use self::table::Table;
use crate::error::WorkerError;
use crate::execution::Executors;
use crate::options::WorkerOptions;

/// Time for interrupted executions to end, whatever grace their assets have: a worker that is told to stop stops.
const INTERRUPT_GRACE: Duration = Duration::from_secs(5);

/// Time for the last reports to be confirmed. Without a broker the leases bring the tasks back.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(10);

/// Pause before the broker is asked again at start.
const START_PAUSE: Duration = Duration::from_secs(1);

/// What the tasks of a worker share.
pub(crate) struct Shared {
    id: WorkerId,
    options: WorkerOptions,
    project_dir: Arc<Path>,
    executors: Executors,
    table: Mutex<Table<Acker>>,
    slots: Semaphore,
    /// Said whenever a dispatch has waited for a slot in vain: every slot is taken by something long.
    full: watch::Sender<()>,
    pace: Pace,
    reporter: Reporter,
    /// Something that a heartbeat tells has changed.
    changed: Notify,
    /// One task per held dispatch.
    held: TaskTracker,
    /// Nothing more is taken in or started.
    draining: CancellationToken,
    /// Executions are dropped as they are.
    hard_stop: CancellationToken,
}

impl Shared {
    /// The table is consistent between calls, so a panic while it was locked does not spoil it. Never held across
    /// an await.
    fn table(&self) -> MutexGuard<'_, Table<Acker>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs a worker until `shutdown` is cancelled and everything is drained.
pub(crate) async fn run(
    options: WorkerOptions,
    broker: Arc<dyn Broker>,
    executors: Executors,
    project_dir: Arc<Path>,
    shutdown: CancellationToken,
) -> Result<(), WorkerError> {
    let Some(lines) = shutdown.run_until_cancelled(Lines::open(&options, &*broker)).await else {
        return Ok(());
    };
    let Lines { reports, heartbeats, copies, control, queues } = lines?;
    let (sender, news) = mpsc::channel(reporter::NEWS_MAX);
    let shared = Arc::new(Shared {
        id: WorkerId(uuid::Uuid::new_v4()),
        slots: Semaphore::new(options.slots as usize),
        full: watch::Sender::default(),
        pace: Pace::default(),
        options,
        project_dir,
        executors,
        table: Mutex::new(Table::new()),
        reporter: Reporter(sender),
        changed: Notify::new(),
        held: TaskTracker::new(),
        draining: CancellationToken::new(),
        hard_stop: CancellationToken::new(),
    });
    let (flushing, closing) = (CancellationToken::new(), CancellationToken::new());
    let reporter = tokio::spawn(reporter::run(Arc::clone(&shared), reports, news, flushing.clone()));
    let speaking = TaskTracker::new();
    speaking.spawn(heartbeat::run(Arc::clone(&shared), heartbeats, copies, closing.clone()));
    speaking.spawn(control::run(Arc::clone(&shared), control, closing.clone()));
    let intakes = TaskTracker::new();
    for (queue, consumer) in queues {
        intakes.spawn(intake::run(Arc::clone(&shared), Arc::clone(&broker), queue, consumer));
    }
    intakes.close();
    speaking.close();
    info!(worker = %shared.id, name = shared.options.name, slots = shared.options.slots, "the worker is ready");

    tokio::select! {
        () = shutdown.cancelled() => {}
        // Consumers end by themselves only when the broker was closed under the worker.
        () = intakes.wait() => {}
    }
    drain(&shared, &intakes).await;
    flushing.cancel();
    if timeout(FLUSH_TIMEOUT, reporter).await.is_err() {
        warn!(
            "the last reports were not confirmed in time: the coordinator runs their tasks again when this worker's lease is over"
        );
    }
    closing.cancel();
    speaking.wait().await;
    info!(worker = %shared.id, "the worker has ended");
    Ok(())
}

/// Ends the executions, gently first.
async fn drain(shared: &Shared, intakes: &TaskTracker) {
    shared.draining.cancel();
    shared.changed.notify_one();
    // A broker that is away takes no reports, and whoever waits to make one waits for it: no wait here is without end.
    if timeout(FLUSH_TIMEOUT, intakes.wait()).await.is_err() {
        warn!("deliveries could not be handed back in time; the broker gives them to others");
    }
    shared.held.close();
    if timeout(shared.options.drain_grace, shared.held.wait()).await.is_ok() {
        return;
    }
    shared.table().interrupt();
    if timeout(INTERRUPT_GRACE, shared.held.wait()).await.is_err() {
        shared.hard_stop.cancel();
        if timeout(FLUSH_TIMEOUT, shared.held.wait()).await.is_err() {
            warn!(
                "tasks could not be handed back in time: the coordinator runs them again when this worker's lease is over"
            );
        }
    }
}

/// Everything through which a worker speaks and listens.
struct Lines {
    reports: Arc<dyn backstitch_broker::Publisher>,
    heartbeats: Arc<dyn backstitch_broker::Publisher>,
    copies: heartbeat::Copies,
    control: Box<dyn backstitch_broker::Consumer>,
    /// Each with its name.
    queues: Vec<(String, Box<dyn backstitch_broker::Consumer>)>,
}

impl Lines {
    /// Opens them, waiting for the broker for as long as it may still come.
    async fn open(options: &WorkerOptions, broker: &dyn Broker) -> Result<Self, WorkerError> {
        loop {
            match Self::try_open(options, broker).await {
                Err(error) if !error.is_permanent() => {
                    warn!(error = &error as &dyn std::error::Error, "the broker is not available yet");
                    sleep(START_PAUSE).await;
                }
                opened => return opened.map_err(WorkerError::Broker),
            }
        }
    }

    async fn try_open(options: &WorkerOptions, broker: &dyn Broker) -> Result<Self, BrokerError> {
        broker.declare(&Topology::for_worker_queues(&options.queues)).await?;
        let control = broker.subscribe(CONTROL_FANOUT).await?;
        let mut queues = Vec::with_capacity(options.queues.len());
        for queue in &options.queues {
            let queue = task_queue(queue);
            let consumer = broker.consume(&queue, prefetch(options)).await?;
            queues.push((queue, consumer));
        }
        let (reports, heartbeats) = (broker.publisher().await?, broker.publisher().await?);
        let copies = heartbeat::Copies::new(broker.publisher().await?);
        Ok(Self { reports, heartbeats, copies, control, queues })
    }
}

/// Deliveries of one queue that are unacknowledged at most, while dispatches are not short.
fn prefetch(options: &WorkerOptions) -> u16 {
    u16::try_from(options.slots).unwrap_or(u16::MAX).saturating_add(options.prefetch_extra)
}

#[cfg(test)]
mod tests;
