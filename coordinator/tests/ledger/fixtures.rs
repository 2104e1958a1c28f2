//! Runs and attempts to write.

use std::sync::Arc;

use backstitch_coordinator::ledger::{
    AttemptRecord, AttemptResult, Batch, Candidate, DispatchRecord, FinalCounts, Ledger,
    MaterializationQuery, PAGE_ROWS_MAX, PartitionState, PlannedAsset, RunChange, RunOrigin, RunRecord,
    RunStatus, Term,
};
use backstitch_proto::id::{DispatchId, Epoch, RunId, WorkerId};
use backstitch_proto::message::{Failure, FailureKind, Output};
use backstitch_proto::partition::PartitionSubset;
use uuid::{NoContext, Timestamp, Uuid};

pub(crate) const FINGERPRINT: &str = "f00d";

pub(crate) fn candidate(name: &str) -> Candidate {
    Candidate { name: name.to_owned(), api_address: format!("http://{name}:8470") }
}

pub(crate) async fn lead(ledger: &dyn Ledger) -> Term {
    ledger.lead(&candidate("coordinator-1")).await.expect("leading")
}

/// The id of a run that is submitted at this time.
pub(crate) fn run_id_at(unix_seconds: u64) -> RunId {
    RunId(Uuid::new_v7(Timestamp::from_unix(NoContext, unix_seconds, 0)))
}

pub(crate) fn new_run(partitions: u32) -> RunRecord {
    run_of(RunId(Uuid::now_v7()), &["daily_temp"], partitions)
}

pub(crate) fn run_of(id: RunId, assets: &[&str], partitions: u32) -> RunRecord {
    let planned = |asset: &&str| PlannedAsset {
        asset: Arc::from(*asset),
        targets: PartitionSubset::from_range(0..partitions),
    };
    RunRecord {
        id,
        origin: RunOrigin::Backfill,
        job: Some("weather".to_owned()),
        selection: "daily_temp+".to_owned(),
        partitions: Some("2024-01-01...".to_owned()),
        client_key: None,
        priority: -3,
        max_parallel: Some(u32::MAX),
        tags: vec![("team".to_owned(), "climate".to_owned()), ("b".to_owned(), "a".to_owned())],
        config_json: r#"{"b":1,"a":{"unit":"°F"}}"#.to_owned(),
        definitions: FINGERPRINT.to_owned(),
        evaluated_us: 1_700_000_000_000_001,
        created_us: 1_700_000_000_000_002,
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        assets: assets.iter().map(planned).collect(),
    }
}

/// A run as lists have it.
pub(crate) fn without_targets(mut run: RunRecord) -> RunRecord {
    run.assets.iter_mut().for_each(|planned| planned.targets = PartitionSubset::default());
    run
}

