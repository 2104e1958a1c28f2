//! What a leader does when the ledger does not answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use backstitch_broker::{Broker, InProcess, Outgoing, Target};
use backstitch_proto::definition::Definitions;
use backstitch_proto::id::{Epoch, RunId, WorkerId};
use backstitch_proto::message::{
    Dispatch, DispatchReport, HEARTBEAT_QUEUE, Heartbeat, Message, Outcome, REPORT_QUEUE, Report, TaskSpec,
    Verdict, task_queue,
};
use backstitch_proto::partition::PartitionSubset;
use tempfile::TempDir;
use tokio::sync::{Mutex, Notify};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::engine;
use crate::ledger::{
    Address, AttemptCursor, AttemptQuery, AttemptRecord, AuditReport, Batch, Candidate, CommitError,
    LeaderInfo, Ledger, LedgerError, LedgerReads, LiveState, Materialization, MaterializationQuery, Page,
    RunFilter, RunStatus, RunSummary, StateSink, SuccessSink, Term, connect, migrate,
};
use crate::service::handle::HandleError;
use crate::service::{COMMANDS_MAX, Coordinator, Filter, Handle, Options, Submission, TermError};

/// A test that fails waits this long.
const SOON: Duration = Duration::from_secs(60);

/// An embedded ledger that leaves a question without an answer, once, where a test says so.
struct Silent {
    ledger: Arc<dyn Ledger>,
    loading: AtomicBool,
    committing: AtomicBool,
    /// A commit is done, and its answer held back until the test lets it go.
    unheard: AtomicBool,
    heard: Notify,
    /// Readings of the state of partitions that are still to fail.
    unread: AtomicU32,
    /// Terms that began.
    terms: AtomicU32,
    /// Commits come one after the other, as in Postgres.
    turn: Mutex<()>,
    /// Somebody waits for an answer that never comes.
    asked: Notify,
    /// What tells the leader that its term is over.
    lost: std::sync::Mutex<CancellationToken>,
}

impl Silent {
    async fn answer(&self, never: &AtomicBool) {
        if never.swap(false, Ordering::Relaxed) {
            self.asked.notify_one();
            std::future::pending::<()>().await;
        }
    }

    fn end_term(&self) {
        self.lost.lock().unwrap().cancel();
    }
}

#[async_trait]
impl Ledger for Silent {
    async fn lead(&self, candidate: &Candidate) -> Result<Term, LedgerError> {
        let term = self.ledger.lead(candidate).await?;
        *self.lost.lock().unwrap() = term.lost();
        self.terms.fetch_add(1, Ordering::Relaxed);
        Ok(term)
    }

    async fn leader(&self) -> Result<Option<LeaderInfo>, LedgerError> {
        self.ledger.leader().await
    }

    async fn commit(&self, epoch: Epoch, batch: &Batch) -> Result<(), CommitError> {
        let _turn = self.turn.lock().await;
        self.answer(&self.committing).await;
        self.ledger.commit(epoch, batch).await?;
        if !batch.attempts.is_empty() && self.unheard.swap(false, Ordering::Relaxed) {
            self.asked.notify_one();
            self.heard.notified().await;
        }
        Ok(())
    }

    async fn load_live(&self) -> Result<LiveState, LedgerError> {
        self.answer(&self.loading).await;
        self.ledger.load_live().await
    }

    async fn purge_history(&self, before_us: i64) -> Result<u32, LedgerError> {
        self.ledger.purge_history(before_us).await
    }
}

#[async_trait]
impl LedgerReads for Silent {
    async fn definitions(&self, fingerprint: &str) -> Result<Option<String>, LedgerError> {
        self.ledger.definitions(fingerprint).await
    }

    async fn partition_states(&self, asset: &str, sink: &mut StateSink<'_>) -> Result<(), LedgerError> {
        self.ledger.partition_states(asset, sink).await?;
        let left = self.unread.load(Ordering::Relaxed);
        self.unread.store(left.saturating_sub(1), Ordering::Relaxed);
        match left {
            0 => Ok(()),
            _ => {
                Err(LedgerError::Database { doing: "reading for a test", source: sqlx::Error::PoolTimedOut })
            }
        }
    }

    async fn run_by_client_key(&self, client_key: &str) -> Result<Option<RunId>, LedgerError> {
        self.ledger.run_by_client_key(client_key).await
    }

