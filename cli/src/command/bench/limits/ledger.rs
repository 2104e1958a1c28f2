//! The same rows, written in as many transactions by themselves: the outbox row of each message, its end, and for each
//! task the attempt, the state of its partition and the progress of the run.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use backstitch_coordinator::ledger::{
    AttemptRecord, Batch, Candidate, DispatchRecord, PlannedAsset, RunRecord, connect,
};
use backstitch_proto::id::{DispatchId, Epoch, RunId, WorkerId};
use backstitch_proto::partition::{PartitionSubset, Partitions};
use chrono::Utc;
use uuid::Uuid;

use super::Traffic;
use crate::command::bench::bed::Bed;
use crate::command::bench::project::asset;
use crate::command::bench::servers::Servers;

/// A leader marks how far the broker has confirmed so often at most.
const MARK_EVERY: Duration = Duration::from_secs(1);

/// Tasks per second, on a ledger that is as empty as that of the run was.
pub(super) async fn measure(
    bed: &Bed,
    servers: &Servers,
    space: &Partitions,
    traffic: Traffic,
) -> Result<f64> {
    let ledger = connect(&servers.ledger().await?.parse()?).await?;
    let candidate = Candidate { name: "bench".to_owned(), api_address: String::new() };
    let term = ledger.lead(&candidate).await?;
    let mut rows = Rows::new(bed, space, traffic, term.epoch());
    let submission = Batch { runs: vec![rows.run()], ..Batch::default() };
    ledger.commit(term.epoch(), &submission).await?;
    let mut seconds = 0.0;
    while let Some(batch) = rows.next_batch() {
        // Making the rows is the engine's work, not the ledger's.
        let begin = Instant::now();
        ledger.commit(term.epoch(), &batch).await?;
        seconds += begin.elapsed().as_secs_f64();
    }
    term.resign().await;
    Ok(traffic.tasks as f64 / seconds)
}

/// The rows of the run, batch by batch.
struct Rows<'a> {
    space: &'a Partitions,
    traffic: Traffic,
    id: RunId,
    worker: WorkerId,
    assets: Vec<Arc<str>>,
    /// Batches made so far.
    made: u64,
    /// Tasks in them.
    tasks: u64,
    /// The last dispatch that was made.
    dispatch: DispatchId,
    /// When the confirmed ones were marked last.
    marked: Instant,
}

impl<'a> Rows<'a> {
    fn new(bed: &Bed, space: &'a Partitions, traffic: Traffic, epoch: Epoch) -> Self {
        Self {
            space,
            traffic,
            id: RunId(Uuid::now_v7()),
            worker: WorkerId(Uuid::new_v4()),
            assets: (0..bed.plan.assets).map(|number| asset(number).into()).collect(),
            made: 0,
            tasks: 0,
            dispatch: DispatchId::before_first_of(epoch),
            marked: Instant::now(),
        }
    }

    fn run(&self) -> RunRecord {
        let planned = |asset: &Arc<str>| PlannedAsset { asset: Arc::clone(asset), targets: self.space.all() };
        let now_us = Utc::now().timestamp_micros();
        let assets = self.assets.iter().map(planned).collect();
        RunRecord::backfill(self.id, "bench".to_owned(), now_us, assets)
    }

    /// A share of everything that is left.
    fn next_batch(&mut self) -> Option<Batch> {
        let Traffic { tasks, messages, commits, .. } = self.traffic;
        if self.tasks == tasks {
            return None;
        }
        self.made += 1;
        let share = |all: u64| (u128::from(all) * u128::from(self.made) / u128::from(commits.max(1))) as u64;
        let until = share(tasks).min(tasks);
        let first = self.dispatch;
        let mut batch = Batch::default();
        for task in self.tasks..until {
            let ordinal = (task % u64::from(self.space.len())) as u32;
            let index = (task / u64::from(self.space.len())) as usize;
            batch.attempts.push(self.attempt(index, ordinal));
        }
        let dispatches = share(messages)
            - messages
                .min((u128::from(messages) * u128::from(self.made - 1) / u128::from(commits.max(1))) as u64);
        let ordinals: Vec<u32> = batch.attempts.iter().map(|attempt| attempt.ordinal).collect();
        let each = ordinals.len().div_ceil(dispatches.max(1) as usize).max(1);
        for ordinals in ordinals.chunks(each) {
            batch.closed.push(self.dispatch);
            self.dispatch = self.dispatch.next();
            batch.dispatches.push(DispatchRecord {
                id: self.dispatch,
                run: self.id,
                asset_index: 0,
                attempt: 1,
                announce_start: false,
                created_us: Utc::now().timestamp_micros(),
                ordinals: PartitionSubset::from_ordinals(ordinals.iter().copied()),
            });
        }
        if self.marked.elapsed() >= MARK_EVERY {
            batch.confirmed_through = first;
            self.marked = Instant::now();
        }
        self.tasks = until;
        Some(batch)
    }

    fn attempt(&self, index: usize, ordinal: u32) -> AttemptRecord {
        let now_us = Utc::now().timestamp_micros();
        let asset = Arc::clone(&self.assets[index]);
        let key = self.space.key(ordinal).unwrap_or_default();
        AttemptRecord {
            // No more assets than the options allow.
            asset_index: index as u16,
            worker: Some(self.worker),
            ..AttemptRecord::succeeded(self.id, asset, ordinal, key, self.dispatch, now_us)
        }
    }
}
