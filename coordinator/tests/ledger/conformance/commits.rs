//! What commits leave behind.

use std::sync::Arc;

use backstitch_coordinator::ledger::{
    AttemptQuery, AttemptRecord, AttemptResult, Batch, CommitError, FinalCounts, Ledger, LiveAsset,
    LiveState, PartitionState, PlannedAsset, RunChange, RunStatus, Spent,
};
use backstitch_proto::id::{DispatchId, Epoch, RunId};
use backstitch_proto::partition::PartitionSubset;

use crate::fixtures::*;

const MATERIALIZED: PartitionState = PartitionState { materialized: true, failed: false };
const FAILED: PartitionState = PartitionState { materialized: false, failed: true };
const FAILED_AGAIN: PartitionState = PartitionState { materialized: true, failed: true };

pub(crate) async fn a_batch_committed_twice_changes_nothing(ledger: Arc<dyn Ledger>) {
    let epoch = lead(&*ledger).await;
    let run = new_run(10);
    let mut batch = submission(&run);
    batch.dispatches = vec![
        dispatch(&run, epoch.epoch(), 1, PartitionSubset::from_range(0..5)),
        dispatch(&run, epoch.epoch(), 2, PartitionSubset::from_range(5..10)),
    ];
    batch.closed = vec![batch.dispatches[0].id];
    batch.attempts = vec![
        succeeded(&run, 0, 1),
        failed(&run, 1, 1, false),
        lost(&run, 1, 2, false),
        failed(&run, 2, 1, true),
        attempt(&run, 0, 3, 1, AttemptResult::Cancelled),
    ];
    batch.changes = vec![(run.id, RunChange::Paused(true)), (run.id, RunChange::Priority(9))];
    batch.confirmed_through = batch.dispatches[1].id;

    ledger.commit(epoch.epoch(), &batch).await.expect("committing");
    let once = everything(&*ledger, run.id).await;
    ledger.commit(epoch.epoch(), &batch).await.expect("committing again");
    assert_eq!(everything(&*ledger, run.id).await, once);
}

/// All that can be read, as text that can be compared.
async fn everything(ledger: &dyn Ledger, run: RunId) -> String {
    let live = ledger.load_live().await.expect("loading");
    let attempts = ledger.attempts(&AttemptQuery { with_output: true, ..AttemptQuery::of_run(run) }).await;
    let summary = ledger.run(run).await.expect("reading the run");
    let materializations =
        ledger.materializations(&all_of("daily_temp")).await.expect("reading materializations");
    let states = states(ledger, "daily_temp").await;
    format!("{live:#?}\n{attempts:#?}\n{summary:#?}\n{materializations:#?}\n{states:#?}")
}

pub(crate) async fn a_deposed_epoch_cannot_write(ledger: Arc<dyn Ledger>) {
    let first = lead(&*ledger).await;
    let old = first.epoch();
    first.resign().await;
    let term = lead(&*ledger).await;
    let run = new_run(1);
    let refused = ledger.commit(old, &submission(&run)).await.expect_err("a deposed leader");
    assert!(matches!(refused, CommitError::Deposed { epoch } if epoch == old), "{refused}");
    assert_eq!(ledger.run(run.id).await.expect("reading"), None);
    let never = Epoch(term.epoch().0 + 1);
    assert!(matches!(ledger.commit(never, &Batch::default()).await, Err(CommitError::Deposed { .. })));
    ledger.commit(term.epoch(), &submission(&run)).await.expect("the leader commits");
}

