//! The bare loop: messages out, consumed, answered, acknowledged, with nothing in between.
//!
//! As many messages of the same sizes as the run needed, through queues that are declared like ours, with confirms in
//! both directions and an acknowledgement only after the answer is confirmed. No window holds the publisher back, no
//! task is looked at, nothing is decided.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context, Result};
use backstitch_broker::{Acker, Broker, Confirm, Outgoing, Publisher, RabbitMq, Target, Topology, WorkQueue};
use backstitch_proto::id::{DispatchId, RunId, WorkerId};
use backstitch_proto::message::{
    Dispatch, DispatchReport, Executor, Invocation, Message, Outcome, Report, TaskSpec, Verdict, Window,
};
use backstitch_proto::partition::Partitions;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Traffic;
use crate::command::bench::bed::Bed;
use crate::command::bench::project::asset;
use crate::command::bench::servers::Servers;

const TASKS: &str = "backstitch.bench.tasks";
const REPORTS: &str = "backstitch.bench.reports";

/// Deliveries in a consumer's hands at once: more makes neither faster.
const PREFETCH: u16 = 2_000;

/// Answers of one consumer that wait for their confirm.
const UNCONFIRMED: usize = 8;

/// Confirms of the publisher that are waited for one by one, at the end.
const WINDOW: usize = 4_000;

/// Tasks per second.
pub(super) async fn measure(
    bed: &Bed,
    servers: &Servers,
    space: &Partitions,
    traffic: Traffic,
) -> Result<f64> {
    let topology = Topology {
        dead_letter_exchange: "backstitch.bench.dead-letters".to_owned(),
        work: [TASKS, REPORTS]
            .map(|name| WorkQueue {
                name: name.to_owned(),
                delivery_limit: backstitch_broker::DELIVERY_LIMIT,
            })
            .into(),
        ..Topology::default()
    };
    let per_message = traffic.tasks.div_ceil(traffic.messages.max(1));
    let per_report = traffic.tasks.div_ceil(traffic.reports.max(1));
    let dispatch = dispatch(space, per_message as u32).encode()?;
    let report = report(per_report as u32).encode()?;

    // One connection for the coordinator's part and one for each worker's, as in the run.
    let broker = RabbitMq::connect(&servers.broker_url, "backstitch-bench-limit").await?;
    broker.declare(&topology).await?;
    let state =
        Arc::new(Loop { traffic, report, consumed: AtomicU64::new(0), done: CancellationToken::new() });
    let mut workers = Vec::new();
    for _ in 0..bed.plan.workers.max(1) {
        let broker = RabbitMq::connect(&servers.broker_url, "backstitch-bench-limit").await?;
        broker.declare(&topology).await?;
        workers.push(tokio::spawn(work(broker, Arc::clone(&state))));
    }
    let begin = Instant::now();
    let publisher = broker.publisher().await?;
    tokio::try_join!(publish(&*publisher, &dispatch, traffic.messages), collect(&broker, traffic.reports))?;
    let seconds = begin.elapsed().as_secs_f64();
    state.done.cancel();
    for worker in workers {
        worker.await.context("a consumer panicked")??;
    }
    broker.remove(&topology).await?;
    broker.close().await;
    Ok(traffic.tasks as f64 / seconds)
}

/// What the consumers share.
struct Loop {
    traffic: Traffic,
    report: Vec<u8>,
    consumed: AtomicU64,
    /// Every answer has been consumed.
    done: CancellationToken,
}

impl Loop {
    /// Answers that are due after so many messages: in the end as many as there were in the run.
    fn answers_after(&self, messages: u64) -> u64 {
        (u128::from(messages) * u128::from(self.traffic.reports) / u128::from(self.traffic.messages.max(1)))
            as u64
    }
}

async fn publish(publisher: &dyn Publisher, body: &[u8], messages: u64) -> Result<()> {
    let mut window: VecDeque<Confirm> = VecDeque::with_capacity(WINDOW);
    for _ in 0..messages {
        if window.len() == WINDOW
            && let Some(oldest) = window.pop_front()
        {
            oldest.await?;
        }
        window.push_back(publisher.publish(outgoing(TASKS, body)).await?);
    }
    for confirm in window {
        confirm.await?;
    }
    Ok(())
}

