//! What can be asked of the ledger, and the shape of the answers.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use backstitch_proto::id::{DispatchId, RunId};
use serde::Serialize;

use super::{FinalCounts, RunOrigin, RunRecord, RunStatus};

/// Rows of one page at most, so that no request holds more than a few megabytes.
pub const PAGE_ROWS_MAX: u32 = 1_000;

/// Rows of a page of which nobody said how many it should have.
pub const PAGE_ROWS_DEFAULT: u32 = 100;

/// Some rows, and where the rest begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T, C> {
    /// The rows.
    pub items: Vec<T>,
    /// Pass this to get the next page; `None` after the last one.
    pub next: Option<C>,
}

/// How reads make pages: they ask for one row more than the page holds, to see whether there is another page.
pub(super) mod page {
    use super::{PAGE_ROWS_MAX, Page};

    /// Rows of the page, and rows to ask for.
    pub(in crate::ledger) fn limits(limit: u32) -> (usize, i64) {
        let limit = limit.clamp(1, PAGE_ROWS_MAX);
        (limit as usize, i64::from(limit) + 1)
    }

    /// Cuts off the row too many; the cursor is that of the last row that stays.
    pub(in crate::ledger) fn cut<T, C>(
        mut items: Vec<T>,
        limit: usize,
        cursor: impl Fn(&T) -> C,
    ) -> Page<T, C> {
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(cursor) } else { None };
        Page { items, next }
    }
}

/// Which runs.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    /// Only runs in this state.
    pub status: Option<RunStatus>,
    /// Only runs that target this asset.
    pub asset: Option<String>,
    /// Only runs asked for like this.
    pub origin: Option<RunOrigin>,
    /// Rows of a page; at most [`PAGE_ROWS_MAX`].
    pub limit: u32,
    /// Only runs submitted before this one.
    pub cursor: Option<RunId>,
}

/// A run as the ledger knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct RunSummary {
    /// The submission, with its current priority and bound.
    pub record: RunRecord,
    /// Where it stands.
    pub status: RunStatus,
    /// When cancellation was asked for, microseconds since the Unix epoch.
    pub cancel_requested_us: Option<i64>,
    /// When it finished, microseconds since the Unix epoch.
    pub finished_us: Option<i64>,
    /// Per asset of the run, in its order, once it is finished.
    pub counts: Option<Vec<FinalCounts>>,
}

/// Where a partition stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartitionState {
    /// It was materialized at least once.
    pub materialized: bool,
    /// Its task failed for good after the last materialization.
    pub failed: bool,
}

/// Takes the states of partitions, by key.
pub type StateSink<'a> = dyn FnMut(&str, PartitionState) + Send + 'a;

/// Takes successful attempts: the dispatch, the position of the asset in the run's plan, and the ordinal.
pub type SuccessSink<'a> = dyn FnMut(DispatchId, u16, u32) + Send + 'a;

/// Which materializations.
#[derive(Clone, Debug, Default)]
pub struct MaterializationQuery {
    /// The asset.
    pub asset: String,
    /// Only these partitions.
    pub partition_keys: Option<Vec<String>>,
    /// Rows of a page; at most [`PAGE_ROWS_MAX`].
    pub limit: u32,
    /// Only keys after this one.
    pub cursor: Option<String>,
}

/// The latest materialization of one partition.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Materialization {
    /// Name of the asset.
    pub asset: Arc<str>,
    /// Key of the partition; empty for an unpartitioned asset.
    pub partition_key: String,
    /// The run that made it.
    pub run: RunId,
    /// Number of the attempt that made it.
    pub attempt: u16,
    /// Start of that attempt, microseconds since the Unix epoch.
    pub started_us: i64,
    /// End of that attempt, microseconds since the Unix epoch.
    pub finished_us: i64,
    /// Metadata as a JSON object.
    pub metadata_json: Option<String>,
    /// Version of the data.
    pub data_version: Option<String>,
    /// Version of the code.
    pub code_version: Option<String>,
    /// Results of asset checks as a JSON array.
    pub checks_json: Option<String>,
    /// Trace in which it ran.
    pub trace_id: Option<[u8; 16]>,
    /// A later task for this partition failed for good.
    pub failed_since: bool,
}

/// Which attempts.
#[derive(Clone, Debug)]
pub struct AttemptQuery {
    /// The run.
    pub run: RunId,
    /// Only of the asset at this position of the run's plan.
    pub asset_index: Option<u16>,
    /// Only of this partition.
    pub partition_key: Option<String>,
    /// Only of these tasks: position of the asset in the run's plan, and ordinal. They are found by their key; a partition
    /// key alone is looked for in the whole run.
    pub tasks: Option<Vec<(u16, u32)>>,
    /// Only attempts that did not succeed.
    pub only_unsuccessful: bool,
    /// With what they printed, which is by far the largest column.
    pub with_output: bool,
    /// Rows of a page; at most [`PAGE_ROWS_MAX`].
    pub limit: u32,
    /// Only attempts after this one.
    pub cursor: Option<AttemptCursor>,
}

impl AttemptQuery {
    /// All attempts of a run, without output.
    pub fn of_run(run: RunId) -> Self {
        Self {
            run,
            asset_index: None,
            partition_key: None,
            tasks: None,
            only_unsuccessful: false,
            with_output: false,
            limit: PAGE_ROWS_MAX,
            cursor: None,
        }
    }
}

/// One attempt inside its run; as text `asset_index.ordinal.attempt`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AttemptCursor {
    /// Position of the asset in the run's plan.
    pub asset_index: u16,
    /// Ordinal of the partition.
    pub ordinal: u32,
    /// Number of the attempt.
    pub attempt: u16,
}

impl fmt::Display for AttemptCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.asset_index, self.ordinal, self.attempt)
    }
}

/// The text is no cursor.
#[derive(Debug, thiserror::Error)]
#[error("\"{0}\" is not a cursor of attempts: pass on the `next` of the page before")]
pub struct CursorError(String);

impl FromStr for AttemptCursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.splitn(3, '.');
        let mut parsed = || -> Option<Self> {
            Some(Self {
                asset_index: parts.next()?.parse().ok()?,
                ordinal: parts.next()?.parse().ok()?,
                attempt: parts.next()?.parse().ok()?,
            })
        };
        parsed().ok_or_else(|| CursorError(text.to_owned()))
    }
}

/// What an audit found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct AuditReport {
    /// Rows of history that were read.
    pub attempts: u64,
    /// Partitions that are materialized.
    pub materialized: u64,
    /// Runs that are not terminal.
    pub live_runs: u64,
    /// One entry per asset of a run with attempts that did not succeed; the service compares it with the asset's retries,
    /// which the ledger does not know.
    pub most_spent: Vec<MostSpent>,
    /// Runs that were not held against their plans, because this program cannot read the definitions that they are
    /// pinned to.
    pub unread_runs: u64,
    /// Contradictions. Empty when all is well.
    pub findings: Vec<Finding>,
}

/// The most that one task of an asset of a run has spent of its budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct MostSpent {
    /// The run.
    pub run: RunId,
    /// Position of the asset in the run's plan.
    pub asset_index: u16,
    /// Attempts that failed, of the task with the most of them.
    pub failures: u32,
    /// Attempts whose worker died, of the task with the most of them.
    pub losses: u32,
}

/// Rows that contradict an invariant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Name of the invariant.
    pub invariant: &'static str,
    /// What is wrong with the rows.
    pub what: &'static str,
    /// How many there are.
    pub rows: u64,
}