pub(crate) async fn a_new_leader_loads_what_was_committed(ledger: Arc<dyn Ledger>) {
    let first = lead(&*ledger).await;
    let mut run = new_run(100);
    run.assets.push(PlannedAsset { asset: "monthly_report".into(), targets: PartitionSubset::new() });
    let mut batch = submission(&run);
    let open = dispatch(&run, first.epoch(), 2, PartitionSubset::from_ordinals([4, 9, 70]));
    batch.dispatches =
        vec![dispatch(&run, first.epoch(), 1, PartitionSubset::from_range(0..4)), open.clone()];
    batch.confirmed_through = open.id;
    ledger.commit(first.epoch(), &batch).await.expect("committing");
    let mut second = batch_of(vec![
        succeeded(&run, 0, 1),
        failed(&run, 1, 1, true),
        failed(&run, 2, 1, false),
        lost(&run, 2, 2, false),
        failed(&run, 3, 1, false),
    ]);
    second.closed = vec![batch.dispatches[0].id];
    second.confirmed_through = open.id;
    second.changes = vec![
        (run.id, RunChange::MaxParallel(None)),
        (run.id, RunChange::Priority(5)),
        (run.id, RunChange::Paused(true)),
        (run.id, RunChange::CancelRequested { at_us: 77 }),
    ];
    ledger.commit(first.epoch(), &second).await.expect("committing");
    // The task that was tried again is done: what it spent no longer matters.
    let third = batch_of(vec![succeeded(&run, 3, 2), attempt(&run, 0, 4, 1, AttemptResult::Cancelled)]);
    ledger.commit(first.epoch(), &third).await.expect("committing");
    first.resign().await;

    let _term = lead(&*ledger).await;
    let LiveState { runs, dispatches, confirmed_through } = ledger.load_live().await.expect("loading");
    assert_eq!(dispatches, std::slice::from_ref(&open));
    assert_eq!(confirmed_through, open.id);
    let [live] = &runs[..] else { panic!("one live run, not {runs:?}") };
    (run.priority, run.max_parallel) = (5, None);
    assert_eq!(live.record, run);
    assert!(live.paused && live.cancel_requested);
    let [daily, monthly] = &live.assets[..] else { panic!("two assets, not {:?}", live.assets) };
    assert_eq!(daily.succeeded, PartitionSubset::from_ordinals([0, 3]));
    assert_eq!(daily.failed, PartitionSubset::from_ordinals([1]));
    assert_eq!(daily.cancelled, PartitionSubset::from_ordinals([4]));
    // As of the next full second.
    let last_finished_us = (lost(&run, 2, 2, false).finished_us as u64).next_multiple_of(1_000_000) as i64;
    let tasks = PartitionSubset::from_ordinals([2]);
    assert_eq!(daily.spent, [Spent { tasks, attempts: 2, losses: 1, last_was_lost: true, last_finished_us }]);
    assert_eq!(format!("{monthly:?}"), format!("{:?}", LiveAsset::default()));
}

pub(crate) async fn a_batch_that_the_next_term_commits_again_changes_nothing(ledger: Arc<dyn Ledger>) {
    let run = new_run(3);
    let batch = Batch { attempts: vec![succeeded(&run, 0, 1), lost(&run, 1, 1, false)], ..submission(&run) };
    let mut loaded = Vec::new();
    for _ in 0..2 {
        let term = lead(&*ledger).await;
        ledger.commit(term.epoch(), &batch).await.expect("committing");
        loaded.push(format!("{:?}", ledger.load_live().await.expect("loading")));
        term.resign().await;
    }
    assert_eq!(loaded[0], loaded[1]);
}

pub(crate) async fn many_small_commits_fold_into_the_same_progress(ledger: Arc<dyn Ledger>) {
    const COMMITS: u32 = 1_100;
    let term = lead(&*ledger).await;
    let run = new_run(2 * COMMITS);
    ledger.commit(term.epoch(), &submission(&run)).await.expect("committing");
    for ordinal in 0..COMMITS {
        let batch = batch_of(vec![succeeded(&run, 2 * ordinal, 1), lost(&run, 2 * ordinal + 1, 1, false)]);
        ledger.commit(term.epoch(), &batch).await.expect("committing");
        if ordinal % 100 == 0 {
            ledger.commit(term.epoch(), &batch).await.expect("committing again");
        }
    }
    let live = ledger.load_live().await.expect("loading");
    let progress = &live.runs[0].assets[0];
    assert_eq!(progress.succeeded, PartitionSubset::from_ordinals((0..COMMITS).map(|ordinal| 2 * ordinal)));
    let spent: u64 = progress.spent.iter().map(|spent| spent.tasks.len()).sum();
    assert_eq!(spent, u64::from(COMMITS));
    assert!(progress.spent.iter().all(|spent| spent.attempts == 1 && spent.losses == 1));
}

pub(crate) async fn a_finished_run_leaves_only_its_counts(ledger: Arc<dyn Ledger>) {
    let term = lead(&*ledger).await;
    let run = new_run(3);
    let mut batch = submission(&run);
    batch.attempts = vec![succeeded(&run, 0, 1), failed(&run, 1, 1, true)];
    let counts = vec![FinalCounts { succeeded: 1, failed: 1, skipped: 0, cancelled: 1 }];
    let finished = RunChange::Finished { status: RunStatus::Failed, at_us: 99, counts: counts.clone() };
    batch.changes = vec![(run.id, RunChange::CancelRequested { at_us: 88 }), (run.id, finished)];
    for _ in 0..2 {
        ledger.commit(term.epoch(), &batch).await.expect("committing");
        let summary = ledger.run(run.id).await.expect("reading").expect("the run");
        assert_eq!(summary.status, RunStatus::Failed);
        assert_eq!((summary.cancel_requested_us, summary.finished_us), (Some(88), Some(99)));
        assert_eq!(summary.counts, Some(counts.clone()));
        assert_eq!(summary.record, run);
        assert!(ledger.load_live().await.expect("loading").runs.is_empty());
    }
}

