//! The progress of live runs, as segments.
//!
//! A new leader must know which tasks of a live run are done. Reading that from the history would take a row per
//! attempt, and would tie retention to live runs. Instead each commit adds one small row per run and asset that it
//! touched: the ordinals that ended, as bitmaps. Their union is the progress. Segments are never updated, and are
//! removed with the end of the run.
//!
//! A long run of slow tasks makes a commit for every few of them. So that its segments stay few, every
//! [`FOLD_AFTER`]th commit of the run unites them in one.
//!
//! A segment is named by a hash of its content: the process that commits it again gives it the same name, and nothing
//! changes. Another release may name it otherwise, which only tells a fact twice: a union is a set of facts, so it does
//! not matter how often and in what order a segment enters it. Two segments of one asset meet in 64 bits practically
//! never.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use backstitch_proto::id::RunId;
use backstitch_proto::partition::PartitionSubset;

use super::error::Cause;
use super::retried::Retried;
use super::{AttemptRecord, AttemptResult, LiveAsset};

/// Segments of one asset of one run until they are folded. Reading as many at takeover takes a millisecond, and
/// rewriting a bitmap of a million partitions every so many commits adds nothing that could be measured.
pub(super) const FOLD_AFTER: usize = 512;

/// Assets of runs that are folded in one commit at most, two statements each. The others have their turn in the next.
const FOLDS_MAX: usize = 64;

/// Run and position of the asset.
pub(super) type Key = (RunId, u16);

/// Knows the segments that this process committed by name, and so decides when to fold, and what.
#[derive(Debug, Default)]
pub(super) struct SegmentNames(HashMap<Key, Names>);

#[derive(Debug, Default)]
struct Names {
    names: Vec<i64>,
    /// There are no others. Not known before the first fold: leaders before this one may have left some.
    all: bool,
}

/// Segments that are to become one.
#[derive(Debug, PartialEq)]
pub(super) struct Fold {
    pub(super) key: Key,
    /// Which. Absent: whatever there is. Named, those that were folded before are not come across again: while a reader
    /// keeps old versions of rows alive they are all still there, and a fold would take longer each time.
    pub(super) names: Option<Vec<i64>>,
}

impl SegmentNames {
    /// What is to be folded in the transaction that commits `segments`, which are among them. It is forgotten, so that a
    /// fold of which nobody knows whether it was done is followed by one of whatever there is.
    pub(super) fn take_due(&mut self, segments: &Segments) -> Vec<Fold> {
        let fold = |(key, columns): &(Key, SegmentColumns)| {
            let known = self.0.get_mut(key).filter(|known| known.names.len() >= FOLD_AFTER)?;
            let Names { mut names, all } = std::mem::take(known);
            names.push(columns.segment);
            Some(Fold { key: *key, names: all.then_some(names) })
        };
        segments.iter().filter_map(fold).take(FOLDS_MAX).collect()
    }

    /// `segments` were committed, and some assets folded, each into the segment of this name; the runs that finished are
    /// forgotten.
    pub(super) fn committed(&mut self, segments: &Segments, folded: Vec<(Key, i64)>, finished: &[RunId]) {
        for (key, columns) in segments {
            self.0.entry(*key).or_default().names.push(columns.segment);
        }
        self.0.extend(folded.into_iter().map(|(key, name)| (key, Names { names: vec![name], all: true })));
        if !finished.is_empty() {
            self.0.retain(|(run, _), _| !finished.contains(run));
        }
    }
}

/// What became of the tasks of one asset of one run.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Progress {
    succeeded: PartitionSubset,
    failed: PartitionSubset,
    cancelled: PartitionSubset,
    /// Attempts that another one follows.
    retried: Retried,
}

/// A segment as columns of its row. Empty sets are empty bytes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SegmentColumns {
    /// Hash of the others.
    pub(super) segment: i64,
    pub(super) succeeded: Vec<u8>,
    pub(super) failed: Vec<u8>,
    pub(super) cancelled: Vec<u8>,
    pub(super) retried: Vec<u8>,
}

impl SegmentColumns {
    /// Their size, about.
    pub(super) fn bytes(&self) -> usize {
        self.succeeded.len() + self.failed.len() + self.cancelled.len() + self.retried.len()
    }
}

/// One per asset of a run.
pub(super) type Segments = Vec<(Key, SegmentColumns)>;

/// What the attempts of a batch add.
pub(super) fn segments(attempts: &[AttemptRecord]) -> Segments {
    let mut progress: HashMap<Key, Progress> = HashMap::new();
    for attempt in attempts {
        progress.entry((attempt.run, attempt.asset_index)).or_default().add(attempt);
    }
    progress.into_iter().map(|(key, progress)| (key, progress.to_columns())).collect()
}

impl Progress {
    fn add(&mut self, attempt: &AttemptRecord) {
        let ended = match attempt.result {
            AttemptResult::Succeeded => &mut self.succeeded,
            AttemptResult::Failed { terminal: true, .. } | AttemptResult::Lost { terminal: true } => {
                &mut self.failed
            }
            AttemptResult::Cancelled => &mut self.cancelled,
            AttemptResult::Failed { terminal: false, .. } | AttemptResult::Lost { terminal: false } => {
                return self.retried.add(attempt);
            }
        };
        ended.insert(attempt.ordinal);
    }

