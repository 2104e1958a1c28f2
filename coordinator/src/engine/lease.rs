//! Who holds what, and what happens when a worker is gone.
//!
//! A worker lists everything that it holds in each heartbeat. What is listed is protected for as long as the
//! worker is heard of; when it falls silent for longer than its lease, its dispatches are lost.
//!
//! | what is known of a lost task | what follows |
//! |---|---|
//! | not started (never announced, or handed back) | ready again; it has spent nothing |
//! | alone in its dispatch, and started | one loss is spent; after [`LOSSES_MAX`] the task failed |
//! | started beside a task that has one loss left | ready again; it has spent nothing |
//! | one of several, and one of them was running | ready again as a suspect: sent alone, with an announced start, so that the next loss shows who was to blame |
//!
//! A worker with many slots takes many tasks down with it, and one of them may be the cause. So a task that has one
//! loss left is *on probation*: it runs while no other suspect does ([`super::dispatch`]), and if its worker dies again, it
//! is the cause and its neighbours are not.
//!
//! A message that the broker delivers twice was in somebody's hands before. The second worker hands it back
//! unexecuted; if the first is alive the copy is ignored, and if its lease is over the dispatch is lost at once. If
//! nobody has listed the dispatch yet, whoever got it first has one lease to do so: the broker may have died right
//! after it delivered, and the worker may execute the task while it connects again.

use backstitch_proto::id::{DispatchId, WorkerId};
use backstitch_proto::message::{Control, Heartbeat, ReturnReason};
use backstitch_proto::partition::PartitionSubset;

use super::mutation::Mutation;
use super::open_dispatch::Holder;
use super::report::attempt_record;
use super::retry::LOSSES_MAX;
use super::{Effect, Engine, Now};
use crate::ledger::AttemptResult;

/// Time between two broadcasts that a run is cancelled, while workers still list its tasks, milliseconds. Otherwise every
/// heartbeat that lists such a task would cause a broadcast to all workers.
const CANCEL_REPEAT_MS: u64 = 5_000;

/// Reports that were sent until now have been read if none was waiting so long ago, milliseconds: three echoes.
const IDLE_MS: u64 = 3_000;

/// How many times longer a message at the broker is waited for while reports wait to be read: they may do so for as long as
/// there is work.
const UNREAD_PERIODS: u64 = 8;

/// What becomes of the tasks of a dispatch that is given up.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// They had not begun, or were asked to stop: they go out again as if nothing had been.
    Spared,
    /// Their worker is gone.
    Lost,
}

impl Engine {
    /// Takes a heartbeat.
    pub fn heartbeat(&mut self, heartbeat: &Heartbeat, now: Now) {
        let worker = heartbeat.worker;
        let heard_ms = self.lease_clock_ms(now);
        let Some(before) = self.fleet.hear(heartbeat, heard_ms, now.wall_us) else { return };
        self.unlist(worker, &before, &heartbeat.held);
        let (told_once, abandon_all) =
            (self.is_sabotaged(Mutation::CancelOnce), self.is_sabotaged(Mutation::AbandonLater));
        for held in &heartbeat.held {
            let Some(open) = self.open_dispatches.get_mut(&held.dispatch) else {
                // A dispatch of a later term is none of ours: a leader that was deposed and does not know it yet must
                // not end the work of its successor. An abandoned dispatch is never reported, so nobody would miss it.
                let is_ours = held.dispatch <= self.last_dispatch && !self.set_aside.contains(&held.dispatch);
                if is_ours || abandon_all {
                    self.note_unwanted(held.dispatch);
                }
                continue;
            };
            // Broadcasts can be lost, and a leader can die between the commit of a cancellation and its broadcast.
            if let Some(run) = self.runs.get_mut(&open.run)
                && run.cancelling
                && !told_once
                && run.cancel_told_ms.is_none_or(|told| now.mono_ms >= told + CANCEL_REPEAT_MS)
            {
                run.cancel_told_ms = Some(now.mono_ms);
                self.effects.push(Effect::Broadcast(Control::CancelRun { run: open.run }));
            }
            match open.holder {
                // A duplicate of the message reached a second worker. The first outcome counts, whoever sends it.
                Holder::Worker(other) if other != worker && self.fleet.contains(other) => {}
                _ => {
                    // The broker had it, whether or not its confirm ever comes.
                    self.unconfirmed.remove(&held.dispatch);
                    open.holder = Holder::Worker(worker);
                    open.started |= held.started;
                    self.note_listed(held.dispatch, now);
                }
            }
        }
    }

