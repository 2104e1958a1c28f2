//! How often something happened to each task, without a number per task.

use backstitch_proto::partition::PartitionSubset;

/// A counter per task as a stack of bitmaps: level `n` holds the tasks that counted `n + 1` or more.
///
/// Nearly all tasks of a run never fail, and those that do fail seldom more than a few times, so this costs
/// nothing where a number per task would cost megabytes for every million.
#[derive(Clone, Debug, Default)]
pub(super) struct Levels(Vec<PartitionSubset>);

impl Levels {
    /// How often `task` counted.
    pub(super) fn get(&self, task: u32) -> u16 {
        // Budgets are u16, so there are never more levels than that.
        self.0.iter().take_while(|level| level.contains(task)).count() as u16
    }

    /// Counts `task` once more.
    pub(super) fn increment(&mut self, task: u32) {
        for level in &mut self.0 {
            if level.insert(task) {
                return;
            }
        }
        self.0.push(PartitionSubset::from_ordinals([task]));
    }

    /// Sets the count of `tasks`, which must not have counted before.
    pub(super) fn restore(&mut self, tasks: &PartitionSubset, count: u16) {
        let count = usize::from(count);
        self.0.resize_with(self.0.len().max(count), PartitionSubset::default);
        self.0[..count].iter_mut().for_each(|level| *level |= tasks);
    }

    /// Those of `tasks` that counted exactly as often as `like`.
    pub(super) fn same_as(&self, tasks: &PartitionSubset, like: u32) -> PartitionSubset {
        let mut same = tasks.clone();
        for level in &self.0 {
            if level.contains(like) {
                same &= level;
            } else {
                // Levels are nested: nobody in a deeper one is missing here.
                same -= level;
                break;
            }
        }
        same
    }

    /// Those that counted at all.
    pub(super) fn counted(&self) -> PartitionSubset {
        self.0.first().cloned().unwrap_or_default()
    }

    /// Those that counted at least `count` times, which is at least 1.
    pub(super) fn at_least(&self, count: u16) -> Option<&PartitionSubset> {
        self.0.get(usize::from(count) - 1)
    }

    /// Nobody has counted.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_told_apart_by_how_often_they_counted() {
        let mut levels = Levels::default();
        levels.restore(&PartitionSubset::from_ordinals([1]), 1);
        levels.restore(&PartitionSubset::from_ordinals([2]), 2);
        levels.increment(1);
        levels.increment(3);
        assert_eq!([0, 1, 2, 3].map(|task| levels.get(task)), [0, 2, 2, 1]);
        let twice = levels.at_least(2).map(|level| level.iter().collect::<Vec<_>>());
        assert_eq!((twice, levels.at_least(3).is_none()), (Some(vec![1, 2]), true));
        let all = PartitionSubset::from_ordinals(0..4);
        let same = |like| levels.same_as(&all, like).iter().collect::<Vec<_>>();
        assert_eq!(same(0), [0]);
        assert_eq!(same(1), [1, 2]);
        assert_eq!(same(3), [3]);
    }
}
