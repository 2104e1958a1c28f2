//! What happens next when nothing goes wrong by itself: one small thing at a time, each of which can fail.

use std::sync::Arc;

use backstitch_proto::id::DispatchId;
use backstitch_proto::message::{Control, Dispatch, Report};

use super::broker::Delivery;
use super::leader::Unconfirmed;
use super::ledger::violation;
use super::project::{Behaviour, random_plan};
use super::worker::Step;
use super::world::{RUNS_MAX, World, run_number};
use crate::engine::{Effect, Engine, Violation};

/// No window is larger than this many dispatches per live slot: BOUND.
const WINDOW_PER_SLOT_MAX: u64 = 512;

impl World {
    /// One step of somebody.
    pub(super) fn happen(&mut self) {
        match self.rng.below(100) {
            n if n < self.submits && self.runs_made < RUNS_MAX => self.submit(),
            0..12 => self.seal(),
            12..24 => self.commit(),
            24..36 => self.perform(),
            36..44 => self.confirm(),
            44..56 => self.deliver_task(),
            56..78 => self.work(),
            78..83 => self.send_heartbeat(),
            83..86 => self.take_heartbeat(),
            86..95 => self.take_report(),
            _ => self.pass_time(),
        }
        if self.calm && self.runs_made < RUNS_MAX {
            self.submit();
        }
    }

    fn submit(&mut self) {
        self.runs_made += 1;
        let (plan, json) = random_plan(&mut self.rng, self.runs_made, self.now.wall_us);
        let number = self.runs_made;
        self.note(|| {
            let assets =
                plan.record.assets.iter().map(|asset| format!("{} x{}", asset.asset, asset.targets.len()));
            format!("run {number} is submitted: {}", assets.collect::<Vec<_>>().join(", "))
        });
        self.ledger.pin(&plan);
        self.leader.engine_mut().submit(plan, json, self.now);
    }

    pub(super) fn seal(&mut self) {
        if self.leader.committing.is_some() {
            return;
        }
        let sealed = self.leader.engine_mut().seal(self.now);
        let leader = &mut self.leader;
        leader.sealed_whole = true;
        leader.sealed.append(&mut leader.unsealed);
        let Some(sealed) = sealed else {
            // Reports that changed nothing are acknowledged at once.
            leader.sealed.clear();
            return;
        };
        let (epoch, batch) = (leader.epoch, &sealed.batch);
        let (attempts, dispatches) = (batch.attempts.len(), batch.dispatches.len());
        let (closed, changes) = (batch.closed.len(), batch.changes.len());
        self.note(|| {
            format!("leader {epoch} seals {attempts} attempts, {dispatches} dispatches, {closed} closed, {changes} changes")
        });
        let published = sealed.effects.iter().filter_map(|effect| match effect {
            Effect::Publish(id) => Some(*id),
            Effect::Broadcast(_) | Effect::Finished { .. } => None,
        });
        let newest = published.max().unwrap_or_default();
        if newest > self.leader.newest {
            self.leader.newest = newest;
            check_bound(self.leader.engine(), &mut self.violations);
        }
        if sealed.batch.is_empty() {
            // Nothing to be made durable, so nothing to wait for, and nobody who asks for the epoch.
            self.leader.sealed.clear();
            self.leader.owed.extend(sealed.effects);
        } else {
            self.leader.committing = Some(sealed);
        }
    }

    pub(super) fn commit(&mut self) {
        let Some(sealed) = self.leader.committing.take() else { return };
        let epoch = self.leader.epoch;
        if self.happens(self.faults.failed_commit) {
            self.note(|| format!("leader {epoch}: the commit fails"));
            self.leader.committing = Some(sealed);
            return;
        }
        if self.ledger.commit(epoch, &sealed.batch, &mut self.violations).is_err() {
            self.note(|| format!("leader {epoch} learns that it was deposed"));
            self.leader.deposed = true;
            return;
        }
        if self.happens(self.faults.ambiguous_commit) {
            self.note(|| format!("leader {epoch}: the commit happens, and is reported as failed"));
            self.leader.committing = Some(sealed);
            return;
        }
        self.note(|| format!("leader {epoch}: committed"));
        self.leader.sealed.clear();
        self.leader.owed.extend(sealed.effects);
        if self.leader.sealed_whole {
            self.ledger.check_counts(self.leader.engine(), &mut self.violations);
        }
    }

