//! Attempts of live runs that another one follows.
//!
//! When the code of an asset is broken, each of its ten million partitions fails and waits to be tried again. So these
//! attempts are sets too: those of the same number that ended in the same second are one bitmap, in memory and in the
//! ledger.

use std::collections::BTreeMap;

use backstitch_proto::partition::PartitionSubset;

use super::error::Cause;
use super::{AttemptRecord, AttemptResult, Spent};

/// Attempts that are stored as a list: sets of them would be as large.
const LIST_MAX: u64 = 1_000;

/// Bytes of a stored attempt: ordinal, number, lost, end in microseconds. As many are in front of a stored bitmap: number,
/// lost, end in seconds, length of the bitmap. All little-endian.
const ENTRY_BYTES: usize = 4 + 2 + 1 + 8;

/// What the attempts of one set have in common, in the order of their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    attempt: u16,
    lost: bool,
    /// End, seconds since the Unix epoch, rounded up: a delay that runs from here is never too short.
    finished_s: i64,
}

/// Attempts that another one follows.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Retried(BTreeMap<Kind, PartitionSubset>);

impl Retried {
    /// An attempt that failed or was lost, and not for good.
    pub(super) fn add(&mut self, attempt: &AttemptRecord) {
        let lost = matches!(attempt.result, AttemptResult::Lost { .. });
        self.insert(attempt.ordinal, attempt.attempt, lost, attempt.finished_us);
    }

    fn insert(&mut self, ordinal: u32, attempt: u16, lost: bool, finished_us: i64) {
        let finished_s = finished_us.div_euclid(1_000_000) + i64::from(finished_us.rem_euclid(1_000_000) > 0);
        self.0.entry(Kind { attempt, lost, finished_s }).or_default().insert(ordinal);
    }

    /// Keeps what still matters when these are done: the last attempt of every other task, and those that were lost.
    /// There are few of these, whatever the budget for failures.
    pub(super) fn settle(&mut self, done: &PartitionSubset) {
        let mut last_known = done.clone();
        for (kind, tasks) in self.0.iter_mut().rev() {
            *tasks -= if kind.lost { done } else { &last_known };
            last_known |= tasks;
        }
        self.0.retain(|_, tasks| !tasks.is_empty());
    }

    /// What each task has spent: tasks that spent the same, and did so in the same second, together.
    pub(super) fn into_spent(self) -> Vec<Spent> {
        let mut lost: BTreeMap<u16, PartitionSubset> = BTreeMap::new();
        for (kind, tasks) in self.0.iter().filter(|(kind, _)| kind.lost) {
            *lost.entry(kind.attempt).or_default() |= tasks;
        }
        // Level `n` holds the tasks that lost more than `n` attempts.
        let mut levels: Vec<PartitionSubset> = Vec::new();
        for mut tasks in lost.into_values() {
            for level in &mut levels {
                let above = level.intersection(&tasks);
                *level |= &tasks;
                tasks = above;
            }
            if !tasks.is_empty() {
                levels.push(tasks);
            }
        }
        let (mut spent, mut seen) = (Vec::new(), PartitionSubset::default());
        // From the last attempts to the first: what a task was seen with first is its last.
        for (kind, mut tasks) in self.0.into_iter().rev() {
            tasks -= &seen;
            seen |= &tasks;
            for losses in (0..=levels.len()).rev() {
                let of_losses = match losses.checked_sub(1) {
                    Some(level) => tasks.intersection(&levels[level]),
                    None => std::mem::take(&mut tasks),
                };
                if !of_losses.is_empty() {
                    tasks -= &of_losses;
                    spent.push(Spent {
                        tasks: of_losses,
                        attempts: kind.attempt,
                        // Budgets are u16, so there are never more levels than that.
                        losses: losses as u16,
                        last_was_lost: kind.lost,
                        last_finished_us: kind.finished_s * 1_000_000,
                    });
                }
            }
        }
        spent
    }
}

