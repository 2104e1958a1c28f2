//! What the two servers allow without us: the yardsticks.

mod broker;
mod ledger;

use anyhow::Result;
use backstitch_proto::partition::Partitions;
use chrono::Utc;
use serde::Serialize;

use super::bed::Bed;
use super::project::asset;
use super::servers::Servers;

/// What went over the broker and into the ledger during a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Traffic {
    /// Tasks that ran.
    #[serde(skip)]
    pub(super) tasks: u64,
    /// Messages to workers, and the mean size of their bodies.
    pub(super) messages: u64,
    pub(super) message_bytes: f64,
    /// Messages from workers, the same.
    pub(super) reports: u64,
    pub(super) report_bytes: f64,
    /// Transactions.
    pub(super) commits: u64,
}

/// Tasks per second that the servers took by themselves.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Limits {
    /// As many messages of the same size, published with confirms, consumed, acknowledged, answered, in a bare loop.
    broker_limit_per_second: f64,
    /// The same rows in as many transactions, one after the other.
    ledger_limit_per_second: f64,
    /// Both after each other: they share the processors of this machine.
    limits_together_per_second: f64,
    share_of_ledger_limit: f64,
    share_of_limits_together: f64,
    /// Of the lower of the two, as if the servers did not share processors.
    share_of_lower_limit: f64,
}

/// Measures both, for the traffic of a run that went at `tasks_per_second`.
pub(super) async fn measure(
    bed: &Bed,
    servers: &Servers,
    traffic: Traffic,
    tasks_per_second: f64,
) -> Result<Limits> {
    let space = partitions(bed)?;
    let broker = broker::measure(bed, servers, traffic).await?;
    let ledger = ledger::measure(bed, servers, &space, traffic).await?;
    let together = 1.0 / (1.0 / broker + 1.0 / ledger);
    Ok(Limits {
        broker_limit_per_second: broker,
        ledger_limit_per_second: ledger,
        limits_together_per_second: together,
        share_of_ledger_limit: tasks_per_second / ledger,
        share_of_limits_together: tasks_per_second / together,
        share_of_lower_limit: tasks_per_second / broker.min(ledger),
    })
}

/// The partitions of the assets that were run.
fn partitions(bed: &Bed) -> Result<Partitions> {
    Ok(bed.project.definitions.resolve_partitions(&asset(0), Utc::now())?)
}