    /// One effect of the batch that was committed.
    pub(super) fn perform(&mut self) {
        let Some(effect) = self.leader.owed.pop_front() else { return };
        match effect {
            Effect::Publish(id) => {
                let message = self.leader.engine().message(id).map(|(_, dispatch)| Arc::new(dispatch));
                match message {
                    Some(dispatch) => self.publish(dispatch),
                    None => self.leader.engine_mut().confirmed(id, self.now),
                }
            }
            Effect::Broadcast(control) => {
                self.note(|| format!("broadcast {control:?}"));
                if let Control::Abandon { dispatches } = &control {
                    self.ledger.check_abandoned(dispatches, &mut self.violations);
                }
                for at in 0..self.workers.len() {
                    // Nobody waits for a confirm of a broadcast, and nobody keeps it for whoever is away.
                    if !self.happens(self.faults.loss * 3) {
                        self.workers[at].inbox.push(control.clone());
                    }
                }
            }
            Effect::Finished { run, status } => {
                self.note(|| format!("run {} ended: {status:?}", run_number(run)));
            }
        }
    }

    fn publish(&mut self, dispatch: Arc<Dispatch>) {
        let arrived = !self.happens(self.faults.loss);
        let epoch = self.leader.epoch;
        self.note(|| {
            let (id, asset, tasks) = (dispatch.id, &dispatch.asset, dispatch.tasks.len());
            let lost = if arrived { "" } else { "; the message is lost" };
            format!("leader {epoch} publishes {id}: run {}, {asset} x{tasks}{lost}", run_number(dispatch.run))
        });
        let copies = u32::from(arrived) + u32::from(arrived && self.happens(self.faults.duplicate));
        for _ in 0..copies {
            let due_ms = self.arrival_ms();
            self.broker.tasks.put(due_ms, Delivery { dispatch: Arc::clone(&dispatch), redelivered: false });
        }
        self.leader.unconfirmed.push(Unconfirmed { dispatch, arrived });
    }

    pub(super) fn confirm(&mut self) {
        if self.leader.unconfirmed.is_empty() {
            return;
        }
        let at = self.rng.index(self.leader.unconfirmed.len());
        let id = self.leader.unconfirmed_id(at);
        if !self.leader.unconfirmed[at].arrived || self.happens(self.faults.lost_confirm) {
            self.note(|| format!("no confirm of {id} comes"));
            let unconfirmed = self.leader.unconfirmed.swap_remove(at);
            self.publish(unconfirmed.dispatch);
            return;
        }
        if !self.happens(self.faults.duplicate_confirm) {
            self.leader.unconfirmed.swap_remove(at);
        }
        self.note(|| format!("{id} is confirmed"));
        self.leader.engine_mut().confirmed(id, self.now);
    }

    fn deliver_task(&mut self) {
        let to = self.rng.index(self.workers.len());
        if self.is_frozen(to) || !self.workers[to].has_room() {
            return;
        }
        let Some(delivery) = self.broker.tasks.take(&mut self.rng, self.now.mono_ms) else { return };
        let (id, number) = (delivery.dispatch.id, self.workers[to].number);
        if self.happens(self.faults.broken_promise) {
            self.note(|| format!("the broker loses {id}, which it had confirmed"));
            return;
        }
        let again = if delivery.redelivered { " again" } else { "" };
        self.note(|| format!("{id} is delivered{again} to worker {number}"));
        let Some(report) = self.workers[to].receive(&delivery) else { return };
        if !self.send_report(to, report) {
            // Not acknowledged before it is confirmed, so it comes again.
            self.broker.tasks.put(self.now.mono_ms, delivery);
        }
    }

    fn work(&mut self) {
        let at = self.rng.index(self.workers.len());
        if self.is_frozen(at) {
            return;
        }
        self.workers[at].obey(self.now.wall_us);
        let held = &self.workers[at].held;
        if held.is_empty() {
            return;
        }
        let nth = self.rng.index(held.len());
        let Some(id) = held.keys().nth(nth).copied() else { return };
        let (faults, calm, eager) = (self.faults, self.calm, self.rng.permille(500));
        let ledger = &self.ledger;
        let nature = |dispatch: &Dispatch, task| {
            let cancelled = || ledger.runs.get(&dispatch.run).is_some_and(|run| run.cancel_requested);
            match Behaviour::of(&faults, dispatch.run, &dispatch.asset, task) {
                Behaviour::Hangs if calm && !cancelled() => Behaviour::Succeeds,
                nature => nature,
            }
        };
        let step = self.workers[at].step(id, self.now.wall_us, eager, nature);
        let worker = self.workers[at].number;
        match step {
            Step::Nothing => {}
            Step::Began { dispatch, task } => {
                self.note(|| format!("worker {worker} begins {id}: {} task {task}", dispatch.asset));
                self.ledger.check_order(dispatch.run, &dispatch.asset, task, &mut self.violations);
            }
            Step::Ended { task } => self.note(|| format!("worker {worker} has ended task {task} of {id}")),
            Step::Reports(report) => _ = self.send_report(at, report),
            Step::Settled => self.note(|| format!("worker {worker} has settled {id}")),
            Step::Died => self.poisoned(at, id),
        }
    }

