//! From the ledger back to a running engine. Nothing else is remembered.

use std::collections::BTreeMap;

use backstitch_proto::id::{Epoch, RunId};
use backstitch_proto::message::Control;

use super::mutation::Mutation;
use super::open_dispatch::{Holder, OpenDispatch};
use super::plan::RunPlan;
use super::retry::{PROBATION_LOSSES, jitter_chance};
use super::run::RunState;
use super::watermark::Watermark;
use super::{Effect, Engine, Now, Options};
use crate::ledger::{DispatchRecord, LiveAsset, LiveRun, LiveState};

impl Engine {
    /// The engine of a new term.
    ///
    /// `plans` holds the plan of every live run; a run without one stays out of the engine. `broker_remembers`:
    /// confirmed messages outlive the coordinator's process, so only unconfirmed ones are published again.
    pub fn recover(
        epoch: Epoch,
        options: Options,
        live: LiveState,
        mut plans: BTreeMap<RunId, RunPlan>,
        broker_remembers: bool,
        now: Now,
    ) -> Self {
        let mut engine = Self::new(epoch, options);
        engine.watermark = Watermark::new(live.confirmed_through, now.mono_ms);
        for live in live.runs {
            if let Some(plan) = plans.remove(&live.record.id) {
                engine.recover_run(live, plan, now);
            }
        }
        for record in live.dispatches {
            let confirmed = broker_remembers && record.id <= live.confirmed_through;
            let (id, run) = (record.id, record.run);
            engine.recover_dispatch(record, confirmed, now);
            if engine.unconfirmed.contains(&id) {
                match broker_remembers {
                    true => engine.mark_in_doubt(id),
                    // It went with the last process, and so did every worker.
                    false if engine.is_wanted(run) => engine.effects.push(Effect::Publish(id)),
                    false => {}
                }
            }
        }
        let ids: Vec<RunId> = engine.runs.keys().copied().collect();
        for id in ids {
            if let Some(run) = engine.runs.get_mut(&id) {
                for state in &mut run.assets {
                    // Waiting so far means: neither terminal nor delayed nor in a dispatch.
                    state.waiting -= &state.in_flight;
                }
                run.allowed_beyond_bound = run.open_dispatches;
                run.settle();
                if run.cancelling {
                    run.cancel_idle();
                    // Live workers list what they hold well within a lease.
                    let claims_ms = if broker_remembers { engine.options.lease_ms } else { 0 };
                    engine.cancelled.insert(id, now.mono_ms + claims_ms);
                }
            }
            // Not before the dispatches are known: what they carry is not waiting.
            engine.hold(id, now);
            engine.finish_if_done(id, now);
        }
        engine.allow_in_flight(|_| true);
        // Workers answer with what they hold; until then their leases run from now.
        engine.effects.insert(0, Effect::Broadcast(Control::Announce { epoch }));
        engine
    }

    fn recover_run(&mut self, live: LiveRun, plan: RunPlan, now: Now) {
        let id = live.record.id;
        let mut run = RunState::new(self.sabotage_plan(plan));
        run.paused = live.paused && !self.is_sabotaged(Mutation::PauseForgotten);
        run.cancelling = live.cancel_requested;
        for (index, (state, asset)) in run.assets.iter_mut().zip(live.assets).enumerate() {
            let LiveAsset { succeeded, failed, cancelled, spent } = asset;
            for set in [&succeeded, &failed, &cancelled] {
                state.waiting -= set;
            }
            (state.succeeded, state.failed, state.cancelled) = (succeeded, failed, cancelled);
            for spent in spent {
                state.attempts.restore(&spent.tasks, spent.attempts);
                state.losses.restore(&spent.tasks, spent.losses);
                if spent.losses > 0 && !self.is_sabotaged(Mutation::SuspectsForgotten) {
                    state.suspects |= &spent.tasks;
                }
                let failures = u32::from(spent.attempts.saturating_sub(spent.losses));
                // The last attempts were dispatched again since, or will be when their delays are over.
                let waited_ms = now.wall_us.saturating_sub(spent.last_finished_us).max(0) as u64 / 1_000;
                if failures == 0 || spent.last_was_lost || self.is_sabotaged(Mutation::DelaysForgotten) {
                    continue;
                }
                for task in spent.tasks.iter() {
                    let chance = jitter_chance(id, index, task, spent.attempts);
                    // A delay is at most 366 days.
                    let delay_ms = state.plan.retry.delay_before(failures, chance).as_millis() as u64;
                    if delay_ms > waited_ms && state.waiting.remove(task) {
                        state.delayed.insert(task);
                        self.delays.insert(id, index, task, delay_ms - waited_ms, now);
                    }
                }
            }
        }
        self.runs.insert(id, run);
    }

    fn recover_dispatch(&mut self, record: DispatchRecord, confirmed: bool, now: Now) {
        let index = usize::from(record.asset_index);
        let Some(run) = self.runs.get_mut(&record.run).filter(|run| index < run.assets.len()) else {
            self.batch.closed.push(record.id);
            return;
        };
        let state = &mut run.assets[index];
        let mut remaining = record.ordinals;
        for ended in [&state.succeeded, &state.failed, &state.cancelled] {
            remaining -= ended;
        }
        // A task with a later attempt on record has left this dispatch behind.
        let left: Vec<u32> =
            remaining.iter().filter(|task| state.attempts.get(*task) >= record.attempt).collect();
        for task in left {
            remaining.remove(task);
        }
        remaining -= &state.in_flight;
        if remaining.is_empty() {
            self.batch.closed.push(record.id);
            return;
        }
        if state.delayed.intersects(&remaining) {
            // Its delay seems not to be over, because a clock jumped; it was when this was sent.
            self.delays.remove(record.run, index, &remaining);
            state.delayed -= &remaining;
        }
        state.in_flight |= &remaining;
        let holder = if confirmed {
            // Who held it does not count from the start: if that worker died before this leader could hear it, nobody
            // else will tell. Live workers list what they hold well within a lease.
            self.inherited.insert(record.id);
            let heard_by_ms = now.mono_ms + self.options.lease_ms;
            Holder::Broker { since_ms: heard_by_ms.saturating_sub(self.options.unclaimed_ms) }
        } else {
            self.unconfirmed.insert(record.id);
            Holder::Outbox
        };
        let on_probation = remaining.first().is_some_and(|task| state.losses.get(task) >= PROBATION_LOSSES);
        let open = OpenDispatch {
            run: record.run,
            asset: index,
            attempt: record.attempt,
            announce_start: record.announce_start,
            on_probation,
            remaining,
            started: false,
            has_outcome: false,
            holder,
            created_us: record.created_us,
        };
        self.open(record.id, open);
    }
}
