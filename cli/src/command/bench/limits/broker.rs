//! The bare loop: messages out, consumed, answered, acknowledged, with nothing in between.
//!
//! As many messages of the same sizes as the run needed, as its coordinator counted them, through queues that are
//! declared like ours, with confirms in both directions and an acknowledgement only after the answer is confirmed. No
//! window holds the publisher back, no task is looked at, nothing is decided.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context, Result};
use backstitch_broker::{Acker, Broker, Confirm, Outgoing, Publisher, RabbitMq, Target, Topology, WorkQueue};
use backstitch_proto::id::{DispatchId, Epoch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Traffic;
use crate::command::bench::bed::Bed;
use crate::command::bench::servers::Servers;
use crate::telemetry::exports_traces;

const TASKS: &str = "backstitch.bench.tasks";
const REPORTS: &str = "backstitch.bench.reports";

/// Deliveries in a consumer's hands at once: more makes neither faster.
const PREFETCH: u16 = 2_000;

/// Answers of one consumer that wait for their confirm.
const UNCONFIRMED: usize = 8;

/// Confirms of the publisher that are waited for one by one, at the end.
const WINDOW: usize = 4_000;

/// Tasks per second.
pub(super) async fn measure(bed: &Bed, servers: &Servers, traffic: Traffic) -> Result<f64> {
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

    // One connection for the coordinator's part and one for each worker's, as in the run.
    let broker = RabbitMq::connect(&servers.broker_url, "backstitch-bench-limit").await?;
    broker.declare(&topology).await?;
    let state = Arc::new(Loop { traffic, consumed: AtomicU64::new(0), done: CancellationToken::new() });
    let mut workers = Vec::new();
    for _ in 0..bed.fleet().await?.workers.max(1) {
        let broker = RabbitMq::connect(&servers.broker_url, "backstitch-bench-limit").await?;
        broker.declare(&topology).await?;
        workers.push(tokio::spawn(work(broker, Arc::clone(&state))));
    }
    let leader = bed.ledger.leader().await?.context("nobody leads")?;
    let begin = Instant::now();
    let publisher = broker.publisher().await?;
    tokio::try_join!(publish(&*publisher, traffic, leader.epoch), collect(&broker, traffic.reports))?;
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

async fn publish(publisher: &dyn Publisher, traffic: Traffic, epoch: Epoch) -> Result<()> {
    let mut window: VecDeque<Confirm> = VecDeque::with_capacity(WINDOW);
    let mut id = DispatchId::before_first_of(epoch);
    for _ in 0..traffic.messages {
        if window.len() == WINDOW
            && let Some(oldest) = window.pop_front()
        {
            oldest.await?;
        }
        id = id.next();
        let message = outgoing(TASKS, traffic.message_bytes, id.to_string());
        window.push_back(publisher.publish(message).await?);
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
            let answer = outgoing(REPORTS, state.traffic.report_bytes, Uuid::new_v4().to_string());
            confirms.push(publisher.publish(answer).await?);
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

/// A message as the run had it: of the mean size of those that were counted, and with the same properties.
fn outgoing(queue: &str, bytes: f64, message_id: String) -> Outgoing {
    Outgoing {
        target: Target::Queue(queue.to_owned()),
        body: vec![0; bytes.round() as usize],
        headers: headers(),
        message_id,
        persistent: true,
    }
}

/// A span's name where the coordinator and the workers, which are told the same as we are, have spans.
fn headers() -> BTreeMap<String, String> {
    const SPAN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let named = exports_traces().then(|| ("traceparent".to_owned(), SPAN.to_owned()));
    named.into_iter().collect()
}
