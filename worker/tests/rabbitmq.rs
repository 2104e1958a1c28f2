//! A worker on a real RabbitMQ that goes away in the middle.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use backstitch_broker::{Broker, Consumer, Outgoing, Publisher, RabbitMq, Target, Topology};
use backstitch_proto::id::{DispatchId, RunId};
use backstitch_proto::message::{
    Dispatch, DispatchReport, Executor, Invocation, Message, REPORT_QUEUE, Report, ReturnReason, TaskSpec,
    Verdict, task_queue,
};
use backstitch_worker::{CancellationToken, Context, Worker, WorkerOptions};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// A node restarts in about 15 s on a quiet machine.
const DEADLINE: Duration = Duration::from_secs(120);

const QUEUE: &str = "default";

fn dispatch(id: u64) -> Dispatch {
    Dispatch {
        id: DispatchId(id),
        run: RunId(uuid::Uuid::from_u128(1)),
        asset: "asset".into(),
        attempt: 1,
        announce_start: false,
        created_us: 0,
        invocation: Arc::new(Invocation {
            executor: Executor::Native,
            job: None,
            config_json: "{}".into(),
            code_version: None,
            partitioned: true,
            dimensions: Vec::new(),
            batch_size: 1,
            timeout_ms: None,
            grace_ms: 1_000,
        }),
        tasks: vec![TaskSpec { ordinal: 0, key: "k".into(), window: None }],
    }
}

async fn send(publisher: &dyn Publisher, dispatch: &Dispatch) {
    let outgoing = Outgoing {
        target: Target::Queue(task_queue(QUEUE)),
        body: dispatch.encode().expect("a small dispatch has a wire form"),
        headers: BTreeMap::new(),
        message_id: dispatch.id.to_string(),
        persistent: true,
    };
    publisher.publish(outgoing).await.expect("the broker is there").await.expect("it takes the dispatch");
}

/// What the next report says. A report whose acknowledgement was lost with the connection comes twice.
async fn news(reports: &mut dyn Consumer, seen: &mut Vec<Vec<u8>>) -> Vec<DispatchReport> {
    loop {
        let delivery = timeout(DEADLINE, reports.next()).await.expect("a report comes in time");
        let delivery = delivery.expect("the broker is open");
        let _ = delivery.acker.ack().await;
        if !seen.contains(&delivery.body) {
            seen.push(delivery.body.clone());
            return Report::decode(&delivery.body).expect("it is a report").dispatches;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_runs_while_the_broker_restarts_is_executed_once_and_reported() {
    let mut node = backstitch_tests::rabbitmq::RabbitMq::start().await.unwrap();
    let ours = RabbitMq::connect(&node.url(), "test").await.unwrap();
    ours.declare(&Topology::for_worker_queues([QUEUE])).await.unwrap();
    let publisher = ours.publisher().await.unwrap();
    let mut reports = ours.consume(REPORT_QUEUE, 10).await.unwrap();

    let mut seen = Vec::new();
    let (calls, gate) = (Arc::new(AtomicU32::new(0)), Arc::new(Semaphore::new(0)));
    let function = {
        let (calls, gate) = (Arc::clone(&calls), Arc::clone(&gate));
        move |_: Context| {
            let gate = Arc::clone(&gate);
            calls.fetch_add(1, Ordering::Relaxed);
            async move { gate.acquire().await.unwrap().forget() }
        }
    };
    let broker = Arc::new(RabbitMq::connect(&node.url(), "worker").await.unwrap());
    let shutdown = CancellationToken::new();
    let options = WorkerOptions { slots: 1, project_dir: std::env::temp_dir(), ..WorkerOptions::default() };
    let worker = Worker::builder().asset("asset", function).options(options).broker(broker.clone());
    let worker = tokio::spawn(worker.run_until(shutdown.clone()));

    send(&*publisher, &Dispatch { announce_start: true, ..dispatch(1) }).await;
    assert_eq!(news(&mut *reports, &mut seen).await, [DispatchReport::Started { dispatch: DispatchId(1) }]);
    node.kill().await.unwrap();
    node.restart().await.unwrap();
    // Its delivery comes a second time, to the worker that still executes it.
    gate.add_permits(1);
    let reported = news(&mut *reports, &mut seen).await;
    assert!(
        matches!(&reported[..], [DispatchReport::Outcomes { dispatch: DispatchId(1), outcomes, .. }]
            if outcomes.len() == 1 && outcomes[0].verdict == Verdict::Succeeded),
        "{reported:?}"
    );
    gate.add_permits(1);
    send(&*publisher, &dispatch(2)).await;
    // The second delivery may come after the first was settled, and is handed back then: the coordinator knows better.
    let handed_back = DispatchReport::Returned { dispatch: DispatchId(1), reason: ReturnReason::Redelivered };
    let mut reported = Vec::new();
    while reported.is_empty() {
        reported = news(&mut *reports, &mut seen).await;
        reported.retain(|news| *news != handed_back);
    }
    assert!(
        matches!(&reported[..], [DispatchReport::Outcomes { dispatch: DispatchId(2), .. }]),
        "nothing but the second dispatch is executed: {reported:?}"
    );
    shutdown.cancel();
    timeout(DEADLINE, worker).await.unwrap().unwrap().unwrap();
    broker.close().await;
    assert_eq!(calls.load(Ordering::Relaxed), 2);
    assert_eq!(ours.depth(&task_queue(QUEUE)).await.unwrap().ready, 0);
    ours.close().await;
}
