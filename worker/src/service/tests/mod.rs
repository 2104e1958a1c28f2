//! A whole worker on the in-process broker.

mod delivery;
mod ending;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use backstitch_broker::{Broker, Consumer, InProcess, Outgoing, Publisher, Target, Topology};
use backstitch_proto::id::{DispatchId, RunId};
use backstitch_proto::message::{
    CONTROL_FANOUT, Control, Dispatch, DispatchReport, HEARTBEAT_QUEUE, Heartbeat, Message, REPORT_QUEUE,
    Report, Verdict, task_queue,
};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{Context, Worker, WorkerBuilder, WorkerError, WorkerOptions, testing};

/// Far longer than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(30);

const QUEUE: &str = "default";

/// One slot, nothing in reserve, heartbeats only when something happens.
fn options() -> WorkerOptions {
    WorkerOptions {
        name: "test-worker".into(),
        slots: 1,
        prefetch_extra: 2,
        heartbeat_interval: Duration::from_secs(3_600),
        project_dir: std::env::temp_dir(),
        ..WorkerOptions::default()
    }
}

/// A broker and the coordinator's ends of its queues.
struct World {
    broker: Arc<InProcess>,
    publisher: Arc<dyn Publisher>,
    reports: Box<dyn Consumer>,
    heartbeats: Box<dyn Consumer>,
    /// Reports that arrived together with an earlier one.
    news: std::collections::VecDeque<DispatchReport>,
}

/// A worker that runs.
struct Running {
    shutdown: CancellationToken,
    worker: JoinHandle<Result<(), WorkerError>>,
}

impl World {
    async fn new() -> Self {
        let broker = Arc::new(InProcess::new());
        broker.declare(&Topology::for_worker_queues([QUEUE])).await.unwrap();
        Self {
            publisher: broker.publisher().await.unwrap(),
            reports: broker.consume(REPORT_QUEUE, 100).await.unwrap(),
            heartbeats: broker.consume(HEARTBEAT_QUEUE, 100).await.unwrap(),
            broker,
            news: Default::default(),
        }
    }

    fn start(&self, options: WorkerOptions, with: impl FnOnce(WorkerBuilder) -> WorkerBuilder) -> Running {
        self.start_on(self.broker.clone(), options, with)
    }

    fn start_on(
        &self,
        broker: Arc<dyn Broker>,
        options: WorkerOptions,
        with: impl FnOnce(WorkerBuilder) -> WorkerBuilder,
    ) -> Running {
        let shutdown = CancellationToken::new();
        let worker = with(Worker::builder().options(options).broker(broker)).run_until(shutdown.clone());
        Running { shutdown, worker: tokio::spawn(worker) }
    }

    async fn publish(&self, target: Target, body: Vec<u8>) {
        let outgoing =
            Outgoing { target, body, headers: BTreeMap::new(), message_id: "test".into(), persistent: true };
        self.publisher.publish(outgoing).await.unwrap().await.unwrap();
    }

    async fn send(&self, dispatch: &Dispatch) {
        self.publish(Target::Queue(task_queue(QUEUE)), dispatch.encode().unwrap()).await;
    }

    async fn control(&self, control: Control) {
        self.publish(Target::Fanout(CONTROL_FANOUT.into()), control.encode().unwrap()).await;
    }

    /// The next thing that a worker says of a dispatch.
    async fn next_news(&mut self) -> DispatchReport {
        while self.news.is_empty() {
            let delivery = timeout(DEADLINE, self.reports.next()).await.expect("a report comes").unwrap();
            self.news.extend(Report::decode(&delivery.body).unwrap().dispatches);
            let _ = delivery.acker.ack().await;
        }
        self.news.pop_front().unwrap()
    }

    /// The next outcomes: dispatch, and ordinal with verdict of each task.
    async fn next_outcomes(&mut self) -> (u64, Vec<(u32, Verdict)>) {
        match self.next_news().await {
            DispatchReport::Outcomes { dispatch, outcomes, .. } => {
                (dispatch.0, outcomes.into_iter().map(|outcome| (outcome.ordinal, outcome.verdict)).collect())
            }
            other => panic!("{other:?}"),
        }
    }

    /// The first heartbeat from now on for which `holds`.
    async fn heartbeat(&mut self, holds: impl Fn(&Heartbeat) -> bool) -> Heartbeat {
        let heartbeats = async {
            loop {
                let delivery = self.heartbeats.next().await.unwrap();
                let heartbeat = Heartbeat::decode(&delivery.body).unwrap();
                let _ = delivery.acker.ack().await;
                if holds(&heartbeat) {
                    return heartbeat;
                }
            }
        };
        timeout(DEADLINE, heartbeats).await.expect("such a heartbeat comes")
    }

    async fn until_consumers(&self, count: u32) {
        // Where time is paused, it goes on while we wait for the next look.
        let mut looks = tokio::time::interval(Duration::from_millis(1));
        let counted = async {
            while self.broker.depth(&task_queue(QUEUE)).await.unwrap().consumers != count {
                looks.tick().await;
            }
        };
        timeout(DEADLINE, counted).await.expect("as many consumers");
    }

    /// Nothing waits in the task queue; after the end of a worker, nothing was left unacknowledged either.
    async fn assert_queue_is_empty(&self) {
        assert_eq!(self.broker.depth(&task_queue(QUEUE)).await.unwrap().ready, 0);
    }
}

impl Running {
    async fn stop(self) {
        self.shutdown.cancel();
        self.ended().await;
    }

    async fn ended(self) {
        timeout(DEADLINE, self.worker).await.expect("the worker ends").unwrap().unwrap();
    }
}

fn dispatch(id: u64, keys: &[&str]) -> Dispatch {
    Dispatch { id: DispatchId(id), ..testing::dispatch("asset", keys) }
}

/// A function that waits for a permit for each of its tasks, unless the key says `quick`.
fn gated(gate: &Arc<Semaphore>) -> impl Fn(Context) -> futures_util::future::BoxFuture<'static, ()> + use<> {
    let gate = Arc::clone(gate);
    move |ctx| {
        let gate = Arc::clone(&gate);
        Box::pin(async move {
            if ctx.partition_key() != "quick" {
                gate.acquire().await.unwrap().forget();
            }
        })
    }
}
