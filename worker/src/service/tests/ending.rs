//! Ends before their time: cancellation, abandonment, drain.

use backstitch_proto::message::{DispatchReport, Executor, ReturnReason};

use super::*;

fn returned(id: u64, reason: ReturnReason) -> DispatchReport {
    DispatchReport::Returned { dispatch: DispatchId(id), reason }
}

/// A worker with a gate, dispatch 1 running and dispatch 2 waiting for the slot.
async fn one_runs_one_waits(world: &mut World, options: WorkerOptions) -> (Running, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let worker = world.start(options, |builder| builder.asset("asset", gated(&gate)));
    world.send(&dispatch(1, &["quick", "slow", "slow"])).await;
    assert_eq!(world.next_outcomes().await, (1, vec![(0, Verdict::Succeeded)]));
    world.send(&dispatch(2, &["slow"])).await;
    // A heartbeat says so only when something has happened.
    world.control(Control::Announce { epoch: backstitch_proto::id::Epoch(1) }).await;
    while world.heartbeat(|_| true).await.held.len() < 2 {
        world.control(Control::Announce { epoch: backstitch_proto::id::Epoch(1) }).await;
    }
    (worker, gate)
}

#[tokio::test]
async fn a_cancelled_run_ends_what_runs_and_what_waits_and_what_comes_late() {
    let mut world = World::new().await;
    let (worker, _gate) = one_runs_one_waits(&mut world, options()).await;
    world.control(Control::CancelRun { run: dispatch(1, &[]).run }).await;
    let mut cancelled = Vec::new();
    while cancelled.len() < 3 {
        let (id, outcomes) = world.next_outcomes().await;
        assert!(outcomes.iter().all(|(_, verdict)| *verdict == Verdict::Cancelled), "{outcomes:?}");
        cancelled.extend(outcomes.into_iter().map(|(ordinal, _)| (id, ordinal)));
    }
    cancelled.sort_unstable();
    assert_eq!(cancelled, [(1, 1), (1, 2), (2, 0)]);
    let late = Dispatch { created_us: 0, ..dispatch(3, &["slow"]) };
    world.send(&late).await;
    assert_eq!(world.next_outcomes().await, (3, vec![(0, Verdict::Cancelled)]));
    worker.stop().await;
    world.assert_queue_is_empty().await;
}

#[tokio::test]
async fn an_abandoned_dispatch_ends_without_a_word() {
    let mut world = World::new().await;
    let (worker, gate) = one_runs_one_waits(&mut world, options()).await;
    world.control(Control::Abandon { dispatches: vec![DispatchId(1)] }).await;
    world.heartbeat(|heartbeat| heartbeat.held.iter().all(|held| held.dispatch.0 == 2 && held.started)).await;
    gate.add_permits(1);
    assert_eq!(world.next_outcomes().await, (2, vec![(0, Verdict::Succeeded)]));
    worker.stop().await;
    world.assert_queue_is_empty().await;
}

#[tokio::test]
async fn a_draining_worker_hands_back_what_waits_and_finishes_what_runs() {
    let mut world = World::new().await;
    let (worker, gate) = one_runs_one_waits(&mut world, options()).await;
    worker.shutdown.cancel();
    assert_eq!(world.next_news().await, returned(2, ReturnReason::NotStarted));
    let draining = world.heartbeat(|heartbeat| heartbeat.draining && heartbeat.held.len() == 1).await;
    assert!(draining.held[0].started);
    world.send(&dispatch(3, &["slow"])).await;
    gate.add_permits(2);
    let mut finished = 0;
    while finished < 2 {
        finished += world.next_outcomes().await.1.len();
    }
    worker.ended().await;
    assert_eq!(world.heartbeat(|heartbeat| heartbeat.held.is_empty() && heartbeat.draining).await.held, []);
    // What came after the worker stopped consuming is for others.
    assert_eq!(world.broker.depth(&task_queue(QUEUE)).await.unwrap().ready, 1);
}

#[tokio::test]
async fn what_does_not_fit_into_the_drain_grace_is_interrupted_and_handed_back() {
    let mut world = World::new().await;
    let options = WorkerOptions { drain_grace: Duration::from_millis(50), ..options() };
    let (worker, _gate) = one_runs_one_waits(&mut world, options).await;
    worker.stop().await;
    let mut news = [world.next_news().await, world.next_news().await];
    news.sort_by_key(|news| {
        matches!(news, DispatchReport::Returned { reason: ReturnReason::NotStarted, .. })
    });
    assert_eq!(news, [returned(1, ReturnReason::Interrupted), returned(2, ReturnReason::NotStarted)]);
    world.assert_queue_is_empty().await;
}

#[tokio::test]
async fn a_command_is_asked_to_end_when_the_drain_grace_is_over() {
    let mut world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let marks = folder.path().join("marks");
    let script = format!(
        "trap 'echo ended >> {0}; exit 0' TERM; echo ready >> {0}; sleep 1000 & wait",
        marks.display()
    );
    let mut command = testing::shell(&["k"], &script);
    testing::invocation(&mut command).grace_ms = 20_000;
    assert!(matches!(command.invocation.executor, Executor::Command { .. }));
    let worker = world.start(WorkerOptions { drain_grace: Duration::ZERO, ..options() }, |builder| builder);
    world.send(&command).await;
    let read = || std::fs::read_to_string(&marks).unwrap_or_default();
    let ready = async {
        while read().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(DEADLINE, ready).await.expect("the command starts");
    worker.stop().await;
    assert_eq!(world.next_news().await, returned(1, ReturnReason::Interrupted));
    assert_eq!(read(), "ready\nended\n");
    world.assert_queue_is_empty().await;
}