pub(crate) async fn what_a_run_materialized_is_known_while_it_lives_and_after_its_end(
    ledger: Arc<dyn Ledger>,
) {
    let term = lead(&*ledger).await;
    let run = run_of(new_run(4).id, &["daily_temp", "monthly_avg", "yearly_avg"], 4);
    let mut of_second = succeeded(&run, 2, 1);
    of_second.asset_index = 1;
    let mut first = submission(&run);
    first.attempts = vec![succeeded(&run, 0, 1), failed(&run, 1, 1, true)];
    ledger.commit(term.epoch(), &first).await.expect("committing");
    let sets = |of_first: &[u32], of_second: &[u32]| {
        [of_first, of_second, &[]].map(|ordinals| PartitionSubset::from_ordinals(ordinals.iter().copied()))
    };
    assert_eq!(ledger.succeeded(run.id).await.expect("reading"), sets(&[0], &[]));
    let counts = vec![FinalCounts::default(); 3];
    let finished = RunChange::Finished { status: RunStatus::Failed, at_us: 99, counts };
    let mut last = batch_of(vec![succeeded(&run, 3, 1), of_second]);
    last.changes = vec![(run.id, finished)];
    for _ in 0..2 {
        ledger.commit(term.epoch(), &last).await.expect("committing");
        assert_eq!(ledger.succeeded(run.id).await.expect("reading"), sets(&[0, 3], &[2]));
    }
}

pub(crate) async fn successes_of_a_run_come_in_the_order_of_their_dispatches(ledger: Arc<dyn Ledger>) {
    let term = lead(&*ledger).await;
    let run = run_of(new_run(4).id, &["daily_temp", "monthly_avg"], 4);
    let other = new_run(4);
    let mut batch = submission(&run);
    batch.runs.push(other.clone());
    let of_second = attempt(&run, 1, 3, 1, AttemptResult::Succeeded);
    let again = [failed(&run, 1, 1, false), succeeded(&run, 1, 2)];
    batch.attempts =
        vec![of_second, succeeded(&run, 2, 1), succeeded(&other, 0, 1), failed(&run, 3, 1, true)];
    batch.attempts.extend(again);
    ledger.commit(term.epoch(), &batch).await.expect("committing");
    let mut seen = Vec::new();
    let mut note = |dispatch: DispatchId, asset: u16, task: u32| seen.push((dispatch, asset, task));
    ledger.successes(run.id, &mut note).await.expect("reading");
    let [of_second, first, .., last] = &*batch.attempts else { panic!("they are above") };
    assert_eq!(seen, [(first.dispatch, 0, 2), (of_second.dispatch, 1, 3), (last.dispatch, 0, 1)]);
}

pub(crate) async fn changes_of_a_run_show_in_order(ledger: Arc<dyn Ledger>) {
    let term = lead(&*ledger).await;
    let run = new_run(3);
    ledger.commit(term.epoch(), &submission(&run)).await.expect("committing");
    let steps = [
        (vec![RunChange::Paused(true)], RunStatus::Paused),
        (
            vec![RunChange::Paused(false), RunChange::Paused(true), RunChange::Paused(false)],
            RunStatus::Running,
        ),
        (vec![RunChange::CancelRequested { at_us: 5 }], RunStatus::Cancelling),
        (vec![RunChange::Paused(true), RunChange::CancelRequested { at_us: 6 }], RunStatus::Cancelling),
    ];
    for (changes, status) in steps {
        let changes = changes.into_iter().map(|change| (run.id, change)).collect();
        ledger.commit(term.epoch(), &Batch { changes, ..Batch::default() }).await.expect("committing");
        let summary = ledger.run(run.id).await.expect("reading").expect("the run");
        assert_eq!(summary.status, status);
        assert_eq!(summary.counts, None);
    }
    let summary = ledger.run(run.id).await.expect("reading").expect("the run");
    assert_eq!(summary.cancel_requested_us, Some(5), "the first request counts");
}

