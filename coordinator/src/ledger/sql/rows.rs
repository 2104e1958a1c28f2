//! From rows to records.

use std::collections::HashMap;
use std::sync::Arc;

use backstitch_proto::id::{DispatchId, RunId, WorkerId};
use backstitch_proto::message::{Failure, Output};
use backstitch_proto::partition::PartitionSubset;
use serde::de::DeserializeOwned;
use sqlx::FromRow;
use uuid::Uuid;

use super::columns::parse_failure_kind;
use crate::ledger::error::{Cause, unreadable};
use crate::ledger::{
    AttemptOutcome, AttemptRecord, AttemptResult, DispatchRecord, FinalCounts, LedgerError, Materialization,
    PlannedAsset, RunRecord, RunStatus, RunSummary,
};

fn parse<T: DeserializeOwned>(word: &str) -> Result<T, Cause> {
    Ok(T::deserialize(serde::de::value::StrDeserializer::<serde::de::value::Error>::new(word))?)
}

/// A number that the column cannot hold was never written by this program.
fn narrow<T: TryFrom<i64>>(number: impl Into<i64>) -> Result<T, Cause>
where
    T::Error: std::error::Error + Send + Sync + 'static,
{
    Ok(T::try_from(number.into())?)
}

/// A row of `runs`.
#[derive(FromRow)]
pub(super) struct RunRow {
    pub(super) id: Uuid,
    origin: String,
    status: String,
    pub(super) paused: bool,
    priority: i32,
    max_parallel: Option<i64>,
    created_us: i64,
    evaluated_us: i64,
    pub(super) cancel_requested_us: Option<i64>,
    finished_us: Option<i64>,
    job: Option<String>,
    selection: String,
    partitions: Option<String>,
    client_key: Option<String>,
    tags: String,
    config: String,
    definitions: String,
    traceparent: Option<String>,
}

/// A row of `run_assets`, with the asset's name: without one if the number of the asset is nobody's.
#[derive(FromRow)]
pub(super) struct RunAssetRow {
    pub(super) run_id: Uuid,
    position: i32,
    name: Option<String>,
    /// Absent where nobody needs them.
    #[sqlx(default)]
    targets: Option<Vec<u8>>,
    succeeded: Option<i64>,
    failed: Option<i64>,
    skipped: Option<i64>,
    cancelled: Option<i64>,
}

/// Attempts and dispatches name an asset of a run by its position: where one is missing, all after it would be taken for
/// others.
pub(super) fn check_positions(positions: impl IntoIterator<Item = i32>) -> Result<(), LedgerError> {
    match (0..).zip(positions).find(|(expected, found)| expected != found) {
        None => Ok(()),
        Some((missing, _)) => {
            Err(unreadable("the assets of a run")(format!("there is none at position {missing}")))
        }
    }
}

impl RunRow {
    /// Takes the assets of this run, which are in the order of its plan.
    pub(super) fn summary_of(
        self,
        assets: &mut HashMap<Uuid, Vec<RunAssetRow>>,
    ) -> Result<RunSummary, LedgerError> {
        let assets = assets.remove(&self.id).unwrap_or_default();
        check_positions(assets.iter().map(|row| row.position))?;
        self.read(&assets).map_err(unreadable("a run"))
    }

    fn read(self, assets: &[RunAssetRow]) -> Result<RunSummary, Cause> {
        if assets.is_empty() {
            // It would be taken for one that has nothing left to do.
            return Err("it has lost all of its assets".into());
        }
        let record = RunRecord {
            id: RunId(self.id),
            origin: parse(&self.origin)?,
            job: self.job,
            selection: self.selection,
            partitions: self.partitions,
            client_key: self.client_key,
            priority: self.priority,
            max_parallel: self.max_parallel.map(narrow).transpose()?,
            tags: serde_json::from_str(&self.tags)?,
            config_json: self.config,
            definitions: self.definitions,
            evaluated_us: self.evaluated_us,
            created_us: self.created_us,
            traceparent: self.traceparent,
            assets: assets.iter().map(RunAssetRow::planned).collect::<Result<_, _>>()?,
        };
        let status: RunStatus = parse(&self.status)?;
        let counts =
            self.finished_us.map(|_| assets.iter().map(RunAssetRow::counts).collect()).transpose()?;
        let (cancel_requested_us, finished_us) = (self.cancel_requested_us, self.finished_us);
        Ok(RunSummary { record, status, cancel_requested_us, finished_us, counts })
    }
}

impl RunAssetRow {
    fn planned(&self) -> Result<PlannedAsset, Cause> {
        let name = self.name.as_deref();
        let targets = self.targets.as_deref().map(PartitionSubset::from_bytes).transpose()?;
        Ok(PlannedAsset {
            asset: name.ok_or_else(|| format!("asset {} of the run has no name", self.position))?.into(),
            targets: targets.unwrap_or_default(),
        })
    }

    fn counts(&self) -> Result<FinalCounts, Cause> {
        let count = |column: Option<i64>| narrow(column.unwrap_or(0));
        Ok(FinalCounts {
            succeeded: count(self.succeeded)?,
            failed: count(self.failed)?,
            skipped: count(self.skipped)?,
            cancelled: count(self.cancelled)?,
        })
    }
}

