//! What the attempts of a batch do to the current state of partitions.
//!
//! Decided here and not in SQL, because one statement cannot write the same row twice and a batch may well hold
//! several attempts of one partition. The order of a batch is the order of acceptance, and it decides.

use std::borrow::Cow;
use std::collections::HashMap;

use super::text::storable_key;
use super::{AttemptRecord, AttemptResult};

/// The attempts that change the current state, at most one of each kind per partition.
#[derive(Debug, Default)]
pub(super) struct Effects<'a> {
    /// Materializations. Written first.
    pub(super) succeeded: Vec<&'a AttemptRecord>,
    /// Failures for good that came after the materialization, if there is one. Written second.
    pub(super) failed: Vec<&'a AttemptRecord>,
}

/// What `attempts` change. Attempts that are followed by another one, and cancelled ones, change nothing.
pub(super) fn effects(attempts: &[AttemptRecord]) -> Effects<'_> {
    /// Positions in `attempts`.
    #[derive(Default)]
    struct Last {
        succeeded: Option<usize>,
        failed: Option<usize>,
    }
    let mut partitions: HashMap<(&str, Cow<'_, str>), Last> = HashMap::with_capacity(attempts.len());
    for (at, attempt) in attempts.iter().enumerate() {
        let key = row_of(attempt);
        match &attempt.result {
            AttemptResult::Succeeded => {
                partitions.insert(key, Last { succeeded: Some(at), failed: None });
            }
            AttemptResult::Failed { .. } | AttemptResult::Lost { .. } if attempt.result.is_terminal() => {
                partitions.entry(key).or_default().failed = Some(at);
            }
            AttemptResult::Failed { .. } | AttemptResult::Lost { .. } | AttemptResult::Cancelled => {}
        }
    }
    let mut effects = Effects::default();
    // Through `attempts` again, so that rows are written in a stable order.
    for (at, attempt) in attempts.iter().enumerate() {
        let Some(last) = partitions.get(&row_of(attempt)) else { continue };
        if last.succeeded == Some(at) {
            effects.succeeded.push(attempt);
        } else if last.failed == Some(at) {
            effects.failed.push(attempt);
        }
    }
    effects
}

/// What names the row of a partition. Keys that are stored alike are one row.
fn row_of(attempt: &AttemptRecord) -> (&str, Cow<'_, str>) {
    (&attempt.asset, storable_key(&attempt.partition_key))
}