pub(crate) async fn the_last_success_and_the_last_failure_decide_where_a_partition_stands(
    ledger: Arc<dyn Ledger>,
) {
    let term = lead(&*ledger).await;
    let (first, second) = (new_run(9), new_run(9));
    let mut submit = submission(&first);
    submit.runs.push(second.clone());
    ledger.commit(term.epoch(), &submit).await.expect("committing");
    let stands = async |attempt: AttemptRecord| {
        ledger.commit(term.epoch(), &batch_of(vec![attempt])).await.expect("committing");
        states(&*ledger, "daily_temp").await
    };
    let at = |state| vec![(key(4), state)];
    assert_eq!(stands(failed(&first, 4, 1, false)).await, vec![], "another attempt follows");
    assert_eq!(stands(attempt(&first, 0, 4, 2, AttemptResult::Cancelled)).await, vec![]);
    assert_eq!(stands(lost(&first, 4, 3, true)).await, at(FAILED));
    assert_eq!(stands(succeeded(&second, 4, 1)).await, at(MATERIALIZED));
    assert_eq!(stands(failed(&first, 4, 4, true)).await, at(FAILED_AGAIN));
    assert_eq!(stands(attempt(&second, 0, 4, 2, AttemptResult::Cancelled)).await, at(FAILED_AGAIN));
    let page = ledger.materializations(&all_of("daily_temp")).await.expect("reading");
    assert!(page.items[0].failed_since);
    assert_eq!((page.items[0].run, page.items[0].attempt), (second.id, 1));
    assert_eq!(stands(succeeded(&first, 4, 5)).await, at(MATERIALIZED));
    assert_eq!(states(&*ledger, "unheard_of").await, vec![]);
}

pub(crate) async fn several_attempts_of_one_partition_fit_into_one_batch(ledger: Arc<dyn Ledger>) {
    let term = lead(&*ledger).await;
    let run = new_run(9);
    ledger.commit(term.epoch(), &submission(&run)).await.expect("committing");
    let batch = batch_of(vec![
        failed(&run, 0, 1, false),
        succeeded(&run, 0, 2),
        failed(&run, 1, 1, true),
        succeeded(&run, 1, 2),
        succeeded(&run, 2, 1),
        failed(&run, 2, 2, true),
    ]);
    ledger.commit(term.epoch(), &batch).await.expect("committing");
    let expected = vec![(key(0), MATERIALIZED), (key(1), MATERIALIZED), (key(2), FAILED_AGAIN)];
    assert_eq!(states(&*ledger, "daily_temp").await, expected);
}

pub(crate) async fn purging_history_changes_no_partition_and_spares_months_with_live_runs(
    ledger: Arc<dyn Ledger>,
) {
    const DAY: u64 = 86_400;
    const JANUARY: u64 = 1_704_067_200;
    let term = lead(&*ledger).await;
    let (january, february, march) = (JANUARY, JANUARY + 31 * DAY, JANUARY + 60 * DAY);
    let runs = [january, february, march].map(|time| run_of(run_id_at(time + DAY), &["daily_temp"], 4));
    for (ordinal, run) in (0..).zip(&runs) {
        let mut batch = submission(run);
        batch.attempts = vec![succeeded(run, ordinal, 1), failed(run, 3, 1, true)];
        ledger.commit(term.epoch(), &batch).await.expect("committing");
    }
    let finish = async |run: RunId| {
        let counts = vec![FinalCounts { succeeded: 1, failed: 1, skipped: 2, cancelled: 0 }];
        let finished = RunChange::Finished { status: RunStatus::Failed, at_us: 1, counts };
        let batch = Batch { changes: vec![(run, finished)], ..Batch::default() };
        ledger.commit(term.epoch(), &batch).await.expect("committing");
    };
    let left = async || {
        let mut left = Vec::new();
        for run in &runs {
            left.push(ledger.attempts(&AttemptQuery::of_run(run.id)).await.expect("reading").items.len());
        }
        left
    };
    let before = states(&*ledger, "daily_temp").await;
    let first_of_march = march as i64 * 1_000_000;
    let live = format!("{:?}", ledger.load_live().await.expect("loading"));
    assert_eq!(ledger.purge_history(first_of_march).await.expect("purging"), 0, "the run of January is live");
    finish(runs[0].id).await;
    assert_eq!(ledger.purge_history(first_of_march).await.expect("purging"), 1);
    assert_eq!(left().await, [0, 2, 2]);
    finish(runs[1].id).await;
    assert_eq!(ledger.purge_history(first_of_march - 1).await.expect("purging"), 0, "February is not over");
    assert_eq!(ledger.purge_history(first_of_march).await.expect("purging"), 1);
    assert_eq!(left().await, [0, 0, 2]);
    assert_eq!(ledger.purge_history(first_of_march).await.expect("purging"), 0);
    assert_eq!(states(&*ledger, "daily_temp").await, before);
    for (ordinal, run) in (0..).zip(&runs) {
        let materialized = ledger.succeeded(run.id).await.expect("reading");
        assert_eq!(materialized, [PartitionSubset::from_ordinals([ordinal])], "with and without history");
    }
    assert!(live.contains(&runs[2].id.to_string()));
    assert_eq!(ledger.audit().await.expect("auditing").findings, []);
    // A month that was removed comes back when it is needed.
    let again = run_of(run_id_at(january + 2 * DAY), &["daily_temp"], 4);
    let mut batch = submission(&again);
    batch.attempts = vec![succeeded(&again, 0, 1)];
    ledger.commit(term.epoch(), &batch).await.expect("committing");
    assert_eq!(ledger.attempts(&AttemptQuery::of_run(again.id)).await.expect("reading").items.len(), 1);
}

