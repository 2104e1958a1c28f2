//! What waits at the broker, held against the outbox.
//!
//! BOUND: dispatch is windowed, so a task queue holds copies of open dispatches and little else; the leader itself
//! says whether more are open than its windows allow. What may be there besides are copies that were published twice when
//! confirms were lost, at most the window of unconfirmed messages, and dispatches that close while we look. More than
//! that grows for some reason that is not ours.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use backstitch_broker::{Broker, BrokerError, QueueDepth, RabbitMq, dead_letter_queue};
use backstitch_coordinator::ledger::Ledger;
use backstitch_coordinator::service::UNCONFIRMED_MAX;
use backstitch_proto::message::{FORMER_HEARTBEAT_QUEUE, HEARTBEAT_QUEUE, REPORT_QUEUE, task_queue};
use serde::Serialize;

/// Messages that a task queue may hold besides one per open dispatch: copies of what the coordinator published again
/// because confirms were lost.
const COPIES_MAX: u64 = UNCONFIRMED_MAX as u64;

/// What was found at the broker.
#[derive(Serialize)]
pub(super) struct BrokerReport {
    /// Messages that wait in task queues.
    pub(super) waiting: u64,
    /// Messages that could not be read by whom they were for. A fault of a stranger or of a version, not of the run:
    /// the coordinator sends a dispatch again that nobody claims.
    pub(super) dead_letters: u64,
    /// What contradicts an invariant.
    pub(super) findings: Vec<String>,
}

/// Looks at the task queues `names`.
pub(super) async fn audit(url: &str, names: &BTreeSet<String>, ledger: &dyn Ledger) -> Result<BrokerReport> {
    let broker = RabbitMq::connect(url, "verify").await.context("connecting to the broker")?;
    let mut report = BrokerReport { waiting: 0, dead_letters: 0, findings: Vec::new() };
    let mut depths = Vec::new();
    for name in names {
        let queue = task_queue(name);
        let ready = ready(&broker, &queue).await?;
        report.waiting += ready;
        report.dead_letters += self::ready(&broker, &dead_letter_queue(&queue)).await?;
        depths.push((queue, ready));
    }
    for queue in [REPORT_QUEUE, HEARTBEAT_QUEUE, FORMER_HEARTBEAT_QUEUE] {
        report.dead_letters += ready(&broker, &dead_letter_queue(queue)).await?;
    }
    broker.close().await;
    // After the depths: what was dispatched in between only makes the bound larger.
    let open = ledger.load_live().await?.dispatches.len() as u64;
    for (queue, ready) in depths {
        if ready > open + COPIES_MAX {
            report.findings.push(format!(
                "BOUND: {ready} messages wait in {queue}, while the ledger has {open} open dispatches"
            ));
        }
    }
    Ok(report)
}

/// A queue that nobody has declared yet holds nothing.
async fn ready(broker: &RabbitMq, queue: &str) -> Result<u64> {
    match broker.depth(queue).await {
        Ok(QueueDepth { ready, .. }) => Ok(ready),
        Err(BrokerError::NotDeclared { .. }) => Ok(0),
        Err(error) => Err(error).with_context(|| format!("looking at {queue}")),
    }
}