/// What is stored: few attempts one by one, which every program reads. Many as sets: the number of bytes that fill it
/// up, for each set its head and bitmap, and zeros, so that the length is one more than a multiple of
/// [`ENTRY_BYTES`]. A program that knows the list alone refuses that as a list that was cut, instead of misreading it.
impl Retried {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        if self.0.values().map(PartitionSubset::len).sum::<u64>() <= LIST_MAX {
            return self.to_list();
        }
        let mut bytes = vec![0];
        for (kind, tasks) in &self.0 {
            let bitmap = tasks.to_bytes();
            bytes.extend(kind.attempt.to_le_bytes());
            bytes.push(u8::from(kind.lost));
            bytes.extend(kind.finished_s.to_le_bytes());
            // A bitmap of all partitions that there can be has far less than 2^32 bytes.
            bytes.extend((bitmap.len() as u32).to_le_bytes());
            bytes.extend(bitmap);
        }
        let filled = (bytes.len() - 1).next_multiple_of(ENTRY_BYTES) + 1;
        bytes[0] = (filled - bytes.len()) as u8;
        bytes.resize(filled, 0);
        bytes
    }

    fn to_list(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (kind, tasks) in &self.0 {
            for ordinal in tasks.iter() {
                bytes.extend(ordinal.to_le_bytes());
                bytes.extend(kind.attempt.to_le_bytes());
                bytes.push(u8::from(kind.lost));
                bytes.extend((kind.finished_s * 1_000_000).to_le_bytes());
            }
        }
        bytes
    }

    /// Adds what is stored.
    pub(super) fn unite(&mut self, bytes: &[u8]) -> Result<(), Cause> {
        let cut = || Cause::from("the retried tasks were cut");
        if let (entries, []) = bytes.as_chunks::<ENTRY_BYTES>() {
            for &[o0, o1, o2, o3, a0, a1, lost, ref finished @ ..] in entries {
                let (ordinal, attempt) = (u32::from_le_bytes([o0, o1, o2, o3]), u16::from_le_bytes([a0, a1]));
                self.insert(ordinal, attempt, lost != 0, i64::from_le_bytes(*finished));
            }
            return Ok(());
        }
        let (&padding, sets) = bytes.split_first().ok_or_else(cut)?;
        if sets.is_empty() || !sets.len().is_multiple_of(ENTRY_BYTES) {
            return Err(cut());
        }
        let mut rest =
            sets.len().checked_sub(usize::from(padding)).map(|end| &sets[..end]).ok_or_else(cut)?;
        while let Some((&[a0, a1, lost, ref tail @ ..], after)) = rest.split_first_chunk::<ENTRY_BYTES>() {
            let [f0, f1, f2, f3, f4, f5, f6, f7, length @ ..] = *tail;
            let finished_s = i64::from_le_bytes([f0, f1, f2, f3, f4, f5, f6, f7]);
            let (bitmap, after) =
                after.split_at_checked(u32::from_le_bytes(length) as usize).ok_or_else(cut)?;
            let kind = Kind { attempt: u16::from_le_bytes([a0, a1]), lost: lost != 0, finished_s };
            *self.0.entry(kind).or_default() |= &PartitionSubset::from_bytes(bitmap)?;
            rest = after;
        }
        if rest.is_empty() { Ok(()) } else { Err(cut()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subset(ordinals: &[u32]) -> PartitionSubset {
        PartitionSubset::from_ordinals(ordinals.iter().copied())
    }

    fn read(bytes: &[u8]) -> Retried {
        let mut retried = Retried::default();
        retried.unite(bytes).expect("bytes of ours");
        retried
    }

    #[test]
    fn what_each_task_has_spent_is_told_by_its_attempts() {
        let mut retried = Retried::default();
        // Task 1 failed, was lost and failed; task 2 was lost twice; task 3 failed once, as task 4 did in the same second.
        for (ordinal, attempt, lost, finished_us) in [
            (1, 1, false, 10_000_000),
            (1, 2, true, 20_000_000),
            (1, 3, false, 30_000_001),
            (2, 1, true, 10_000_000),
            (2, 2, true, 31_000_000),
            (3, 1, false, 10_000_000),
            (4, 1, false, 9_000_001),
            (5, 1, false, 10_000_000),
        ] {
            retried.insert(ordinal, attempt, lost, finished_us);
        }
        retried.settle(&subset(&[5, 6]));
        let attempts: u64 = retried.0.values().map(PartitionSubset::len).sum();
        assert_eq!(attempts, 6, "one of those that a task failed, and every one that it lost");
        let spent = |tasks: &[u32], attempts, losses, last_was_lost, seconds: i64| Spent {
            tasks: subset(tasks),
            attempts,
            losses,
            last_was_lost,
            last_finished_us: seconds * 1_000_000,
        };
        let expected =
            [spent(&[1], 3, 1, false, 31), spent(&[2], 2, 2, true, 31), spent(&[3, 4], 1, 0, false, 10)];
        assert_eq!(read(&retried.to_bytes()).into_spent(), expected);
        assert_eq!(retried.into_spent(), expected);
    }

    #[test]
    fn ten_million_tasks_that_all_failed_are_some_kilobytes() {
        let mut retried = Retried::default();
        // They end in order, about, 50,000 in a second.
        for ordinal in 0..10_000_000_u32 {
            retried.insert(ordinal ^ 7, 1, false, i64::from(ordinal) * 20);
        }
        let bytes = retried.to_bytes();
        assert!(bytes.len() < 200_000, "{}", bytes.len());
        let spent = read(&bytes).into_spent();
        assert_eq!(spent.iter().map(|spent| spent.tasks.len()).sum::<u64>(), 10_000_000);
        assert!(spent.len() <= 201, "{}", spent.len());
    }

    #[test]
    fn bytes_that_were_stored_once_are_read_for_ever() {
        let list = [0x0d, 0xf0, 0xad, 0x0b, 0x02, 0x01, 0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        let mut few = Retried::default();
        few.insert(0x0bad_f00d, 0x0102, true, -1);
        assert_eq!(read(&list), few);
        assert_eq!(read(&[list, list].concat()), few, "facts told twice are told once");

        let many = many();
        let bitmap = [59, 48, 0, 0, 1, 0, 0, 232, 3, 1, 0, 0, 0, 232, 3];
        let stored = [&[0][..], &[2, 1, 1, 7, 0, 0, 0, 0, 0, 0, 0, 15, 0, 0, 0], &bitmap].concat();
        assert_eq!(many.to_bytes(), stored);
        assert_eq!(read(&stored), many);
    }

    #[test]
    fn what_was_cut_is_refused() {
        let bytes = many().to_bytes();
        assert_eq!(bytes.len() % ENTRY_BYTES, 1);
        for length in (1..bytes.len()).filter(|length| !length.is_multiple_of(ENTRY_BYTES)) {
            assert!(Retried::default().unite(&bytes[..length]).is_err(), "{length}");
        }
        assert!(Retried::default().unite(&[1]).is_err());
    }

    /// More than are stored as a list.
    fn many() -> Retried {
        let mut retried = Retried::default();
        (0..=LIST_MAX as u32).for_each(|ordinal| retried.insert(ordinal, 0x0102, true, 6_000_001));
        retried
    }
}