    async fn run(&self, id: RunId) -> Result<Option<RunSummary>, LedgerError> {
        self.ledger.run(id).await
    }

    async fn runs(&self, filter: &RunFilter) -> Result<Page<RunSummary, RunId>, LedgerError> {
        self.ledger.runs(filter).await
    }

    async fn materializations(
        &self,
        query: &MaterializationQuery,
    ) -> Result<Page<Materialization, String>, LedgerError> {
        self.ledger.materializations(query).await
    }

    async fn attempts(
        &self,
        query: &AttemptQuery,
    ) -> Result<Page<AttemptRecord, AttemptCursor>, LedgerError> {
        self.ledger.attempts(query).await
    }

    async fn succeeded(&self, run: RunId) -> Result<Vec<PartitionSubset>, LedgerError> {
        self.ledger.succeeded(run).await
    }

    async fn successes(&self, run: RunId, sink: &mut SuccessSink<'_>) -> Result<(), LedgerError> {
        self.ledger.successes(run, sink).await
    }

    async fn audit(&self) -> Result<AuditReport, LedgerError> {
        self.ledger.audit().await
    }
}

/// A coordinator that runs on such a ledger.
struct World {
    ledger: Arc<Silent>,
    broker: Arc<InProcess>,
    handle: Handle,
    shutdown: CancellationToken,
    running: JoinHandle<Result<(), TermError>>,
    _folder: TempDir,
}

impl World {
    async fn start(silent_while_loading: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = Address::sqlite(folder.path().join("ledger.db"));
        migrate(&address).await.unwrap();
        let ledger = Arc::new(Silent {
            ledger: connect(&address).await.unwrap(),
            loading: AtomicBool::new(silent_while_loading),
            committing: AtomicBool::new(false),
            unheard: AtomicBool::new(false),
            heard: Notify::new(),
            // Whoever leads for the first time does not succeed at once.
            unread: AtomicU32::new(1),
            terms: AtomicU32::new(0),
            turn: Mutex::default(),
            asked: Notify::new(),
            lost: std::sync::Mutex::default(),
        });
        let definitions = Definitions::from_yaml("backstitch.yaml", "assets: {a: {command: [x]}}").unwrap();
        let options = Options {
            name: "test".to_owned(),
            api_address: String::new(),
            engine: engine::Options::default(),
            keep_history: None,
        };
        let (shared, broker) = (Arc::clone(&ledger) as Arc<dyn Ledger>, Arc::new(InProcess::new()));
        let coordinator = Coordinator::new(options, Arc::new(definitions), shared, broker.clone());
        let (handle, shutdown) = (coordinator.handle(), CancellationToken::new());
        let running = tokio::spawn(coordinator.run(shutdown.clone()));
        Self { ledger, broker, handle, shutdown, running, _folder: folder }
    }

    /// Says something to the leader, as a worker does.
    async fn say(&self, queue: &str, message: &impl Message) {
        let outgoing = Outgoing {
            target: Target::Queue(queue.to_owned()),
            body: message.encode().unwrap(),
            headers: Default::default(),
            message_id: "worker".to_owned(),
            persistent: true,
        };
        self.broker.publisher().await.unwrap().publish(outgoing).await.unwrap().await.unwrap();
    }

    /// Takes the next dispatch as a worker, and tells that its tasks have succeeded.
    async fn work(&self) {
        let heartbeat = Heartbeat {
            worker: WORKER,
            name: "worker".to_owned(),
            version: "1".to_owned(),
            sequence: 1,
            slots: 1,
            queues: vec!["default".to_owned()],
            native_assets: Vec::new(),
            draining: false,
            held: Vec::new(),
        };
        self.say(HEARTBEAT_QUEUE, &heartbeat).await;
        let mut tasks = self.broker.consume(&task_queue("default"), 1).await.unwrap();
        let delivery = timeout(SOON, tasks.next()).await.expect("a dispatch comes").unwrap();
        let dispatch = Dispatch::decode(&delivery.body).unwrap();
        let outcome = |task: &TaskSpec| Outcome {
            ordinal: task.ordinal,
            started_us: 1,
            finished_us: 2,
            verdict: Verdict::Succeeded,
            metadata: Vec::new(),
            data_version: None,
            checks: Vec::new(),
            output: None,
        };
        let outcomes = dispatch.tasks.iter().map(outcome).collect();
        let outcomes = DispatchReport::Outcomes { dispatch: dispatch.id, trace: None, outcomes };
        self.say(REPORT_QUEUE, &Report { worker: WORKER, dispatches: vec![outcomes] }).await;
    }

