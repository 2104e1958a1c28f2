//! ORDER, from history: no task was sent before what it needs had succeeded.
//!
//! A task is sent once the outcomes of what it needs have been taken, and dispatch ids only grow, from leader to leader
//! too. So among the successes of a run, in the order of their dispatches, what a task needs inside its run comes before
//! it. That is a necessary sign and not the whole promise: of a task that was sent too early, while what it needs was
//! already on its way, only the leader could have told.
//!
//! One pass over the successes of a run, with one bitmap per asset: ten million tasks are some megabytes.

use backstitch_proto::id::DispatchId;
use backstitch_proto::partition::PartitionSubset;

use crate::engine::RunPlan;

/// A walk along the successes of one run.
pub(super) struct Walk<'a> {
    plan: &'a RunPlan,
    /// Of each asset the targets whose success has not come yet.
    open: Vec<PartitionSubset>,
    /// The dispatch that came last, and the position of its asset.
    last: (DispatchId, usize),
    /// Tasks of that asset that came without anything in between that they could need.
    tasks: PartitionSubset,
    early: u64,
}

impl<'a> Walk<'a> {
    /// `targets`: one set per asset of the plan.
    pub(super) fn new(plan: &'a RunPlan, targets: impl Iterator<Item = PartitionSubset>) -> Self {
        Self {
            plan,
            open: targets.collect(),
            last: Default::default(),
            tasks: PartitionSubset::default(),
            early: 0,
        }
    }

    /// The next success, in the order of dispatches.
    pub(super) fn succeeded(&mut self, dispatch: DispatchId, asset: usize, task: u32) {
        let (last_dispatch, last_asset) = self.last;
        let joins = asset == last_asset && (dispatch == last_dispatch || !self.needs_itself(asset));
        if !joins {
            self.judge();
        }
        self.last = (dispatch, asset);
        self.tasks.insert(task);
    }

    /// Tasks that were sent before something that they need.
    pub(super) fn early(mut self) -> u64 {
        self.judge();
        self.early
    }

    fn needs_itself(&self, asset: usize) -> bool {
        let plan = self.plan.assets.get(asset);
        plan.is_some_and(|plan| plan.upstreams.iter().any(|edge| edge.index == asset))
    }

    fn judge(&mut self) {
        let (tasks, (_, asset)) = (std::mem::take(&mut self.tasks), self.last);
        let Some(plan) = self.plan.assets.get(asset) else { return };
        let mut early = PartitionSubset::default();
        for edge in &plan.upstreams {
            let Some(open) = self.open.get(edge.index).filter(|open| !open.is_empty()) else { continue };
            let missing = edge.mapper.upstream_of(&tasks).subset.intersection(open);
            if !missing.is_empty() {
                early |= &edge.mapper.downstream_of(&missing).intersection(&tasks);
            }
        }
        self.early += early.len();
        if let Some(open) = self.open.get_mut(asset) {
            *open -= &tasks;
        }
    }
}

#[cfg(test)]
mod tests {
    use backstitch_proto::definition::Definitions;
    use backstitch_proto::id::RunId;
    use uuid::Uuid;

    use super::*;
    use crate::ledger::{PlannedAsset, RunRecord};
    use crate::service::bind;

    const PROJECT: &str = "
assets:
  a: {partitions: {kind: static, keys: [x, y, z]}, command: [x]}
  b: {partitions: {kind: static, keys: [x, y, z]}, command: [x], deps: [a]}
  whole: {command: [x], deps: [b]}
  days:
    partitions: {kind: daily, start: 2024-02-20}
    command: [x]
    deps: [{asset: days, mapping: {kind: time_window, start_offset: -1, end_offset: -1}}]
";

    /// So many tasks of a run over `assets`, of each asset the first ones, were early, if they succeeded like this: number
    /// of the dispatch, position of the asset, task.
    fn early(assets: &[(&str, u32)], successes: &[(u64, usize, u32)]) -> u64 {
        let definitions = Definitions::from_yaml("test.yaml", PROJECT).expect("a valid project");
        let planned = |(asset, targets): &(&str, u32)| PlannedAsset {
            asset: (*asset).into(),
            targets: PartitionSubset::from_range(0..*targets),
        };
        // 2024-03-01: days exist.
        let record = RunRecord::backfill(
            RunId(Uuid::from_u128(1)),
            definitions.fingerprint(),
            1_709_251_200_000_000,
            assets.iter().map(planned).collect(),
        );
        let targets: Vec<_> = record.assets.iter().map(|asset| asset.targets.clone()).collect();
        let plan = bind(&definitions, record).expect("a valid plan");
        let mut walk = Walk::new(&plan, targets.into_iter());
        for (dispatch, asset, task) in successes {
            walk.succeeded(DispatchId(*dispatch), *asset, *task);
        }
        walk.early()
    }

    #[test]
    fn what_was_sent_before_something_that_it_needs_is_early() {
        let assets = [("a", 3), ("b", 3), ("whole", 1)];
        let sound = [(1, 0, 0), (1, 0, 1), (2, 1, 1), (3, 0, 2), (4, 1, 0), (5, 1, 2), (6, 2, 0)];
        assert_eq!(early(&assets, &sound), 0);
        let swapped = [(1, 0, 0), (1, 0, 1), (2, 1, 1), (3, 1, 2), (4, 1, 0), (5, 0, 2), (6, 2, 0)];
        assert_eq!(early(&assets, &swapped), 1, "z of b went before z of a");
        let all_first = [(1, 0, 0), (1, 0, 1), (1, 0, 2), (2, 1, 0), (3, 2, 0), (4, 1, 1), (4, 1, 2)];
        assert_eq!(early(&assets, &all_first), 1, "only one of three was there");
    }

    #[test]
    fn what_is_outside_of_the_run_is_not_waited_for() {
        assert_eq!(early(&[("a", 1), ("b", 3)], &[(1, 1, 2), (2, 0, 0), (3, 1, 0)]), 0);
        assert_eq!(early(&[("b", 3)], &[(1, 0, 2), (2, 0, 0), (3, 0, 1)]), 0);
    }

    #[test]
    fn an_asset_that_needs_itself_is_sent_one_step_at_a_time() {
        assert_eq!(early(&[("days", 4)], &[(1, 0, 0), (2, 0, 1), (3, 0, 2), (4, 0, 3)]), 0);
        assert_eq!(early(&[("days", 4)], &[(1, 0, 0), (1, 0, 1), (2, 0, 2), (3, 0, 3)]), 1);
        assert_eq!(early(&[("days", 4)], &[(1, 0, 0), (2, 0, 2), (3, 0, 1), (4, 0, 3)]), 1);
    }
}