    fn poisoned(&mut self, at: usize, id: DispatchId) {
        self.note(|| format!("a task of {id} kills its worker"));
        self.crash_worker(at);
    }

    /// Sends a report; true once the worker knows that it arrived. Without that knowledge it sends it again.
    pub(super) fn send_report(&mut self, at: usize, report: Report) -> bool {
        let worker = self.workers[at].number;
        let lost = self.happens(self.faults.loss);
        let unknown = lost || self.happens(self.faults.lost_confirm);
        self.note(|| {
            let fate = if lost { "; it is lost" } else { "" };
            format!("worker {worker} reports {}{fate}", summary(&report))
        });
        if !unknown {
            self.workers[at].confirmed(&report);
        }
        if !lost {
            let due_ms = self.arrival_ms();
            if self.happens(self.faults.duplicate) {
                self.broker.reports.put(self.now.mono_ms, report.clone());
            }
            self.broker.reports.put(due_ms, report);
        }
        !unknown
    }

    pub(super) fn send_heartbeat(&mut self) {
        let at = self.rng.index(self.workers.len());
        if self.is_frozen(at) || self.happens(self.faults.loss) {
            return;
        }
        let heartbeat = self.workers[at].heartbeat();
        let due_ms = self.arrival_ms();
        if self.happens(self.faults.duplicate) {
            self.broker.heartbeats.put(self.now.mono_ms, heartbeat.clone());
        }
        self.broker.heartbeats.put(due_ms, heartbeat);
        let rng = &mut self.rng;
        self.workers[at].hand_over(|| rng.permille(300));
    }

    pub(super) fn take_heartbeat(&mut self) {
        let taken = self.broker.heartbeats.take(&mut self.rng, self.now.mono_ms);
        if let Some(heartbeat) = taken {
            self.leader.engine_mut().heartbeat(&heartbeat, self.now);
        }
    }

    pub(super) fn take_report(&mut self) {
        let taken = self.broker.reports.take(&mut self.rng, self.now.mono_ms);
        if let Some(report) = taken {
            let epoch = self.leader.epoch;
            if self.happens(self.faults.broken_promise * 5) {
                return self.note(|| {
                    format!("the broker loses the report of {}, which it had confirmed", summary(&report))
                });
            }
            if self.leader.engine().is_outlived_by(&report) {
                self.note(|| format!("leader {epoch} learns from {} that it was deposed", summary(&report)));
                self.leader.deposed = true;
                return self.broker.reports.put(self.now.mono_ms, report);
            }
            self.note(|| format!("leader {epoch} takes the report of {}", summary(&report)));
            self.leader.engine_mut().report(report.clone(), self.now);
            self.leader.unsealed.push(report);
        }
    }

    fn pass_time(&mut self) {
        let passed_ms = 1 + self.rng.below(if self.calm { 1_000 } else { 3_000 });
        self.now.mono_ms += passed_ms;
        self.now.wall_us += passed_ms as i64 * 1_000;
        // Live workers send a heartbeat every two seconds; it would be unfair to let them starve.
        for at in 0..self.workers.len() {
            if !self.is_frozen(at) && !self.happens(self.faults.loss) {
                let heartbeat = self.workers[at].heartbeat();
                // Two who believe that they lead take from the same queue.
                let reader = match &mut self.stale {
                    Some(stale) if self.rng.permille(500) => stale,
                    _ => &mut self.leader,
                };
                reader.engine_mut().heartbeat(&heartbeat, self.now);
            }
        }
        if self.broker.reports.is_empty() {
            self.leader.engine_mut().intake_is_idle(self.now);
        }
    }

    fn is_frozen(&self, at: usize) -> bool {
        !self.calm && self.workers[at].frozen_until_ms > self.now.mono_ms
    }
}

/// BOUND: what is at the broker follows the live slots.
fn check_bound(engine: &Engine, found: &mut Vec<Violation>) {
    let slots: u64 = engine.workers().map(|worker| u64::from(worker.heartbeat.slots)).sum();
    let flying = engine.dispatches_in_flight() as u64;
    if flying > slots * WINDOW_PER_SLOT_MAX {
        found.push(violation("BOUND", format!("{flying} dispatches in flight for {slots} slots")));
    }
}

fn summary(report: &Report) -> String {
    use backstitch_proto::message::DispatchReport::{Outcomes, Returned, Started};
    let of_each = report.dispatches.iter().map(|news| match news {
        Started { dispatch } => format!("{dispatch} started"),
        Outcomes { dispatch, outcomes, .. } => format!("{dispatch} x{}", outcomes.len()),
        Returned { dispatch, reason } => format!("{dispatch} back ({reason:?})"),
    });
    of_each.collect::<Vec<_>>().join(", ")
}
