//! What becomes of tasks that need upstream partitions that do not exist: `missing:` of their mapping.
//!
//! `error` refuses the submission and names what is missing; `wait` lets the engine hold the tasks until it exists;
//! `skip` never comes here, because the mapping does not require what it may skip.
//!
//! Whether a partition exists is a question of definitions and time. Elsewhere (`Filter::Missing`, the status) `missing`
//! means: exists, and was never materialized.

use std::collections::BTreeMap;

use backstitch_proto::definition::Edge;
use backstitch_proto::mapping::{Mapper, MissingPolicy};
use backstitch_proto::partition::{PartitionSubset, Partitions};
use chrono::{DateTime, Utc};

use super::submission::PlannedWait;
use crate::engine::Held;

/// Ranges of partitions that a refusal names on either side.
const NAMED_RANGES: usize = 3;

/// The tasks that wait for partitions of the upstream asset; refuses those that cannot be planned.
pub(super) fn waits(
    edge: &Edge,
    upstream: &Partitions,
    downstream: &Partitions,
    targets: &PartitionSubset,
) -> Result<Option<PlannedWait>, String> {
    let asset = &edge.upstream;
    let mapper = Mapper::new(&edge.mapping, upstream, downstream)
        .map_err(|error| format!("dependency \"{asset}\": {error}"))?;
    let blocked = mapper.blocked(targets);
    if !blocked.refused.is_empty() {
        let missing = mapper.upstream_of(&blocked.refused).missing;
        let (which, mend) = match missing.policy() {
            MissingPolicy::Wait => (
                "will never exist, so that waiting would not end",
                "or write \"missing: skip\" (run without them) in the mapping",
            ),
            MissingPolicy::Error | MissingPolicy::Skip => (
                "do not exist",
                "or write \"missing: skip\" (run without them) or \"missing: wait\" (start once they exist) in the mapping",
            ),
        };
        return Err(format!(
            "dependency \"{asset}\": {} need partitions of \"{asset}\" that {which}: {}; leave them out of the selection, {mend}",
            downstream.format_ranges(&blocked.refused, NAMED_RANGES),
            missing.to_text(NAMED_RANGES),
        ));
    }
    Ok(blocked.waiting.last_key_value().map(|(until, _)| PlannedWait {
        upstream: asset.to_string(),
        tasks: blocked.waiting.values().map(PartitionSubset::len).sum(),
        until: *until,
    }))
}

/// The tasks that the engine holds, each until the last of the instants at which what it needs exists.
pub(super) fn held(waiting: BTreeMap<DateTime<Utc>, PartitionSubset>) -> Vec<Held> {
    let mut later = PartitionSubset::default();
    let mut held = Vec::with_capacity(waiting.len());
    for (until, mut tasks) in waiting.into_iter().rev() {
        tasks -= &later;
        if !tasks.is_empty() {
            later |= &tasks;
            held.push(Held { until_us: until.timestamp_micros(), tasks });
        }
    }
    held
}

#[cfg(test)]
mod tests;
