//! Which downstream partitions cannot run yet, or ever, for want of an upstream partition that exists.
//!
//! [`Missing`](super::Missing) says *what* does not exist; this says *who* needs it, and whether waiting helps. The
//! answer is a function of the definitions alone: a window exists from an instant that is known beforehand, and what
//! no passing of time brings (a window before the start, a key that nobody has added) is refused even where the
//! policy says `wait`, because a task that waits for ever is an error that nobody sees.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::definition::MissingPolicy;
use crate::partition::PartitionSubset;

/// Downstream partitions that need what does not exist.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Blocked {
    /// They cannot be planned: the policy is `error`, or it is `wait` and time will not bring what they need.
    pub refused: PartitionSubset,
    /// They can start at an instant and not before: from then on all that they need exists. None is refused.
    pub waiting: BTreeMap<DateTime<Utc>, PartitionSubset>,
}

/// Notes of one relation, in any order; the latest instant counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Blocking {
    pub(crate) refused: PartitionSubset,
    /// By seconds since the epoch.
    pub(crate) waiting: BTreeMap<i64, PartitionSubset>,
}

impl Blocked {
    /// Whether everything that is needed exists.
    pub fn is_empty(&self) -> bool {
        self.refused.is_empty() && self.waiting.is_empty()
    }
}

impl Blocking {
    /// Notes partitions of which some requirement exists from an instant on (`None`: never).
    pub(crate) fn note(&mut self, policy: MissingPolicy, exists_from: Option<i64>, tasks: &PartitionSubset) {
        match (policy, exists_from) {
            (MissingPolicy::Skip, _) => {}
            (MissingPolicy::Wait, Some(instant)) => *self.waiting.entry(instant).or_default() |= tasks,
            (MissingPolicy::Error, _) | (MissingPolicy::Wait, None) => self.refused |= tasks,
        }
    }

    /// Everyone who is noted.
    pub(crate) fn all(&self) -> PartitionSubset {
        let mut all = self.refused.clone();
        self.waiting.values().for_each(|tasks| all |= tasks);
        all
    }

    /// Each partition once: refused, else at the last instant that it waits for.
    pub(crate) fn settle(self) -> Blocked {
        let mut seen = self.refused.clone();
        let mut waiting = BTreeMap::new();
        for (instant, mut tasks) in self.waiting.into_iter().rev() {
            tasks -= &seen;
            seen |= &tasks;
            // Instants come from windows, whose years have four digits.
            if let (false, Some(instant)) = (tasks.is_empty(), DateTime::<Utc>::from_timestamp(instant, 0)) {
                waiting.insert(instant, tasks);
            }
        }
        Blocked { refused: self.refused, waiting }
    }
}