/// A worker's part.
async fn work(broker: RabbitMq, state: Arc<Loop>) -> Result<()> {
    let (mut consumer, publisher) = (broker.consume(TASKS, PREFETCH).await?, broker.publisher().await?);
    let mut held: Vec<Acker> = Vec::new();
    let mut unconfirmed: VecDeque<(Vec<Confirm>, Vec<Acker>)> = VecDeque::new();
    while let Some(Some(delivery)) = state.done.run_until_cancelled(consumer.next()).await {
        held.push(delivery.acker);
        let number = state.consumed.fetch_add(1, Ordering::Relaxed);
        let due = state.answers_after(number + 1) - state.answers_after(number);
        if due == 0 {
            continue;
        }
        let mut confirms = Vec::new();
        for _ in 0..due {
            confirms.push(publisher.publish(outgoing(REPORTS, &state.report)).await?);
        }
        unconfirmed.push_back((confirms, std::mem::take(&mut held)));
        if unconfirmed.len() >= UNCONFIRMED {
            settle(unconfirmed.pop_front()).await?;
        }
    }
    for answer in unconfirmed {
        settle(Some(answer)).await?;
    }
    _ = Acker::ack_all(held).await;
    broker.close().await;
    Ok(())
}

async fn settle(answer: Option<(Vec<Confirm>, Vec<Acker>)>) -> Result<()> {
    let Some((confirms, ackers)) = answer else { return Ok(()) };
    for confirm in confirms {
        confirm.await?;
    }
    _ = Acker::ack_all(ackers).await;
    Ok(())
}

/// The coordinator's other part.
async fn collect(broker: &RabbitMq, reports: u64) -> Result<()> {
    const ACK_EVERY: usize = 100;
    let mut consumer = broker.consume(REPORTS, PREFETCH).await?;
    let mut held = Vec::with_capacity(ACK_EVERY);
    for _ in 0..reports {
        held.push(consumer.next().await.context("the consumer ended")?.acker);
        if held.len() == ACK_EVERY {
            _ = Acker::ack_all(std::mem::take(&mut held)).await;
        }
    }
    _ = Acker::ack_all(held).await;
    Ok(())
}

fn outgoing(queue: &str, body: &[u8]) -> Outgoing {
    Outgoing {
        target: Target::Queue(queue.to_owned()),
        body: body.to_vec(),
        headers: BTreeMap::new(),
        message_id: String::new(),
        persistent: true,
    }
}

fn dispatch(space: &Partitions, tasks: u32) -> Dispatch {
    let task = |ordinal| TaskSpec {
        ordinal,
        key: space.key(ordinal).unwrap_or_default(),
        window: space.window(ordinal).map(|window| Window {
            start_us: window.start.timestamp_micros(),
            end_us: window.end.timestamp_micros(),
        }),
    };
    Dispatch {
        id: DispatchId(1 << 40),
        run: RunId(Uuid::max()),
        asset: asset(0),
        attempt: 1,
        announce_start: false,
        created_us: chrono::Utc::now().timestamp_micros(),
        invocation: Arc::new(Invocation {
            executor: Executor::Native,
            job: None,
            config_json: "{}".to_owned(),
            code_version: None,
            partitioned: true,
            dimensions: Vec::new(),
            batch_size: 1,
            timeout_ms: None,
            grace_ms: 10_000,
        }),
        tasks: (0..tasks).map(task).collect(),
    }
}

fn report(tasks: u32) -> Report {
    let now = chrono::Utc::now().timestamp_micros();
    let outcome = |ordinal| Outcome {
        ordinal,
        started_us: now,
        finished_us: now,
        verdict: Verdict::Succeeded,
        metadata: Vec::new(),
        data_version: None,
        checks: Vec::new(),
        output: None,
    };
    let outcomes = DispatchReport::Outcomes {
        dispatch: DispatchId(1 << 40),
        trace: None,
        outcomes: (0..tasks).map(outcome).collect(),
    };
    Report { worker: WorkerId(Uuid::max()), dispatches: vec![outcomes] }
}