    /// Waits until the leader waits for an answer that never comes.
    async fn until_asked(&self) {
        timeout(SOON, self.ledger.asked.notified()).await.expect("somebody asks");
    }

    /// Submits a run once somebody leads.
    async fn submit(&self) {
        let submitted = async {
            while self.handle.submit(everything()).await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        timeout(SOON, submitted).await.expect("a submission is taken");
    }

    async fn stop(self) {
        self.shutdown.cancel();
        timeout(SOON, self.running).await.expect("it stops").unwrap().unwrap();
    }
}

const WORKER: WorkerId = WorkerId(Uuid::from_u128(7));

fn everything() -> Submission {
    Submission { assets: Some("*".to_owned()), filter: Filter::All, ..Submission::default() }
}

#[tokio::test]
async fn a_leader_stops_when_told_although_the_ledger_does_not_say_what_is_live() {
    let world = World::start(true).await;
    world.until_asked().await;
    world.stop().await;
}

#[tokio::test]
async fn a_term_that_is_lost_before_the_ledger_says_what_is_live_is_over() {
    let world = World::start(true).await;
    world.until_asked().await;
    world.ledger.end_term();
    world.submit().await;
    assert!(world.handle.epoch().is_some(), "a second term, which the first could not begin");
    world.stop().await;
}

#[tokio::test]
async fn a_state_that_cannot_be_read_at_once_holds_up_requests_and_not_the_term() {
    let world = World::start(false).await;
    world.submit().await;
    assert_eq!(world.ledger.unread.load(Ordering::Relaxed), 0);
    assert_eq!(world.ledger.terms.load(Ordering::Relaxed), 1);
    world.stop().await;
}

#[tokio::test]
async fn while_states_cannot_be_read_whoever_does_not_need_them_is_answered() {
    let world = World::start(false).await;
    world.ledger.unread.store(u32::MAX, Ordering::Relaxed);
    let looked = async {
        while world.handle.live_runs().await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, looked).await.expect("somebody leads");
    // More than a leader keeps waiting: the first is told to ask again.
    let submit = |handle: Handle| async move { handle.submit(everything()).await };
    let mut submitted: JoinSet<_> = (0..=COMMANDS_MAX).map(|_| submit(world.handle.clone())).collect();
    let refused = timeout(SOON, submitted.join_next()).await.expect("an answer").unwrap().unwrap();
    assert!(matches!(refused, Err(HandleError::NotLeading)), "{refused:?}");
    timeout(SOON, world.handle.live_runs()).await.expect("an answer").unwrap();
    world.stop().await;
}

#[tokio::test]
async fn a_commit_of_a_term_that_is_over_does_not_hold_up_the_next_term() {
    let world = World::start(false).await;
    // Somebody leads by now.
    world.submit().await;
    world.ledger.committing.store(true, Ordering::Relaxed);
    let handle = world.handle.clone();
    let unanswered = tokio::spawn(async move { handle.submit(everything()).await });
    world.until_asked().await;
    world.ledger.end_term();
    world.submit().await;
    assert!(timeout(SOON, unanswered).await.expect("an answer").unwrap().is_err());
    world.stop().await;
}

#[tokio::test]
async fn what_anybody_can_read_in_the_ledger_is_not_planned_again() {
    let world = World::start(false).await;
    world.submit().await;
    world.ledger.unheard.store(true, Ordering::Relaxed);
    world.work().await;
    world.until_asked().await;
    let runs = world.ledger.runs(&RunFilter { limit: 1, ..RunFilter::default() }).await.unwrap().items;
    assert_eq!(runs[0].status, RunStatus::Succeeded, "durable, and the leader does not know it");
    let missing = Submission { filter: Filter::Missing, ..everything() };
    let (submitted, ()) = timeout(SOON, async {
        tokio::join!(world.handle.submit(missing), async {
            // The request is with the leader before the answer of the ledger is.
            world.handle.live_run(runs[0].record.id).await.unwrap();
            world.ledger.heard.notify_one();
        })
    })
    .await
    .expect("an answer");
    assert_eq!(submitted.unwrap().run, None, "nothing is missing");
    world.stop().await;
}
