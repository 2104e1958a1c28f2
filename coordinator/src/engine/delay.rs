//! Failed tasks that wait before they are tried again.
//!
//! Tasks of one asset that are due at about the same time wait in one bitmap. Times are rounded up to a grain that grows
//! with the delay, so that a task waits at most a thirtieth longer than its policy says, or an eighth of a second, and
//! never less; and an asset has some hundreds of bitmaps at most, however many of its tasks wait, and whether they
//! failed under this leader or an earlier one.

use std::collections::BTreeMap;

use backstitch_proto::id::RunId;
use backstitch_proto::partition::PartitionSubset;

use super::{Engine, Now};

/// The finest grain, milliseconds: nobody notices it beside the time that a failed task takes to go out again.
const GRAIN_MIN_MS: u64 = 128;

/// The grain is smaller than this part of the delay.
const GRAINS_PER_DELAY: u64 = 32;

/// Tasks that wait, by the time at which they become ready again.
#[derive(Clone, Debug, Default)]
pub(super) struct Delays(BTreeMap<(u64, RunId, usize), PartitionSubset>);

impl Delays {
    /// `task` waits for `delay_ms` from now on.
    pub(super) fn insert(&mut self, run: RunId, asset: usize, task: u32, delay_ms: u64, now: Now) {
        let due_ms = round_up(now.mono_ms + delay_ms, delay_ms);
        self.0.entry((due_ms, run, asset)).or_default().insert(task);
    }

    /// These wait no longer: they are in a dispatch. What was left here would end a later delay of theirs.
    pub(super) fn remove(&mut self, run: RunId, asset: usize, tasks: &PartitionSubset) {
        self.0.retain(|(_, of_run, of_asset), waiting| {
            if (*of_run, *of_asset) == (run, asset) {
                *waiting -= tasks;
            }
            !waiting.is_empty()
        });
    }

    /// When the first is due, milliseconds of the engine's clock.
    pub(super) fn next_ms(&self) -> Option<u64> {
        self.0.keys().next().map(|(due_ms, ..)| *due_ms)
    }

    fn pop_due(&mut self, now_ms: u64) -> Option<(RunId, usize, PartitionSubset)> {
        let first = self.0.first_entry().filter(|first| first.key().0 <= now_ms)?;
        let ((_, run, asset), tasks) = first.remove_entry();
        Some((run, asset, tasks))
    }
}

/// The end of a delay, rounded up to a time that it shares with delays of about its length.
fn round_up(due_ms: u64, delay_ms: u64) -> u64 {
    if delay_ms == 0 {
        return due_ms;
    }
    // A power of two between a sixty-fourth and a thirty-second of the delay.
    let grain_ms = (delay_ms / (2 * GRAINS_PER_DELAY)).next_power_of_two().max(GRAIN_MIN_MS);
    due_ms.next_multiple_of(grain_ms)
}

impl Engine {
    /// Makes the tasks ready whose delay is over.
    pub(super) fn release_due(&mut self, now: Now) {
        while let Some((run, asset, mut tasks)) = self.delays.pop_due(now.mono_ms) {
            // The run may have ended or been cancelled while the tasks were delayed.
            let Some(run) = self.runs.get_mut(&run) else { continue };
            let state = &mut run.assets[asset];
            tasks &= &state.delayed;
            state.delayed -= &tasks;
            state.ready |= &tasks;
        }
    }
}

#[cfg(test)]
mod tests {
    use backstitch_proto::definition::Definitions;
    use backstitch_proto::id::{DispatchId, Epoch};

    use super::*;
    use crate::engine::Options;
    use crate::ledger::{LiveAsset, LiveRun, LiveState, PlannedAsset, RunRecord, Spent};
    use crate::service::bind;

    #[test]
    fn a_delay_is_never_shorter_and_at_most_a_thirtieth_or_an_eighth_of_a_second_longer() {
        for delay_ms in [0, 1, 100, 1_000, 60_000, 3_600_000, 366 * 86_400_000] {
            for now_ms in [0, 1, 12_345, 987_654_321] {
                let due_ms = round_up(now_ms + delay_ms, delay_ms);
                let longer_ms = due_ms.checked_sub(now_ms + delay_ms).expect("never shorter");
                assert!(longer_ms < GRAIN_MIN_MS.max(delay_ms / 30), "{delay_ms} from {now_ms}: {longer_ms}");
                assert!(delay_ms > 0 || longer_ms == 0, "no delay is none");
            }
        }
    }

    #[test]
    fn a_million_tasks_that_wait_for_up_to_an_hour_are_some_hundred_bitmaps() {
        let mut delays = Delays::default();
        let run = RunId(uuid::Uuid::from_u128(1));
        for task in 0..1_000_000 {
            // Every millisecond of an hour, in no order.
            let delay_ms = u64::from(task).wrapping_mul(2_654_435_761) % 3_600_000;
            delays.insert(run, 0, task, delay_ms, Now::default());
        }
        assert!(delays.0.len() < 500, "{}", delays.0.len());
        assert_eq!(delays.0.values().map(PartitionSubset::len).sum::<u64>(), 1_000_000);
    }

    #[test]
    fn tasks_that_wait_are_as_few_bitmaps_for_a_new_leader() {
        const TASKS: u32 = 10_000;
        let text = "assets: {plain: {command: [x], retries: {max_retries: 3, delay: 1h}, partitions: {kind: cron, \
                    cron: '* * * * *', start: '1970-01-01T00:00:00Z', end: '1970-01-07T22:40:00Z'}}}";
        let definitions = Definitions::from_yaml("test.yaml", text).expect("a valid project");
        let assets =
            vec![PlannedAsset { asset: "plain".into(), targets: PartitionSubset::from_range(0..TASKS) }];
        let id = RunId(uuid::Uuid::from_u128(1));
        let record = RunRecord::backfill(id, definitions.fingerprint(), 0, assets);
        // One failed every tenth of a second.
        let spent = |ordinal| Spent {
            tasks: PartitionSubset::from_ordinals([ordinal]),
            attempts: 1,
            losses: 0,
            last_was_lost: false,
            last_finished_us: i64::from(ordinal) * 100_000,
        };
        let assets = vec![LiveAsset { spent: (0..TASKS).map(spent).collect(), ..LiveAsset::default() }];
        let run = LiveRun { record: record.clone(), paused: false, cancel_requested: false, assets };
        let live =
            LiveState { runs: vec![run], dispatches: Vec::new(), confirmed_through: DispatchId::default() };
        let plans = BTreeMap::from([(id, bind(&definitions, record).expect("a valid plan"))]);
        let now = Now { mono_ms: 0, wall_us: 1_000_000_000 };
        let engine = Engine::recover(Epoch(2), Options::default(), live, plans, true, now);
        assert_eq!(engine.delays.0.values().map(PartitionSubset::len).sum::<u64>(), u64::from(TASKS));
        assert!(engine.delays.0.len() < 100, "{}", engine.delays.0.len());
    }
}
