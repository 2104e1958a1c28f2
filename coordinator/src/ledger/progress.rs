//! The progress of live runs, as segments.
//!
//! A new leader must know which tasks of a live run are done. Reading that from the history would take a row per
//! attempt, and would tie retention to live runs. Instead each commit adds one small row per run and asset that it
//! touched: the ordinals that ended, as bitmaps. Their union is the progress. Segments are never updated, and are
//! removed with the end of the run.
//!
//! A long run of slow tasks makes a commit for every few of them. So that its segments stay few, every
//! [`FOLD_AFTER`]th commit of an asset unites them in one.
//!
//! A segment is numbered by its commit, so that new ones lie beside each other in the index, and that a fold reads from
//! the last one on: beside a reader who never leaves, the database keeps every segment that was ever folded, and whoever
//! asked for all would come across them. A commit that is repeated has another number and tells a fact twice, which is
//! harmless: a union is a set of facts, so it does not matter how often and in what order a segment enters it.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use backstitch_proto::id::{Epoch, RunId};
use backstitch_proto::partition::{PartitionSubset, SubsetBytesError};

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

/// Numbers the commits of a term, and decides when to fold the segments of which asset.
#[derive(Debug, Default)]
pub(super) struct Folding {
    commits: u64,
    unfolded: HashMap<Key, Unfolded>,
}

/// Segments of one asset since its last fold.
#[derive(Clone, Copy, Debug, Default)]
struct Unfolded {
    /// Number of what the last one left. Before the first one leaders before this one may have left others, which earlier
    /// releases numbered by a hash.
    folded: Option<i64>,
    segments: usize,
}

/// Segments of an asset that are to become one: those of these numbers.
#[derive(Debug, PartialEq)]
pub(super) struct Fold {
    pub(super) key: Key,
    pub(super) numbers: RangeInclusive<i64>,
}

impl Folding {
    /// The number of the segments of the commit that is about to be tried: higher than all before it, also those of
    /// earlier terms, whose epoch is less. A term of 2³² commits lasts for months, and the epoch of the next is at least the
    /// minute that it begins in.
    pub(super) fn number(&mut self, epoch: Epoch) -> i64 {
        self.commits += 1;
        (i64::from(epoch.0) << 32) + self.commits as i64
    }

    /// What is to be folded in the transaction that commits `segments` by this number, which are among them.
    pub(super) fn due(&self, number: i64, segments: &Segments) -> Vec<Fold> {
        let fold = |(key, _): &(Key, SegmentColumns)| {
            let unfolded = self.unfolded.get(key).filter(|unfolded| unfolded.segments >= FOLD_AFTER)?;
            let numbers = unfolded.folded.map_or(i64::MIN..=i64::MAX, |folded| folded..=number);
            Some(Fold { key: *key, numbers })
        };
        segments.iter().filter_map(fold).take(FOLDS_MAX).collect()
    }

    /// `segments` were committed, with folds that left one of this number; the runs that finished are forgotten.
    pub(super) fn committed(&mut self, number: i64, segments: &Segments, folds: &[Fold], finished: &[RunId]) {
        for (key, _) in segments {
            self.unfolded.entry(*key).or_default().segments += 1;
        }
        let folded = Unfolded { folded: Some(number), segments: 1 };
        self.unfolded.extend(folds.iter().map(|fold| (fold.key, folded)));
        if !finished.is_empty() {
            self.unfolded.retain(|(run, _), _| !finished.contains(run));
        }
    }
}

/// A set as it is stored: an empty one takes no bytes.
fn to_stored(subset: &PartitionSubset) -> Vec<u8> {
    if subset.is_empty() { Vec::new() } else { subset.to_bytes() }
}

/// The set that is stored like this.
pub(super) fn stored_subset(bytes: &[u8]) -> Result<PartitionSubset, SubsetBytesError> {
    if bytes.is_empty() { Ok(PartitionSubset::default()) } else { PartitionSubset::from_bytes(bytes) }
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

/// A segment as columns of its row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SegmentColumns {
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

/// One per asset of a run that a commit touches.
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
            *mine |= &stored_subset(bytes)?;
        }
        self.retried.unite(&segment.retried)
    }

    /// Leaves out what no longer matters: attempts of tasks that are done.
    pub(super) fn settle(&mut self) {
        self.retried.settle(&self.succeeded.union(&self.failed).union(&self.cancelled));
    }

    pub(super) fn to_columns(&self) -> SegmentColumns {
        SegmentColumns {
            succeeded: to_stored(&self.succeeded),
            failed: to_stored(&self.failed),
            cancelled: to_stored(&self.cancelled),
            retried: self.retried.to_bytes(),
        }
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
    fn an_asset_is_folded_after_so_many_segments_and_then_from_the_last_fold_on() {
        let key = (RunId(uuid::Uuid::nil()), 0);
        let segments = vec![(key, segment(&[1], &[]))];
        let mut folding = Folding::default();
        let commit = |folding: &mut Folding, finished: &[RunId]| {
            let number = folding.number(Epoch(7));
            let folds = folding.due(number, &segments);
            folding.committed(number, &segments, &folds, finished);
            (number, folds)
        };
        for _ in 0..FOLD_AFTER {
            assert_eq!(commit(&mut folding, &[]).1, []);
        }
        let (first, folds) = commit(&mut folding, &[]);
        assert_eq!(folds, [Fold { key, numbers: i64::MIN..=i64::MAX }], "also what others have left");
        for _ in 1..FOLD_AFTER {
            assert_eq!(commit(&mut folding, &[]).1, []);
        }
        for tried in [first + 1_000, first + 1_001] {
            assert_eq!(folding.due(tried, &segments), [Fold { key, numbers: first..=tried }]);
        }
        let (last, folds) = commit(&mut folding, &[key.0]);
        assert_eq!(folds, [Fold { key, numbers: first..=last }]);
        assert!(folding.unfolded.is_empty(), "a finished run is forgotten");
    }

    #[test]
    fn every_commit_has_a_higher_number_and_the_next_term_higher_ones() {
        let (mut folding, mut next) = (Folding::default(), Folding::default());
        let numbers = [folding.number(Epoch(7)), folding.number(Epoch(7)), next.number(Epoch(8))];
        assert!(numbers.is_sorted_by(|one, other| one < other), "{numbers:?}");
        assert!(Folding::default().number(Epoch(u32::MAX >> 1)) > 0);
    }
}
