//! What becomes of a delivery.

use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use backstitch_broker::{BrokerError, Confirm, ConnectionState, QueueDepth, dead_letter_queue, header};
use backstitch_proto::message::{FailureKind, ReturnReason};
use tokio::sync::watch;

use super::*;

#[tokio::test]
async fn every_task_of_a_dispatch_has_its_outcome_and_a_failure_costs_its_neighbours_nothing() {
    let mut world = World::new().await;
    let worker = world.start(options(), |builder| {
        builder.asset("asset", |ctx: Context| async move {
            if ctx.partition_key() == "b" { Err("b is bad") } else { Ok(()) }
        })
    });
    world.send(&dispatch(1, &["a", "b", "c"])).await;
    let mut outcomes = Vec::new();
    while outcomes.len() < 3 {
        outcomes.extend(world.next_outcomes().await.1);
    }
    let failed =
        |verdict: &Verdict| matches!(verdict, Verdict::Failed(failure) if failure.kind == FailureKind::Error);
    assert_eq!(outcomes.iter().map(|(ordinal, _)| *ordinal).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(outcomes.iter().map(|(_, verdict)| failed(verdict)).collect::<Vec<_>>(), [false, true, false]);
    worker.stop().await;
    world.assert_queue_is_empty().await;
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_dead_lettered_and_the_next_one_is_executed() {
    let mut world = World::new().await;
    let worker = world.start(options(), |builder| builder.asset("asset", |_| async {}));
    let mut unknown_version = dispatch(1, &["a"]).encode().unwrap();
    unknown_version[3] = 99;
    let mut damaged = dispatch(1, &["a"]).encode().unwrap();
    damaged.truncate(20);
    let empty = Dispatch { tasks: Vec::new(), ..dispatch(1, &[]) }.encode().unwrap();
    for body in [b"garbage".to_vec(), unknown_version, damaged, empty] {
        world.publish(Target::Queue(task_queue(QUEUE)), body).await;
    }
    world.send(&dispatch(2, &["a"])).await;
    assert_eq!(world.next_outcomes().await, (2, vec![(0, Verdict::Succeeded)]));
    worker.stop().await;
    let mut dead = world.broker.consume(&dead_letter_queue(&task_queue(QUEUE)), 10).await.unwrap();
    for reason in ["not a Backstitch message", "version 99", "decoding a dispatch: ", "without tasks"] {
        let delivery = timeout(DEADLINE, dead.next()).await.unwrap().unwrap();
        assert!(delivery.headers[header::REASON].contains(reason), "{:?}", delivery.headers);
        let _ = delivery.acker.ack().await;
    }
    world.assert_queue_is_empty().await;
}

#[tokio::test]
async fn a_redelivered_dispatch_is_handed_back_and_never_executed() {
    let mut world = World::new().await;
    world.send(&dispatch(1, &["a"])).await;
    let mut died = world.broker.consume(&task_queue(QUEUE), 1).await.unwrap();
    drop(died.next().await.unwrap());
    drop(died);
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let worker = world.start(options(), |builder| {
        builder.asset("asset", move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            async {}
        })
    });
    let expected = DispatchReport::Returned { dispatch: DispatchId(1), reason: ReturnReason::Redelivered };
    assert_eq!(world.next_news().await, expected);
    worker.stop().await;
    assert_eq!(calls.load(Ordering::Relaxed), 0);
    world.assert_queue_is_empty().await;
}

#[tokio::test]
async fn a_copy_of_a_held_dispatch_is_dropped_and_of_a_finished_one_handed_back() {
    let mut world = World::new().await;
    let gate = Arc::new(Semaphore::new(0));
    let worker = world.start(options(), |builder| builder.asset("asset", gated(&gate)));
    world.send(&dispatch(1, &["a"])).await;
    world.send(&dispatch(1, &["a"])).await;
    world.heartbeat(|heartbeat| heartbeat.held.iter().any(|held| held.started)).await;
    gate.add_permits(1);
    assert_eq!(world.next_outcomes().await, (1, vec![(0, Verdict::Succeeded)]));
    world.heartbeat(|heartbeat| heartbeat.held.is_empty()).await;
    world.send(&dispatch(1, &["a"])).await;
    let expected = DispatchReport::Returned { dispatch: DispatchId(1), reason: ReturnReason::Redelivered };
    assert_eq!(world.next_news().await, expected);
    worker.stop().await;
    world.assert_queue_is_empty().await;
}

#[tokio::test]
async fn the_start_is_announced_where_that_is_asked_for() {
    let mut world = World::new().await;
    let worker = world.start(options(), |builder| builder.asset("asset", |_| async {}));
    world.send(&Dispatch { announce_start: true, ..dispatch(1, &["a"]) }).await;
    assert_eq!(world.next_news().await, DispatchReport::Started { dispatch: DispatchId(1) });
    assert_eq!(world.next_outcomes().await.0, 1);
    worker.stop().await;
}

#[tokio::test]
async fn what_has_ended_is_reported_while_the_rest_of_the_dispatch_runs() {
    let mut world = World::new().await;
    let gate = Arc::new(Semaphore::new(0));
    let worker = world.start(options(), |builder| builder.asset("asset", gated(&gate)));
    world.send(&dispatch(1, &["quick", "slow"])).await;
    assert_eq!(world.next_outcomes().await, (1, vec![(0, Verdict::Succeeded)]));
    gate.add_permits(1);
    assert_eq!(world.next_outcomes().await, (1, vec![(1, Verdict::Succeeded)]));
    worker.stop().await;
}

#[tokio::test]
async fn a_running_dispatch_is_handed_to_its_lease_and_a_waiting_one_to_somebody_else() {
    let mut world = World::new().await;
    let gate = Arc::new(Semaphore::new(0));
    let options = WorkerOptions {
        prefetch_extra: 0,
        // Longer than the pause between two heartbeats, so that one of them sees both.
        ack_after: Duration::from_millis(500),
        heartbeat_interval: Duration::from_millis(10),
        ..options()
    };
    let worker = world.start(options, |builder| builder.asset("asset", gated(&gate)));
    world.send(&dispatch(1, &["slow"])).await;
    world.send(&dispatch(2, &["slow"])).await;
    // One delivery may be unacknowledged, so the second one comes only when the first is acknowledged.
    world.heartbeat(|heartbeat| heartbeat.held.len() == 2).await;
    let expected = DispatchReport::Returned { dispatch: DispatchId(2), reason: ReturnReason::NotStarted };
    assert_eq!(world.next_news().await, expected);
    gate.add_permits(1);
    assert_eq!(world.next_outcomes().await, (1, vec![(0, Verdict::Succeeded)]));
    worker.stop().await;
    world.assert_queue_is_empty().await;
}

#[tokio::test(start_paused = true)]
async fn a_dispatch_behind_a_long_task_is_soon_there_for_an_idle_worker() {
    let mut world = World::new().await;
    let gate = Arc::new(Semaphore::new(0));
    let worker = world.start(options(), |builder| builder.asset("asset", gated(&gate)));
    world.send(&dispatch(1, &["slow"])).await;
    world.send(&dispatch(2, &["slow"])).await;
    let begin = tokio::time::Instant::now();
    let expected = DispatchReport::Returned { dispatch: DispatchId(2), reason: ReturnReason::NotStarted };
    assert_eq!(world.next_news().await, expected);
    assert!(begin.elapsed() < Duration::from_secs(6), "{:?}", begin.elapsed());
    // Whoever is idle gets what comes now, and this worker again once it has a slot.
    world.until_consumers(0).await;
    world.send(&dispatch(3, &["quick"])).await;
    gate.add_permits(1);
    assert_eq!(world.next_outcomes().await, (1, vec![(0, Verdict::Succeeded)]));
    assert_eq!(world.next_outcomes().await, (3, vec![(0, Verdict::Succeeded)]));
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_left_of_a_dispatch_that_takes_far_longer_than_expected_is_handed_back() {
    let mut world = World::new().await;
    let worker = world
        .start(options(), |builder| builder.asset("asset", |_| tokio::time::advance(Duration::from_secs(6))));
    // That several of them may go into a call is nothing to a function of one partition.
    let mut long = dispatch(1, &["a", "b", "c", "d"]);
    testing::invocation(&mut long).batch_size = 4;
    world.send(&long).await;
    for ordinal in [0, 1] {
        assert_eq!(world.next_outcomes().await, (1, vec![(ordinal, Verdict::Succeeded)]));
    }
    let expected = DispatchReport::Returned { dispatch: DispatchId(1), reason: ReturnReason::NotStarted };
    assert_eq!(world.next_news().await, expected);
    worker.stop().await;
    world.assert_queue_is_empty().await;
}

/// The slot of what is cancelled while its start is announced is free, like that of what was executed.
#[tokio::test(start_paused = true)]
async fn a_full_worker_takes_dispatches_again_whichever_way_its_slot_became_free() {
    let mut world = World::new().await;
    let failures = Arc::new(AtomicU32::new(u32::MAX));
    let deaf = Arc::new(Flaky { broker: world.broker.clone(), failures: Arc::clone(&failures) });
    let worker = world.start_on(deaf, options(), |builder| builder.asset("asset", |_| async {}));
    let run = RunId(Uuid::from_u128(77));
    world.send(&Dispatch { announce_start: true, run, ..dispatch(1, &["a"]) }).await;
    world.send(&dispatch(2, &["a"])).await;
    // The first waits until the broker has heard of it, and the second one for the slot, in vain.
    world.until_consumers(0).await;
    world.control(Control::CancelRun { run }).await;
    world.until_consumers(1).await;
    failures.store(0, Ordering::Relaxed);
    world.send(&dispatch(3, &["a"])).await;
    let third =
        |news: &DispatchReport| matches!(news, DispatchReport::Outcomes { dispatch: DispatchId(3), .. });
    while !third(&world.next_news().await) {}
    worker.stop().await;
    world.assert_queue_is_empty().await;
}

#[tokio::test]
async fn heartbeats_count_up_and_come_at_once_when_a_leader_asks() {
    let mut world = World::new().await;
    let worker = world.start(options(), |builder| builder.asset("asset", |_| async {}));
    let first = world.heartbeat(|_| true).await;
    assert_eq!((first.name.as_str(), first.slots, first.draining), ("test-worker", 1, false));
    assert_eq!((first.queues, first.native_assets), (vec![QUEUE.to_owned()], vec!["asset".to_owned()]));
    world.control(Control::Announce { epoch: backstitch_proto::id::Epoch(1) }).await;
    let second = world.heartbeat(|heartbeat| heartbeat.sequence > first.sequence).await;
    assert_eq!(second.worker, first.worker);
    worker.stop().await;
}

#[tokio::test]
async fn a_report_that_the_broker_did_not_take_is_sent_again() {
    let mut world = World::new().await;
    let flaky = Arc::new(Flaky { broker: world.broker.clone(), failures: Arc::new(AtomicU32::new(2)) });
    let failures = Arc::clone(&flaky.failures);
    let worker = world.start_on(flaky, options(), |builder| builder.asset("asset", |_| async {}));
    world.send(&dispatch(1, &["a"])).await;
    assert_eq!(world.next_outcomes().await, (1, vec![(0, Verdict::Succeeded)]));
    assert_eq!(failures.load(Ordering::Relaxed), 0);
    worker.stop().await;
    world.assert_queue_is_empty().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_cannot_report_ends_when_it_is_told_to() {
    let world = World::new().await;
    let deaf = Arc::new(Flaky { broker: world.broker.clone(), failures: Arc::new(AtomicU32::new(u32::MAX)) });
    let (count, mut executed) = watch::channel(0);
    let options = WorkerOptions { drain_grace: Duration::from_secs(1), ..options() };
    let worker = world.start_on(deaf, options, |builder| {
        builder.asset("asset", move |_| {
            count.send_modify(|executed| *executed += 1);
            async {}
        })
    });
    let keys: Vec<String> = (0..20_000).map(|number| format!("k{number}")).collect();
    world.send(&dispatch(1, &keys.iter().map(String::as_str).collect::<Vec<_>>())).await;
    // Eight reports are unconfirmed and a ninth is full: what follows waits for room.
    executed.wait_for(|executed| *executed >= 8_000).await.unwrap();
    worker.shutdown.cancel();
    timeout(Duration::from_secs(60), worker.worker).await.expect("the worker ends").unwrap().unwrap();
    let executed = *executed.borrow();
    assert!((1..20_000).contains(&executed), "{executed} executions, whose news all wait");
}

/// A broker that does not take the first reports.
struct Flaky {
    broker: Arc<InProcess>,
    failures: Arc<AtomicU32>,
}

struct FlakyPublisher {
    publisher: Arc<dyn Publisher>,
    failures: Arc<AtomicU32>,
}

#[async_trait]
impl Broker for Flaky {
    async fn declare(&self, topology: &Topology) -> Result<(), BrokerError> {
        self.broker.declare(topology).await
    }

    async fn publisher(&self) -> Result<Arc<dyn Publisher>, BrokerError> {
        let publisher = self.broker.publisher().await?;
        Ok(Arc::new(FlakyPublisher { publisher, failures: Arc::clone(&self.failures) }))
    }

    async fn consume(&self, queue: &str, prefetch: u16) -> Result<Box<dyn Consumer>, BrokerError> {
        self.broker.consume(queue, prefetch).await
    }

    async fn subscribe(&self, fanout: &str) -> Result<Box<dyn Consumer>, BrokerError> {
        self.broker.subscribe(fanout).await
    }

    fn state(&self) -> watch::Receiver<ConnectionState> {
        self.broker.state()
    }

    fn survives_restart(&self) -> bool {
        false
    }

    async fn depth(&self, queue: &str) -> Result<QueueDepth, BrokerError> {
        self.broker.depth(queue).await
    }

    async fn close(&self) {
        self.broker.close().await;
    }
}

#[async_trait]
impl Publisher for FlakyPublisher {
    async fn publish(&self, message: Outgoing) -> Result<Confirm, BrokerError> {
        let is_report = message.target == Target::Queue(REPORT_QUEUE.into());
        let fails = |left: u32| left.checked_sub(1);
        if is_report && self.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fails).is_ok() {
            let (doing, reason) = ("publishing".to_owned(), "a test".to_owned());
            return Err(BrokerError::Unavailable { doing, waited: Duration::ZERO, reason });
        }
        self.publisher.publish(message).await
    }
}