/// A row of `dispatches`.
#[derive(FromRow)]
pub(super) struct DispatchRow {
    id: i64,
    run_id: Uuid,
    asset_index: i32,
    attempt: i32,
    announce_start: bool,
    created_us: i64,
    ordinals: Vec<u8>,
}

impl DispatchRow {
    pub(super) fn record(self) -> Result<DispatchRecord, LedgerError> {
        self.read().map_err(unreadable("a dispatch"))
    }

    fn read(self) -> Result<DispatchRecord, Cause> {
        Ok(DispatchRecord {
            id: DispatchId(self.id as u64),
            run: RunId(self.run_id),
            asset_index: narrow(self.asset_index)?,
            attempt: narrow(self.attempt)?,
            announce_start: self.announce_start,
            created_us: self.created_us,
            ordinals: PartitionSubset::from_bytes(&self.ordinals)?,
        })
    }
}

/// A row of `asset_partitions` with a materialization, with the asset's name.
#[derive(FromRow)]
pub(super) struct MaterializationRow {
    asset: String,
    partition_key: String,
    run_id: Uuid,
    attempt: i32,
    started_us: i64,
    materialized_us: i64,
    trace_id: Option<Vec<u8>>,
    code_version: Option<String>,
    data_version: Option<String>,
    metadata: Option<String>,
    checks: Option<String>,
    failed: bool,
}

impl MaterializationRow {
    pub(super) fn materialization(self) -> Result<Materialization, LedgerError> {
        self.read().map_err(unreadable("a materialization"))
    }

    fn read(self) -> Result<Materialization, Cause> {
        Ok(Materialization {
            asset: self.asset.into(),
            partition_key: self.partition_key,
            run: RunId(self.run_id),
            attempt: narrow(self.attempt)?,
            started_us: self.started_us,
            finished_us: self.materialized_us,
            metadata_json: self.metadata,
            data_version: self.data_version,
            code_version: self.code_version,
            checks_json: self.checks,
            trace_id: self.trace_id.map(trace_id).transpose()?,
            failed_since: self.failed,
        })
    }
}

/// A row of `attempts`, with the asset's name.
#[derive(FromRow)]
pub(super) struct AttemptRow {
    run_id: Uuid,
    asset_index: i32,
    ordinal: i32,
    attempt: i32,
    asset: String,
    dispatch_id: i64,
    started_us: i64,
    finished_us: i64,
    terminal: bool,
    outcome: String,
    partition_key: String,
    worker_id: Option<Uuid>,
    trace_id: Option<Vec<u8>>,
    code_version: Option<String>,
    data_version: Option<String>,
    metadata: Option<String>,
    checks: Option<String>,
    failure_kind: Option<String>,
    failure_code: Option<i32>,
    failure_retryable: Option<bool>,
    failure_message: Option<String>,
    failure_detail: Option<String>,
    output: Option<String>,
    output_omitted_bytes: Option<i64>,
}

impl AttemptRow {
    pub(super) fn record(self) -> Result<AttemptRecord, LedgerError> {
        self.read().map_err(unreadable("an attempt"))
    }

    fn read(self) -> Result<AttemptRecord, Cause> {
        let result = match parse::<AttemptOutcome>(&self.outcome)? {
            AttemptOutcome::Succeeded => AttemptResult::Succeeded,
            AttemptOutcome::Lost => AttemptResult::Lost { terminal: self.terminal },
            AttemptOutcome::Cancelled => AttemptResult::Cancelled,
            AttemptOutcome::Failed => AttemptResult::Failed {
                failure: Failure {
                    kind: parse_failure_kind(self.failure_kind.as_deref().unwrap_or(""), self.failure_code)?,
                    message: self.failure_message.unwrap_or_default(),
                    detail: self.failure_detail,
                    retryable: self.failure_retryable.unwrap_or(true),
                },
                terminal: self.terminal,
            },
        };
        let omitted_bytes = self.output_omitted_bytes.unwrap_or(0) as u64;
        Ok(AttemptRecord {
            run: RunId(self.run_id),
            asset_index: narrow(self.asset_index)?,
            asset: self.asset.into(),
            ordinal: narrow(self.ordinal)?,
            partition_key: self.partition_key,
            attempt: narrow(self.attempt)?,
            dispatch: DispatchId(self.dispatch_id as u64),
            worker: self.worker_id.map(WorkerId),
            started_us: self.started_us,
            finished_us: self.finished_us,
            result,
            metadata_json: self.metadata,
            data_version: self.data_version,
            code_version: self.code_version.map(Arc::from),
            checks_json: self.checks,
            trace_id: self.trace_id.map(trace_id).transpose()?,
            output: self.output.map(|text| Output { text, omitted_bytes }),
        })
    }
}

fn trace_id(bytes: Vec<u8>) -> Result<[u8; 16], Cause> {
    bytes.try_into().map_err(|bytes: Vec<u8>| format!("a trace id of {} bytes", bytes.len()).into())
}