/// A batch that submits `run`.
pub(crate) fn submission(run: &RunRecord) -> Batch {
    Batch {
        definitions: vec![(FINGERPRINT.to_owned(), Arc::from(r#"{"assets":[]}"#))],
        runs: vec![run.clone()],
        ..Batch::default()
    }
}

pub(crate) fn batch_of(attempts: Vec<AttemptRecord>) -> Batch {
    Batch { attempts, ..Batch::default() }
}

pub(crate) fn key(ordinal: u32) -> String {
    format!("p{ordinal:07}")
}

pub(crate) fn attempt(
    run: &RunRecord,
    asset_index: u16,
    ordinal: u32,
    number: u16,
    result: AttemptResult,
) -> AttemptRecord {
    let succeeded = result == AttemptResult::Succeeded;
    AttemptRecord {
        run: run.id,
        asset_index,
        asset: run.assets[usize::from(asset_index)].asset.clone(),
        ordinal,
        partition_key: key(ordinal),
        attempt: number,
        // Later attempts go out under later dispatches.
        dispatch: DispatchId(
            DispatchId::before_first_of(Epoch(1)).0 + 1_000 * u64::from(number) + u64::from(ordinal),
        ),
        worker: Some(WorkerId(Uuid::from_u128(7))),
        started_us: 1_700_000_001_000_000 + i64::from(number),
        finished_us: 1_700_000_002_000_000 + i64::from(number),
        result,
        metadata_json: succeeded.then(|| format!(r#"{{"row_count":{ordinal},"a":null}}"#)),
        data_version: succeeded.then(|| format!("d{number}")),
        code_version: Some(Arc::from("v2")),
        checks_json: succeeded.then(|| r#"[{"name":"not_null","passed":true}]"#.to_owned()),
        trace_id: Some([7; 16]),
        output: Some(Output { text: format!("attempt {number} of {ordinal}\n"), omitted_bytes: 3 }),
    }
}

pub(crate) fn succeeded(run: &RunRecord, ordinal: u32, number: u16) -> AttemptRecord {
    attempt(run, 0, ordinal, number, AttemptResult::Succeeded)
}

pub(crate) fn failed(run: &RunRecord, ordinal: u32, number: u16, terminal: bool) -> AttemptRecord {
    let failure = Failure {
        kind: FailureKind::Exit(3),
        message: "exit status 3".to_owned(),
        detail: Some("line 1\nline 2".to_owned()),
        retryable: true,
    };
    attempt(run, 0, ordinal, number, AttemptResult::Failed { failure, terminal })
}

pub(crate) fn lost(run: &RunRecord, ordinal: u32, number: u16, terminal: bool) -> AttemptRecord {
    let mut lost = attempt(run, 0, ordinal, number, AttemptResult::Lost { terminal });
    (lost.worker, lost.output) = (None, None);
    lost
}

pub(crate) fn dispatch(
    run: &RunRecord,
    epoch: Epoch,
    sequence: u64,
    ordinals: PartitionSubset,
) -> DispatchRecord {
    DispatchRecord {
        id: DispatchId(DispatchId::before_first_of(epoch).0 + sequence),
        run: run.id,
        asset_index: 0,
        attempt: 1,
        announce_start: true,
        created_us: 1_700_000_000_500_000,
        ordinals,
    }
}

/// The states of an asset's partitions, in key order.
pub(crate) async fn states(ledger: &dyn Ledger, asset: &str) -> Vec<(String, PartitionState)> {
    let mut states = Vec::new();
    ledger
        .partition_states(asset, &mut |key, state| states.push((key.to_owned(), state)))
        .await
        .expect("states");
    states.sort_by(|one, other| one.0.cmp(&other.0));
    states
}

/// The first page of an asset's materializations.
pub(crate) fn all_of(asset: &str) -> MaterializationQuery {
    MaterializationQuery { asset: asset.to_owned(), limit: PAGE_ROWS_MAX, ..MaterializationQuery::default() }
}

/// The most assets that a project has.
pub(crate) const ASSETS_MAX: u16 = 10_000;

/// A run of two partitions of each of [`ASSETS_MAX`] assets.
pub(crate) fn wide_run() -> RunRecord {
    let names: Vec<String> = (0..ASSETS_MAX).map(|at| format!("asset_{at:05}")).collect();
    run_of(RunId(Uuid::now_v7()), &names.iter().map(String::as_str).collect::<Vec<_>>(), 2)
}

/// The first partition of every asset of a run succeeds.
pub(crate) fn first_of_each(run: &RunRecord) -> Batch {
    let indexes = 0..run.assets.len() as u16;
    batch_of(indexes.map(|index| attempt(run, index, 0, 1, AttemptResult::Succeeded)).collect())
}

/// The run ends with these counts.
pub(crate) fn end_of(run: &RunRecord, status: RunStatus, counts: Vec<FinalCounts>) -> Batch {
    let finished = RunChange::Finished { status, at_us: 99, counts };
    Batch { changes: vec![(run.id, finished)], ..Batch::default() }
}
