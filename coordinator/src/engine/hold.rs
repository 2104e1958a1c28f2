//! Tasks that wait for upstream partitions to exist.
//!
//! A window begins to exist at an instant that is known when the run is planned, so nothing is polled: the engine
//! holds the task until then. Wall clocks are set and machines sleep, so the instant is compared with the wall clock,
//! at its own time and at least once a minute.

use super::plan::Held;
use super::{Engine, Now, RunId};

/// Longest time between two looks at the wall clock. A window that came to exist because the clock was set, or while
/// the machine slept, is noticed this much later at worst; one look costs nothing.
const LOOK_AGAIN_MS: u64 = 60_000;

impl Engine {
    /// Begins to hold what the plan of a run says, less what is over already.
    pub(super) fn hold(&mut self, id: RunId, now: Now) {
        let Some(run) = self.runs.get(&id) else { return };
        let holds: Vec<_> = run
            .assets
            .iter()
            .enumerate()
            .flat_map(|(asset, state)| state.plan.held.iter().map(move |held| (id, asset, held.clone())))
            .collect();
        self.look_at(holds, now);
    }

    /// Lets go of what has been held long enough.
    pub(super) fn release_held(&mut self, now: Now) {
        while let Some(entry) = self.holds.first_entry() {
            if *entry.key() > now.mono_ms {
                return;
            }
            let holds = entry.remove();
            self.look_at(holds, now);
        }
    }

    fn look_at(&mut self, holds: Vec<(RunId, usize, Held)>, now: Now) {
        for (id, asset, held) in holds {
            // The run may have ended, or the tasks may have been cancelled, in the meantime.
            let Some(run) = self.runs.get_mut(&id) else { continue };
            let left_us = held.until_us.saturating_sub(now.wall_us);
            if left_us <= 0 {
                run.release_held(asset, &held.tasks);
            } else if run.assets[asset].waiting.intersects(&held.tasks) {
                // Rounded up: a millisecond early would be one more look.
                let left_ms = left_us.unsigned_abs().div_ceil(1_000).min(LOOK_AGAIN_MS);
                self.holds.entry(now.mono_ms + left_ms).or_default().push((id, asset, held));
            }
        }
    }
}
