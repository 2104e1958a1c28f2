//! What reads answer.

use std::sync::Arc;

use backstitch_coordinator::ledger::{
    AttemptQuery, AttemptResult, Batch, FinalCounts, Ledger, MaterializationQuery, MostSpent, RunChange,
    RunFilter, RunOrigin, RunStatus,
};
use backstitch_proto::id::{DispatchId, RunId};
use backstitch_proto::message::Output;
use backstitch_proto::partition::PartitionSubset;
use uuid::Uuid;

use crate::fixtures::*;

pub(crate) async fn pages_join_without_gaps_or_repeats(ledger: Arc<dyn Ledger>) {
    let term = lead(&*ledger).await;
    let runs: Vec<_> = (0..7).map(|_| new_run(9)).collect();
    let mut batch = Batch { runs: runs.clone(), ..Batch::default() };
    batch.attempts =
        (0..9).flat_map(|at| [failed(&runs[0], at, 1, false), succeeded(&runs[0], at, 2)]).collect();
    ledger.commit(term.epoch(), &batch).await.expect("committing");

    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let filter = RunFilter { limit: 3, cursor, ..RunFilter::default() };
        let page = ledger.runs(&filter).await.expect("reading runs");
        seen.extend(page.items.into_iter().map(|run| run.record));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    let newest_first = runs.iter().rev().cloned().map(without_targets);
    assert_eq!(seen, newest_first.collect::<Vec<_>>());

    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let query = MaterializationQuery { limit: 4, cursor, ..all_of("daily_temp") };
        let page = ledger.materializations(&query).await.expect("reading materializations");
        seen.extend(page.items.into_iter().map(|item| item.partition_key));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, (0..9).map(key).collect::<Vec<_>>());

    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let query = AttemptQuery { limit: 5, with_output: true, cursor, ..AttemptQuery::of_run(runs[0].id) };
        let page = ledger.attempts(&query).await.expect("reading attempts");
        seen.extend(page.items);
        // As it travels through an API.
        cursor = page.next.map(|next| next.to_string().parse().expect("a cursor"));
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, batch.attempts, "what was read is what was written");
    let exact = ledger.runs(&RunFilter { limit: 7, ..RunFilter::default() }).await.expect("reading runs");
    assert_eq!(exact.next, None, "a full last page is the last");
}

