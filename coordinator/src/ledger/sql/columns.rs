//! From records to columns: the text of enums, and attempts ready to be bound.

use std::borrow::Cow;

use backstitch_proto::message::FailureKind;
use serde::Serialize;
use uuid::Uuid;

use crate::ledger::error::Cause;
use crate::ledger::text::{storable, storable_json, storable_key};
use crate::ledger::{AttemptRecord, AttemptResult};

/// The column text of a status or an origin: as serde writes it.
pub(in crate::ledger) fn word(value: impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        // Only called with enums of unit variants, which serde writes as strings.
        other => unreachable!("a unit variant became {other:?}"),
    }
}

/// A failure as columns.
#[derive(Clone, Debug)]
pub(in crate::ledger) struct FailureColumns<'a> {
    pub(in crate::ledger) kind: &'static str,
    pub(in crate::ledger) code: Option<i32>,
    pub(in crate::ledger) retryable: Option<bool>,
    pub(in crate::ledger) message: Cow<'a, str>,
    pub(in crate::ledger) detail: Option<Cow<'a, str>>,
}

impl FailureColumns<'_> {
    /// The failure of a task whose last attempt was lost with its worker.
    pub(in crate::ledger) fn lost() -> Self {
        let (kind, code) = failure_kind(FailureKind::WorkerLost);
        let message = Cow::Borrowed(LOST_MESSAGE);
        Self { kind, code, retryable: None, message, detail: None }
    }
}

/// What is said of an attempt that was lost with its worker.
pub(crate) const LOST_MESSAGE: &str = "the worker died or fell silent while it ran the task";

/// The class of a failure, and the status or the signal that it came with: in columns and in the API.
pub(crate) fn failure_kind(kind: FailureKind) -> (&'static str, Option<i32>) {
    match kind {
        FailureKind::NotStarted => ("not_started", None),
        FailureKind::Exit(status) => ("exit", Some(status)),
        FailureKind::Signal(signal) => ("signal", Some(signal)),
        FailureKind::Timeout => ("timeout", None),
        FailureKind::Error => ("error", None),
        FailureKind::Panic => ("panic", None),
        FailureKind::UnknownAsset => ("unknown_asset", None),
        FailureKind::WorkerLost => ("worker_lost", None),
    }
}

/// The reverse of how a failure kind becomes columns.
pub(super) fn parse_failure_kind(kind: &str, code: Option<i32>) -> Result<FailureKind, Cause> {
    Ok(match (kind, code) {
        ("not_started", _) => FailureKind::NotStarted,
        ("exit", Some(status)) => FailureKind::Exit(status),
        ("signal", Some(signal)) => FailureKind::Signal(signal),
        ("timeout", _) => FailureKind::Timeout,
        ("error", _) => FailureKind::Error,
        ("panic", _) => FailureKind::Panic,
        ("unknown_asset", _) => FailureKind::UnknownAsset,
        ("worker_lost", _) => FailureKind::WorkerLost,
        _ => return Err(format!("failure kind \"{kind}\" with code {code:?}").into()),
    })
}

/// An attempt as columns, ready to be bound.
#[derive(Clone, Debug)]
pub(in crate::ledger) struct AttemptColumns<'a> {
    pub(in crate::ledger) run: Uuid,
    pub(in crate::ledger) asset_index: i32,
    pub(in crate::ledger) ordinal: i32,
    pub(in crate::ledger) attempt: i32,
    pub(in crate::ledger) asset_id: i32,
    pub(in crate::ledger) dispatch: i64,
    pub(in crate::ledger) started_us: i64,
    pub(in crate::ledger) finished_us: i64,
    pub(in crate::ledger) terminal: bool,
    pub(in crate::ledger) outcome: &'static str,
    pub(in crate::ledger) partition_key: Cow<'a, str>,
    pub(in crate::ledger) worker: Option<Uuid>,
    pub(in crate::ledger) trace_id: Option<&'a [u8]>,
    pub(in crate::ledger) code_version: Option<Cow<'a, str>>,
    pub(in crate::ledger) data_version: Option<Cow<'a, str>>,
    pub(in crate::ledger) metadata: Option<Cow<'a, str>>,
    pub(in crate::ledger) checks: Option<Cow<'a, str>>,
    pub(in crate::ledger) failure: Option<FailureColumns<'a>>,
    pub(in crate::ledger) output: Option<Cow<'a, str>>,
    pub(in crate::ledger) output_omitted_bytes: Option<i64>,
}

impl<'a> AttemptColumns<'a> {
    pub(in crate::ledger) fn of(attempt: &'a AttemptRecord, asset_id: i32) -> Self {
        Self {
            run: attempt.run.0,
            asset_index: attempt.asset_index.into(),
            // RunRecord::check_storable lets no ordinal above i32::MAX into a run.
            ordinal: attempt.ordinal as i32,
            attempt: attempt.attempt.into(),
            asset_id,
            dispatch: attempt.dispatch.0 as i64,
            started_us: attempt.started_us,
            finished_us: attempt.finished_us,
            terminal: attempt.result.is_terminal(),
            outcome: attempt.result.outcome().as_str(),
            partition_key: storable_key(&attempt.partition_key),
            worker: attempt.worker.map(|worker| worker.0),
            trace_id: attempt.trace_id.as_ref().map(|id| id.as_slice()),
            code_version: attempt.code_version.as_deref().map(storable),
            data_version: attempt.data_version.as_deref().map(storable),
            metadata: attempt.metadata_json.as_deref().map(storable_json),
            checks: attempt.checks_json.as_deref().map(storable_json),
            failure: failure_of(&attempt.result),
            output: attempt.output.as_ref().map(|output| storable(&output.text)),
            output_omitted_bytes: attempt.output.as_ref().map(|output| output.omitted_bytes as i64),
        }
    }
}

fn failure_of(result: &AttemptResult) -> Option<FailureColumns<'_>> {
    let AttemptResult::Failed { failure, .. } = result else { return None };
    let (kind, code) = failure_kind(failure.kind);
    Some(FailureColumns {
        kind,
        code,
        retryable: Some(failure.retryable),
        message: storable(&failure.message),
        detail: failure.detail.as_deref().map(storable),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{AttemptOutcome, RunStatus};

    #[test]
    fn a_state_has_one_word_in_columns_and_for_people() {
        use AttemptOutcome as Outcome;
        use RunStatus::{Cancelled, Cancelling, Failed, Paused, Running, Succeeded};
        for status in [Running, Paused, Cancelling, Succeeded, Failed, Cancelled] {
            assert_eq!(word(status), status.as_str());
        }
        for outcome in [Outcome::Succeeded, Outcome::Failed, Outcome::Lost, Outcome::Cancelled] {
            assert_eq!(word(outcome), outcome.as_str());
        }
    }
}