pub(crate) async fn a_client_key_belongs_to_one_run(ledger: Arc<dyn Ledger>) {
    let term = lead(&*ledger).await;
    let (mut first, mut second) = (new_run(1), new_run(1));
    first.client_key = Some("nightly-2024-01-01".to_owned());
    second.client_key = first.client_key.clone();
    ledger.commit(term.epoch(), &submission(&first)).await.expect("committing");
    ledger.commit(term.epoch(), &submission(&first)).await.expect("the same run again is no other run");
    let refused = ledger.commit(term.epoch(), &submission(&second)).await.expect_err("the key is taken");
    let expected = (second.id, first.id);
    assert!(
        matches!(refused, CommitError::ClientKeyTaken { run, owner } if (run, owner) == expected),
        "{refused}"
    );
    assert_eq!(ledger.run(second.id).await.expect("reading"), None);
    assert_eq!(ledger.run_by_client_key("nightly-2024-01-01").await.expect("reading"), Some(first.id));
    assert_eq!(ledger.run_by_client_key("nightly-2024-01-02").await.expect("reading"), None);
    // Runs without a key are not in each other's way.
    let mut batch = submission(&new_run(1));
    batch.runs.push(new_run(1));
    ledger.commit(term.epoch(), &batch).await.expect("committing");
}

pub(crate) async fn twenty_thousand_attempts_fit_into_one_batch(ledger: Arc<dyn Ledger>) {
    const TASKS: u32 = 20_000;
    let term = lead(&*ledger).await;
    let run = new_run(TASKS);
    let mut batch = submission(&run);
    batch.dispatches = (0..TASKS)
        .map(|at| dispatch(&run, term.epoch(), 1 + u64::from(at), PartitionSubset::from_ordinals([at])))
        .collect();
    ledger.commit(term.epoch(), &batch).await.expect("committing");
    let mut results = batch_of((0..TASKS).map(|at| succeeded(&run, at, 1)).collect());
    results.attempts.extend((0..TASKS / 2).map(|at| failed(&run, at, 2, true)));
    results.closed = batch.dispatches.iter().map(|dispatch| dispatch.id).collect();
    ledger.commit(term.epoch(), &results).await.expect("committing");
    let states = states(&*ledger, "daily_temp").await;
    assert_eq!(states.len(), TASKS as usize);
    assert_eq!(states.iter().filter(|(_, state)| state.failed).count(), TASKS as usize / 2);
    let live = ledger.load_live().await.expect("loading");
    assert_eq!(live.runs[0].assets[0].succeeded.len(), u64::from(TASKS));
    assert_eq!(live.dispatches, []);
}

pub(crate) async fn a_term_ends_when_it_is_dropped_and_the_next_has_a_higher_epoch(ledger: Arc<dyn Ledger>) {
    assert_eq!(ledger.leader().await.expect("reading"), None);
    let first = ledger.lead(&candidate("one")).await.expect("leading");
    let leader = ledger.leader().await.expect("reading").expect("a leader");
    assert_eq!((leader.epoch, leader.name.as_str()), (first.epoch(), "one"));
    assert_eq!(leader.api_address, "http://one:8470");
    let (epoch, lost) = (first.epoch(), first.lost());
    assert!(
        epoch.0 > 466_000,
        "minutes since 2026, so that a ledger that was set back repeats none: {epoch}"
    );
    assert!(!lost.is_cancelled());
    first.resign().await;
    assert!(lost.is_cancelled());
    assert_eq!(ledger.leader().await.expect("reading"), None);
    let second = ledger.lead(&candidate("two")).await.expect("leading");
    assert!(second.epoch() > epoch);
    assert_eq!(ledger.leader().await.expect("reading").expect("a leader").name, "two");
}