    /// Lets delays, leases and claims run out.
    pub(super) fn expire(&mut self, now: Now) {
        self.release_due(now);
        self.release_held(now);
        if self.is_sabotaged(Mutation::NoLease) {
            return;
        }
        let deadline_ms = self.lease_clock_ms(now).saturating_sub(self.options.lease_ms);
        let silent = self.fleet.take_silent(deadline_ms);
        for (worker, last) in silent {
            // One that had drained has ended as it was told to.
            self.statistics.lost_workers += u64::from(!last.draining || !last.held.is_empty());
            // What it had stopped listing is reported: the report waits to be taken, or was lost ([`super::unlisted`]).
            let held = last.held.iter().filter_map(|held| {
                let open = self.open_dispatches.get(&held.dispatch)?;
                let is_cause = open.on_probation && open.started;
                (open.holder == Holder::Worker(worker)).then_some((held.dispatch, is_cause))
            });
            let held: Vec<(DispatchId, bool)> = held.collect();
            let cause_is_known = held.iter().any(|(_, is_cause)| *is_cause);
            for (id, is_cause) in held {
                let fate = if cause_is_known && !is_cause { Fate::Spared } else { Fate::Lost };
                self.give_up(id, fate, now);
            }
        }
        self.give_up_unidentified(deadline_ms, now);
        self.close_unclaimed(now);
        self.republish_unclaimed(now);
    }

    /// A worker gave a dispatch back.
    pub(super) fn returned(&mut self, worker: WorkerId, id: DispatchId, reason: ReturnReason, now: Now) {
        let Some(open) = self.open_dispatches.get(&id) else {
            self.statistics.stale_outcomes += 1;
            return;
        };
        if let Holder::Worker(holder) = open.holder
            && holder != worker
            && self.fleet.contains(holder)
        {
            return;
        }
        match (reason, open.holder) {
            (ReturnReason::NotStarted | ReturnReason::Interrupted, _) => self.give_up(id, Fate::Spared, now),
            (ReturnReason::Redelivered, Holder::Worker(holder)) if holder != worker => {
                self.give_up(id, Fate::Lost, now);
            }
            (ReturnReason::Redelivered, Holder::Unidentified { .. }) => {}
            // Or this worker itself had it, and its report is on its way, or was lost.
            (ReturnReason::Redelivered, Holder::Outbox | Holder::Broker { .. } | Holder::Worker(_)) => {
                self.wait_for_first(id, now);
            }
        }
    }

    /// Gives the first receiver of this dispatch one lease to list it or to report on it.
    fn wait_for_first(&mut self, id: DispatchId, now: Now) {
        let since_ms = self.lease_clock_ms(now);
        let Some(open) = self.open_dispatches.get_mut(&id) else { return };
        open.holder = Holder::Unidentified { since_ms };
        self.unidentified.push_back((since_ms, id));
        // It was delivered, so it was at the broker.
        self.unconfirmed.remove(&id);
    }

    /// Gives up what was delivered before this time to somebody who has not been heard of since.
    fn give_up_unidentified(&mut self, deadline_ms: u64, now: Now) {
        while let Some((since_ms, id)) =
            self.unidentified.pop_front_if(|(since_ms, _)| *since_ms < deadline_ms)
        {
            if self
                .open_dispatches
                .get(&id)
                .is_some_and(|open| open.holder == (Holder::Unidentified { since_ms }))
            {
                self.give_up(id, Fate::Lost, now);
            }
        }
    }

    /// Closes a dispatch of a run that is being cancelled and that nobody executes.
    pub(super) fn close_cancelled(&mut self, id: DispatchId) {
        let Some(open) = self.close(id) else { return };
        let Some(run) = self.runs.get_mut(&open.run) else { return };
        let state = &mut run.assets[open.asset];
        state.in_flight -= &open.remaining;
        state.cancelled |= &open.remaining;
        state.suspects -= &open.remaining;
    }