pub(crate) async fn filters_of_runs_and_attempts_leave_out_the_rest(ledger: Arc<dyn Ledger>) {
    let term = lead(&*ledger).await;
    let both = run_of(RunId(Uuid::now_v7()), &["daily_temp", "monthly_report"], 5);
    let mut scheduled = run_of(RunId(Uuid::now_v7()), &["monthly_report"], 5);
    scheduled.origin = RunOrigin::Schedule;
    let mut batch = Batch { runs: vec![both.clone(), scheduled.clone()], ..Batch::default() };
    batch.changes = vec![(scheduled.id, RunChange::Paused(true))];
    batch.attempts = vec![
        succeeded(&both, 0, 1),
        failed(&both, 1, 1, true),
        lost(&both, 2, 1, false),
        attempt(&both, 1, 0, 1, AttemptResult::Succeeded),
    ];
    ledger.commit(term.epoch(), &batch).await.expect("committing");

    let runs = async |filter: RunFilter| {
        let page = ledger.runs(&RunFilter { limit: 10, ..filter }).await.expect("reading runs");
        page.items.into_iter().map(|run| run.record.id).collect::<Vec<_>>()
    };
    let any = RunFilter::default;
    assert_eq!(runs(any()).await, [scheduled.id, both.id]);
    assert_eq!(runs(RunFilter { asset: Some("daily_temp".to_owned()), ..any() }).await, [both.id]);
    assert_eq!(runs(RunFilter { asset: Some("monthly_report".to_owned()), ..any() }).await.len(), 2);
    assert_eq!(runs(RunFilter { asset: Some("unheard_of".to_owned()), ..any() }).await, []);
    assert_eq!(runs(RunFilter { status: Some(RunStatus::Paused), ..any() }).await, [scheduled.id]);
    assert_eq!(runs(RunFilter { status: Some(RunStatus::Succeeded), ..any() }).await, []);
    assert_eq!(runs(RunFilter { origin: Some(RunOrigin::Backfill), ..any() }).await, [both.id]);

    let attempts = async |query: AttemptQuery| {
        let page = ledger.attempts(&query).await.expect("reading attempts");
        page.items.into_iter().map(|attempt| (attempt.asset_index, attempt.ordinal)).collect::<Vec<_>>()
    };
    let all = || AttemptQuery::of_run(both.id);
    assert_eq!(attempts(all()).await, [(0, 0), (0, 1), (0, 2), (1, 0)]);
    assert_eq!(attempts(AttemptQuery { asset_index: Some(1), ..all() }).await, [(1, 0)]);
    assert_eq!(attempts(AttemptQuery { only_unsuccessful: true, ..all() }).await, [(0, 1), (0, 2)]);
    assert_eq!(attempts(AttemptQuery { partition_key: Some(key(0)), ..all() }).await, [(0, 0), (1, 0)]);
    let tasks = |tasks: &[(u16, u32)]| AttemptQuery { tasks: Some(tasks.to_vec()), ..all() };
    assert_eq!(attempts(tasks(&[(0, 2), (1, 0), (1, 9)])).await, [(0, 2), (1, 0)]);
    assert_eq!(
        attempts(AttemptQuery { only_unsuccessful: true, ..tasks(&[(0, 0), (0, 1)]) }).await,
        [(0, 1)]
    );
    assert_eq!(attempts(AttemptQuery { partition_key: Some(key(9)), ..tasks(&[(0, 2)]) }).await, []);
    assert_eq!(attempts(tasks(&[])).await, []);
    let without = ledger.attempts(&all()).await.expect("reading attempts");
    assert!(without.items.iter().all(|attempt| attempt.output.is_none()));

    let keys = |keys: &[&str]| MaterializationQuery {
        partition_keys: Some(keys.iter().map(|key| (*key).to_owned()).collect()),
        ..all_of("daily_temp")
    };
    let found = ledger.materializations(&keys(&["p0000000", "p0000001", "nope"])).await.expect("reading");
    assert_eq!(found.items.len(), 1, "{found:?}");
    assert_eq!(found.items[0].metadata_json.as_deref(), Some(r#"{"row_count":0,"a":null}"#));
    assert_eq!(ledger.materializations(&keys(&[])).await.expect("reading").items, []);
}

pub(crate) async fn any_text_can_be_stored(ledger: Arc<dyn Ledger>) {
    let term = lead(&*ledger).await;
    let mut run = run_of(RunId(Uuid::now_v7()), &["wetter/münchen 🧵"], 9);
    run.config_json = r#"{"nul":"\u0000"}"#.to_owned();
    run.selection = "a\0b".to_owned();
    run.tags = vec![("k\0".to_owned(), "'; DROP TABLE runs; --".to_owned())];
    run.client_key = Some("schlüssel\0".to_owned());
    let mut strange = succeeded(&run, 0, 1);
    strange.partition_key = "2024-01-01|Zürich 🏔|'\"\\%_".to_owned();
    strange.metadata_json = Some(r#"{"a":"x\u0000y"}"#.to_owned());
    strange.output = Some(Output { text: "a\0b\u{fffd}".to_owned(), omitted_bytes: u64::MAX });
    (strange.started_us, strange.finished_us) = (i64::MIN, i64::MAX);
    let mut unreadable = succeeded(&run, 1, 1);
    unreadable.metadata_json = Some("no JSON at all {".repeat(1_000));
    let mut long = succeeded(&run, 2, 1);
    long.partition_key = (0..20_000).map(|at| char::from(b'!' + (at * at % 89) as u8)).collect();
    let mut nul = failed(&run, 3, 1, true);
    nul.partition_key = "nul\0".to_owned();
    let mut replaced = failed(&run, 4, 1, true);
    replaced.partition_key = "nul\u{fffd}".to_owned();
    let mut batch = submission(&run);
    batch.attempts = vec![strange.clone(), unreadable, long.clone(), nul, replaced];
    ledger.commit(term.epoch(), &batch).await.expect("committing");
    ledger.commit(term.epoch(), &batch).await.expect("committing again");

    let query = AttemptQuery { with_output: true, ..AttemptQuery::of_run(run.id) };
    let read = ledger.attempts(&query).await.expect("reading").items;
    assert_eq!(read.len(), 5);
    assert_eq!(read[0].partition_key, strange.partition_key);
    assert_eq!(read[0].metadata_json.as_deref(), Some(r#"{"a":"x\ufffdy"}"#));
    let unreadable: serde_json::Value =
        serde_json::from_str(read[1].metadata_json.as_deref().expect("metadata")).expect("JSON");
    assert!(unreadable["unreadable"].is_string());
    assert_eq!(read[0].output.as_ref().expect("output").text, "a\u{fffd}b\u{fffd}");
    assert_eq!((read[0].started_us, read[0].finished_us), (i64::MIN, i64::MAX));
    let by_key = |key: &str| MaterializationQuery {
        partition_keys: Some(vec![key.to_owned()]),
        ..all_of("wetter/münchen 🧵")
    };
    for key in [&strange.partition_key, &long.partition_key] {
        assert_eq!(ledger.materializations(&by_key(key)).await.expect("reading").items.len(), 1);
    }
    assert_eq!(ledger.run_by_client_key("schlüssel\0").await.expect("reading"), Some(run.id));
    let summary = ledger.run(run.id).await.expect("reading").expect("the run");
    assert_eq!(summary.record.config_json, run.config_json, "what nobody reads as JSON is kept as it is");
    assert_eq!(summary.record.tags[0].1, "'; DROP TABLE runs; --");
    assert_eq!(summary.record.selection, "a\u{fffd}b");
}

pub(crate) async fn definitions_are_kept_by_fingerprint(ledger: Arc<dyn Ledger>) {
    let term = lead(&*ledger).await;
    ledger.commit(term.epoch(), &submission(&new_run(1))).await.expect("committing");
    assert_eq!(ledger.definitions(FINGERPRINT).await.expect("reading").as_deref(), Some(r#"{"assets":[]}"#));
    assert_eq!(ledger.definitions("other").await.expect("reading"), None);
}

pub(crate) async fn readers_see_whole_batches_while_the_leader_commits(ledger: Arc<dyn Ledger>) {
    const BATCHES: u32 = 60;
    const TASKS: u32 = 50;
    let term = lead(&*ledger).await;
    let run = new_run(BATCHES * TASKS);
    ledger.commit(term.epoch(), &submission(&run)).await.expect("committing");
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let ledger = ledger.clone();
            tokio::spawn(async move {
                let mut last = 0;
                while last < u64::from(BATCHES * TASKS) {
                    let live = ledger.load_live().await.expect("loading");
                    let done = live.runs[0].assets[0].succeeded.len();
                    assert!(done >= last && done.is_multiple_of(u64::from(TASKS)), "{done} after {last}");
                    let partitions = states(&*ledger, "daily_temp").await.len() as u64;
                    assert!(
                        partitions >= done && partitions.is_multiple_of(u64::from(TASKS)),
                        "{partitions} of {done}"
                    );
                    last = done;
                }
            })
        })
        .collect();
    for batch in 0..BATCHES {
        let attempts =
            (batch * TASKS..(batch + 1) * TASKS).map(|ordinal| succeeded(&run, ordinal, 1)).collect();
        ledger.commit(term.epoch(), &batch_of(attempts)).await.expect("committing");
    }
    for reader in readers {
        reader.await.expect("a reader");
    }
}

pub(crate) async fn an_audit_of_a_sound_ledger_finds_nothing(ledger: Arc<dyn Ledger>) {
    let term = lead(&*ledger).await;
    let (done, live) = (new_run(4), new_run(4));
    let mut batch = submission(&done);
    batch.runs.push(live.clone());
    batch.attempts = vec![
        failed(&done, 0, 1, false),
        lost(&done, 0, 2, false),
        succeeded(&done, 0, 3),
        failed(&done, 1, 1, true),
        succeeded(&live, 0, 1),
    ];
    let counts = vec![FinalCounts { succeeded: 1, failed: 1, skipped: 1, cancelled: 1 }];
    batch.changes = vec![
        (done.id, RunChange::CancelRequested { at_us: 0 }),
        (done.id, RunChange::Finished { status: RunStatus::Failed, at_us: 1, counts }),
    ];
    batch.dispatches = vec![dispatch(&live, term.epoch(), 1, PartitionSubset::from_range(1..4))];
    ledger.commit(term.epoch(), &batch).await.expect("committing");
    let report = ledger.audit().await.expect("auditing");
    assert_eq!(report.findings, []);
    assert_eq!((report.attempts, report.materialized, report.live_runs), (5, 1, 1));
    let most = MostSpent { run: done.id, asset_index: 0, failures: 1, losses: 1 };
    assert_eq!(report.most_spent, [most]);

    // What a broken coordinator would write.
    let mut broken =
        batch_of(vec![succeeded(&done, 0, 4), lost(&live, 0, 2, false), succeeded(&live, 99, 1)]);
    broken.dispatches = vec![dispatch(&done, term.epoch(), 7, PartitionSubset::new())];
    broken.confirmed_through = DispatchId(1);
    ledger.commit(term.epoch(), &broken).await.expect("committing");
    let mut found: Vec<_> = ledger
        .audit()
        .await
        .expect("auditing")
        .findings
        .iter()
        .map(|finding| (finding.invariant, finding.rows))
        .collect();
    found.sort_unstable();
    assert_eq!(found, [("CONSERVE", 1), ("COUNT", 1), ("FENCE", 1), ("LIVE", 1), ("ONCE", 1)]);
}
