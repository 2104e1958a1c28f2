//! Runs of many assets, and lists of large runs.

use std::sync::Arc;

use backstitch_coordinator::ledger::{FinalCounts, Ledger, RunFilter, RunStatus};
use backstitch_proto::partition::PartitionSubset;

use crate::fixtures::*;

pub(crate) async fn a_run_of_ten_thousand_assets_is_kept_whole_from_submission_to_end(
    ledger: Arc<dyn Ledger>,
) {
    let term = lead(&*ledger).await;
    // Some are known before; names that are stored alike are one asset.
    let names = ["asset_00007", "nul\0", "nul\u{fffd}"];
    ledger.commit(term.epoch(), &submission(&run_of(new_run(1).id, &names, 1))).await.expect("committing");
    let run = wide_run();
    let first = PartitionSubset::from_range(0..1);
    let commit_twice = async |batch| {
        for _ in 0..2 {
            ledger.commit(term.epoch(), &batch).await.expect("committing");
        }
    };
    commit_twice(submission(&run)).await;
    commit_twice(first_of_each(&run)).await;
    let live = ledger.load_live().await.expect("loading").runs.pop().expect("the run");
    assert_eq!(live.record, run);
    assert!(live.assets.iter().all(|asset| asset.succeeded == first && asset.failed.is_empty()));

    let counts =
        |index: u32| FinalCounts { succeeded: 1, failed: index % 7, skipped: index % 5, cancelled: index };
    let counts: Vec<_> = (0..u32::from(ASSETS_MAX)).map(counts).collect();
    commit_twice(end_of(&run, RunStatus::Failed, counts.clone())).await;
    let ended = ledger.run(run.id).await.expect("reading").expect("the run");
    assert_eq!((ended.record, ended.counts), (run.clone(), Some(counts)));
    assert_eq!(ledger.succeeded(run.id).await.expect("reading"), vec![first; usize::from(ASSETS_MAX)]);
}

pub(crate) async fn a_list_of_runs_leaves_their_targets_out(ledger: Arc<dyn Ledger>) {
    let term = lead(&*ledger).await;
    let run = new_run(3);
    ledger.commit(term.epoch(), &submission(&run)).await.expect("committing");
    let page = ledger.runs(&RunFilter { limit: 9, ..RunFilter::default() }).await.expect("reading runs");
    assert_eq!(
        page.items[0].record,
        without_targets(run.clone()),
        "a page of large runs would be gigabytes of bitmaps"
    );
    assert_eq!(ledger.run(run.id).await.expect("reading").expect("the run").record, run);
}