    pub(super) fn give_up(&mut self, id: DispatchId, fate: Fate, now: Now) {
        let Some(open) = self.open_dispatches.get(&id) else { return };
        let run_id = open.run;
        let Some(run) = self.runs.get(&run_id) else { return };
        if run.cancelling {
            self.close_cancelled(id);
            self.finish_if_done(run_id, now);
            return;
        }
        let Some(open) = self.close(id) else { return };
        let started = open.started || self.is_sabotaged(Mutation::LossBeforeStart);
        let Some(run) = self.runs.get_mut(&run_id) else { return };
        let state = &mut run.assets[open.asset];
        let mut failed = PartitionSubset::default();
        match (fate, open.remaining.first()) {
            (Fate::Lost, Some(task)) if started && open.remaining.len() == 1 => {
                state.in_flight.remove(task);
                state.attempts.increment(task);
                state.losses.increment(task);
                let terminal = state.losses.get(task) >= LOSSES_MAX;
                if terminal {
                    state.suspects.remove(task);
                    state.failed.insert(task);
                    failed.insert(task);
                    self.statistics.failed += 1;
                } else {
                    state.suspects.insert(task);
                    state.ready.insert(task);
                }
                self.statistics.lost_attempts += 1;
                let mut record =
                    attempt_record(run_id, state, &open, id, task, AttemptResult::Lost { terminal });
                record.finished_us = now.wall_us;
                record.worker = match open.holder {
                    Holder::Worker(worker) => Some(worker),
                    Holder::Outbox | Holder::Broker { .. } | Holder::Unidentified { .. } => None,
                };
                self.batch.attempts.push(record);
            }
            (Fate::Lost, _) => {
                state.give_back(&open.remaining);
                state.suspects |= &open.remaining;
            }
            (Fate::Spared, _) => state.give_back(&open.remaining),
        }
        run.skip_downstream(open.asset, failed);
        self.finish_if_done(run_id, now);
    }

    /// Publishes messages again that should long have been taken by a worker with a free slot, or that were taken by one
    /// that is no more. A worker that takes one, executes it and reports it between two heartbeats never lists it: while
    /// reports wait to be read, that is the likelier cause.
    fn republish_unclaimed(&mut self, now: Now) {
        let Some(due_ms) = self.next_unclaimed_ms() else { return };
        let regardless = self.is_sabotaged(Mutation::RepublishDeaf);
        if due_ms > now.mono_ms || (self.is_deaf(now) && !regardless) {
            return;
        }
        let is_read = self.lease_clock.is_none()
            || regardless
            || self.idle_ms.is_some_and(|idle_ms| now.mono_ms.saturating_sub(idle_ms) <= IDLE_MS);
        let periods = if is_read { 1 } else { UNREAD_PERIODS };
        let waits_ms = self.options.unclaimed_ms * periods;
        let is_due = |since_ms: u64| since_ms + waits_ms <= now.mono_ms;
        let idle = |queue: &str| {
            self.fleet.iter().any(|state| {
                let heartbeat = &state.heartbeat;
                !heartbeat.draining
                    && (heartbeat.held.len() as u64) < u64::from(heartbeat.slots)
                    && heartbeat.queues.iter().any(|name| name == queue)
            })
        };
        let mut again = Vec::new();
        for (id, open) in &self.open_dispatches {
            let Holder::Broker { since_ms } = open.holder else { continue };
            let Some(run) = self.runs.get(&open.run) else { continue };
            let queue = &run.assets[open.asset].plan.queue;
            let is_gone = || idle(queue) || self.is_passed(*id, queue, now);
            if is_due(since_ms) && !run.cancelling && is_gone() {
                again.push(*id);
            }
        }
        for id in again {
            self.statistics.republished += 1;
            self.effects.push(Effect::Publish(id));
            self.inherited.remove(id);
            // There is one copy on its way at most, however long the broker takes.
            self.unconfirmed.insert(id);
            if let Some(open) = self.open_dispatches.get_mut(&id) {
                open.holder = Holder::Outbox;
            }
        }
        // Looked at once per period, whether or not there was an idle worker.
        for open in self.open_dispatches.values_mut() {
            if let Holder::Broker { since_ms } = &mut open.holder
                && is_due(*since_ms)
            {
                *since_ms = now.mono_ms;
            }
        }
    }

    /// When the oldest confirmed message that no worker has listed is due to be looked at.
    pub(super) fn next_unclaimed_ms(&self) -> Option<u64> {
        // Dispatch ids grow with time, so the first that is at the broker is close to the oldest.
        let since_ms = self.open_dispatches.values().find_map(|open| match open.holder {
            Holder::Broker { since_ms } => Some(since_ms),
            Holder::Outbox | Holder::Unidentified { .. } | Holder::Worker(_) => None,
        });
        since_ms.map(|since| since + self.options.unclaimed_ms)
    }
}
