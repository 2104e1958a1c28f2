//! Letting go of old history while leading.

use std::convert::Infallible;
use std::num::NonZeroU32;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use tracing::{info, warn};

use crate::ledger::Ledger;

/// How often the leader looks. History goes by whole months, so more often would find nothing.
const PURGE_INTERVAL: Duration = Duration::from_secs(3_600);

/// Days for which the attempts of a run are kept, counted from its submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepHistory {
    /// A month of history goes when all of it is older.
    pub days: NonZeroU32,
}

/// Removes what is too old, for as long as it is polled. A failure is tried again the next time: nobody waits for it.
pub(super) async fn keep(ledger: &dyn Ledger, keep: Option<KeepHistory>) -> Infallible {
    let Some(KeepHistory { days }) = keep else { return std::future::pending().await };
    let mut look = tokio::time::interval(PURGE_INTERVAL);
    loop {
        look.tick().await;
        let before = Utc::now() - TimeDelta::days(i64::from(days.get()));
        match ledger.purge_history(before.timestamp_micros()).await {
            Ok(0) => {}
            Ok(months) => info!(months, days, "removed old history"),
            Err(error) => warn!(error = &error as &dyn std::error::Error, "old history stays for now"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use backstitch_proto::id::{DispatchId, RunId};
    use backstitch_proto::partition::PartitionSubset;
    use uuid::{NoContext, Timestamp, Uuid};

    use super::*;
    use crate::ledger::{
        Address, AttemptQuery, AttemptRecord, Batch, Candidate, FinalCounts, PlannedAsset, RunChange,
        RunRecord, RunStatus, connect, migrate,
    };

    const DAY: Duration = Duration::from_secs(86_400);

    /// A run of one task that was submitted so many days ago, from submission to end.
    fn ended_run(days_ago: u32) -> Batch {
        let now = Duration::from_micros(Utc::now().timestamp_micros() as u64);
        let submitted = Timestamp::from_unix(NoContext, (now - DAY * days_ago).as_secs(), 0);
        let asset: Arc<str> = Arc::from("daily_temp");
        let targets = PartitionSubset::from_range(0..1);
        let assets = vec![PlannedAsset { asset: Arc::clone(&asset), targets }];
        let record = RunRecord::backfill(RunId(Uuid::new_v7(submitted)), "f00d".to_owned(), 0, assets);
        let key = format!("{days_ago} days ago");
        let attempt = AttemptRecord::succeeded(record.id, asset, 0, key, DispatchId(1), 1);
        let counts = vec![FinalCounts { succeeded: 1, ..FinalCounts::default() }];
        let finished = RunChange::Finished { status: RunStatus::Succeeded, at_us: 1, counts };
        Batch {
            changes: vec![(record.id, finished)],
            runs: vec![record],
            attempts: vec![attempt],
            ..Batch::default()
        }
    }

    #[tokio::test]
    async fn whole_months_older_than_the_setting_go_and_the_rest_stays() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let address = Address::sqlite(folder.path().join("ledger.db"));
        migrate(&address).await.expect("migrating");
        let ledger = connect(&address).await.expect("connecting");
        let candidate = Candidate { name: "test".to_owned(), api_address: String::new() };
        let term = ledger.lead(&candidate).await.expect("leading");
        let [old, recent] = [ended_run(200), ended_run(10)];
        for batch in [&old, &recent] {
            ledger.commit(term.epoch(), batch).await.expect("committing");
        }
        let left = async |batch: &Batch| {
            ledger.attempts(&AttemptQuery::of_run(batch.runs[0].id)).await.expect("reading").items.len()
        };
        let days = NonZeroU32::new(90).expect("not zero");
        let removed = async {
            while left(&old).await > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            never = keep(ledger.as_ref(), Some(KeepHistory { days })) => match never {},
            () = removed => {}
        }
        assert_eq!(left(&recent).await, 1);
    }
}