    /// Adds the facts of another segment.
    pub(super) fn unite(&mut self, segment: &SegmentColumns) -> Result<(), Cause> {
        for (mine, bytes) in [
            (&mut self.succeeded, &segment.succeeded),
            (&mut self.failed, &segment.failed),
            (&mut self.cancelled, &segment.cancelled),
        ] {
            if !bytes.is_empty() {
                *mine = mine.union(&PartitionSubset::from_bytes(bytes)?);
            }
        }
        self.retried.unite(&segment.retried)
    }

    /// Leaves out what no longer matters: attempts of tasks that are done.
    pub(super) fn settle(&mut self) {
        self.retried.settle(&self.succeeded.union(&self.failed).union(&self.cancelled));
    }

    pub(super) fn to_columns(&self) -> SegmentColumns {
        let bitmap =
            |subset: &PartitionSubset| if subset.is_empty() { Vec::new() } else { subset.to_bytes() };
        let mut columns = SegmentColumns {
            segment: 0,
            succeeded: bitmap(&self.succeeded),
            failed: bitmap(&self.failed),
            cancelled: bitmap(&self.cancelled),
            retried: self.retried.to_bytes(),
        };
        let mut hasher = DefaultHasher::new();
        (&columns.succeeded, &columns.failed, &columns.cancelled, &columns.retried).hash(&mut hasher);
        columns.segment = hasher.finish() as i64;
        columns
    }

    pub(super) fn into_live(mut self) -> LiveAsset {
        self.settle();
        let Self { succeeded, failed, cancelled, retried } = self;
        LiveAsset { succeeded, failed, cancelled, spent: retried.into_spent() }
    }
}

#[cfg(test)]
mod tests {
    use backstitch_proto::id::DispatchId;
    use backstitch_proto::message::{Failure, FailureKind};

    use super::*;
    use crate::ledger::Spent;

    fn retried(ordinal: u32, attempt: u16, lost: bool) -> AttemptRecord {
        let failure =
            Failure { kind: FailureKind::Panic, message: String::new(), detail: None, retryable: true };
        let result = match lost {
            true => AttemptResult::Lost { terminal: false },
            false => AttemptResult::Failed { terminal: false, failure },
        };
        let (run, finished_us) = (RunId(uuid::Uuid::nil()), i64::from(attempt) * 1_000_000);
        let record =
            AttemptRecord::succeeded(run, "a".into(), ordinal, String::new(), DispatchId(1), finished_us);
        AttemptRecord { attempt, result, ..record }
    }

    fn subset(ordinals: &[u32]) -> PartitionSubset {
        PartitionSubset::from_ordinals(ordinals.iter().copied())
    }

    fn segment(succeeded: &[u32], retried: &[AttemptRecord]) -> SegmentColumns {
        let mut progress = Progress { succeeded: subset(succeeded), ..Progress::default() };
        retried.iter().for_each(|attempt| progress.add(attempt));
        progress.to_columns()
    }

    fn union(segments: &[&SegmentColumns]) -> Progress {
        let mut progress = Progress::default();
        for segment in segments {
            progress.unite(segment).expect("a segment of ours");
        }
        progress.settle();
        progress
    }

    #[test]
    fn a_union_does_not_depend_on_order_or_repetition_or_earlier_folds() {
        let one = segment(&[1, 2], &[retried(3, 1, true), retried(4, 1, false)]);
        let two = segment(&[4], &[retried(3, 2, false), retried(5, 1, true)]);
        let all = union(&[&one, &two]);
        assert_eq!(union(&[&two, &one, &two]), all);
        assert_eq!(union(&[&union(&[&one]).to_columns(), &two]), all);
        assert_eq!(union(&[&all.to_columns(), &one]), all);
        let live = all.into_live();
        assert_eq!(live.succeeded, subset(&[1, 2, 4]));
        assert_eq!(
            live.spent,
            [
                Spent {
                    tasks: subset(&[3]),
                    attempts: 2,
                    losses: 1,
                    last_was_lost: false,
                    last_finished_us: 2_000_000
                },
                Spent {
                    tasks: subset(&[5]),
                    attempts: 1,
                    losses: 1,
                    last_was_lost: true,
                    last_finished_us: 1_000_000
                },
            ]
        );
    }

    #[test]
    fn the_same_segment_has_the_same_name_and_another_one_another() {
        let one = segment(&[1, 2], &[]);
        assert_eq!(one.segment, segment(&[1, 2], &[]).segment);
        assert_ne!(one.segment, segment(&[1, 3], &[]).segment);
    }

    #[test]
    fn an_asset_is_folded_after_so_many_segments_and_the_next_time_by_their_names() {
        let key = (RunId(uuid::Uuid::nil()), 0);
        let named = |name| vec![(key, SegmentColumns { segment: name, ..segment(&[1], &[]) })];
        let mut known = SegmentNames::default();
        for name in 0..FOLD_AFTER as i64 {
            assert_eq!(known.take_due(&named(name)), []);
            known.committed(&named(name), Vec::new(), &[]);
        }
        assert_eq!(known.take_due(&named(-1)), [Fold { key, names: None }], "also what others have left");
        known.committed(&named(-1), vec![(key, -2)], &[]);
        for name in 1..FOLD_AFTER as i64 {
            assert_eq!(known.take_due(&named(name)), []);
            known.committed(&named(name), Vec::new(), &[]);
        }
        let names = [-2].into_iter().chain(1..FOLD_AFTER as i64).chain([-3]).collect();
        assert_eq!(known.take_due(&named(-3)), [Fold { key, names: Some(names) }]);
        assert_eq!(known.take_due(&named(-3)), [], "nobody knows yet whether it was done");
        known.committed(&named(-3), Vec::new(), &[key.0]);
        assert!(known.0.is_empty(), "a finished run is forgotten");
    }
}
