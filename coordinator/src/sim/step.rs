//! What happens next when nothing goes wrong by itself: one small thing at a time, each of which can fail.

use std::sync::Arc;

use backstitch_proto::id::DispatchId;
use backstitch_proto::message::{Control, Dispatch};

use super::broker::Delivery;
use super::happened::Mishap;
use super::leader::Unconfirmed;
use super::ledger::Deposed;
use super::project::{Behaviour, random_plan};
use super::user::Wish;
use super::worker::Step;
use super::world::{RUNS_MAX, World, run_number};
use crate::engine::{Effect, Sealed};

impl World {
    /// One step of somebody.
    pub(super) fn happen(&mut self) {
        self.open_broker_in_time();
        self.end_standstills_in_time();
        if (self.is_closed() || self.leader_stands_still()) && self.rng.permille(300) {
            // Little else happens meanwhile.
            self.pass_time();
        }
        match self.rng.below(100) {
            // These are up to the leader.
            0..44 | 83..95 if self.leader_stands_still() => {}
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
        self.wishes.insert(plan.record.id, Wish::new(&plan.record));
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
        leader.asked_sealed = std::mem::take(&mut leader.asked);
        leader.sealed_ms = self.now.mono_ms;
        let Some(sealed) = sealed else {
            // Reports and requests that changed nothing are acknowledged at once.
            leader.sealed.clear();
            self.acknowledge();
            return;
        };
        let (epoch, batch) = (leader.epoch, &sealed.batch);
        let (attempts, dispatches) = (batch.attempts.len(), batch.dispatches.len());
        let (closed, changes) = (batch.closed.len(), batch.changes.len());
        self.note(|| {
            format!("leader {epoch} seals {attempts} attempts, {dispatches} dispatches, {closed} closed, {changes} changes")
        });
        for effect in &sealed.effects {
            // The broker has been so slow that its silence looks like a loss: nobody had the message until just now.
            if let Effect::Publish(id) = effect
                && (self.witness.is_delivered_at(*id, self.now.mono_ms)
                    || self.broker.tasks.iter().any(|delivery| delivery.is_first(*id)))
            {
                self.witness.copy(*id);
            }
        }
        if sealed.batch.is_empty() {
            // Nothing to be made durable, so nothing to wait for, and nobody who asks for the epoch.
            self.leader.sealed.clear();
            self.leader.owed.extend(sealed.effects);
            self.acknowledge();
        } else {
            self.leader.committing = Some(sealed);
        }
    }

    pub(super) fn commit(&mut self) {
        let Some(sealed) = self.leader.committing.take() else { return };
        let epoch = self.leader.epoch;
        if self.befalls(Mishap::FailedCommit, self.faults.failed_commit) {
            self.note(|| format!("leader {epoch}: the commit fails"));
            self.leader.committing = Some(sealed);
            return;
        }
        if self.write(&sealed).is_err() {
            self.note(|| format!("leader {epoch} learns that it was deposed"));
            self.leader.deposed = true;
            return;
        }
        if self.befalls(Mishap::AmbiguousCommit, self.faults.ambiguous_commit) {
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

    /// One transaction, and everything that can be checked when it is durable.
    pub(super) fn write(&mut self, sealed: &Sealed) -> Result<(), Deposed> {
        self.ledger.commit(self.leader.epoch, &sealed.batch, &mut self.violations)?;
        self.acknowledge();
        self.check_wishes(&sealed.batch);
        self.check_spending(&sealed.batch);
        self.check_window(&sealed.batch);
        Ok(())
    }

    /// One effect of the batch that was committed.
    pub(super) fn perform(&mut self) {
        if self.is_closed() {
            return;
        }
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
                    self.tell(at, &control);
                }
            }
            Effect::Finished { run, status } => {
                self.note(|| format!("run {} ended: {status:?}", run_number(run)));
            }
        }
    }

    fn publish(&mut self, dispatch: Arc<Dispatch>) {
        self.ledger.check_published(&dispatch, &mut self.violations);
        let arrived = !self.befalls(Mishap::LostDispatch, self.faults.loss);
        let epoch = self.leader.epoch;
        self.note(|| {
            let (id, asset, tasks) = (dispatch.id, &dispatch.asset, dispatch.tasks.len());
            let lost = if arrived { "" } else { "; the message is lost" };
            format!("leader {epoch} publishes {id}: run {}, {asset} x{tasks}{lost}", run_number(dispatch.run))
        });
        let copies = u32::from(arrived)
            + u32::from(arrived && self.befalls(Mishap::DuplicateDispatch, self.faults.duplicate));
        if copies > 1 {
            self.witness.copy(dispatch.id);
        }
        for _ in 0..copies {
            let due_ms = self.arrival_ms();
            self.broker.tasks.put(due_ms, Delivery { dispatch: Arc::clone(&dispatch), redelivered: false });
        }
        self.leader.unconfirmed.push(Unconfirmed { dispatch, arrived });
    }

    pub(super) fn confirm(&mut self) {
        if self.leader.unconfirmed.is_empty() || self.is_closed() {
            return;
        }
        let at = self.rng.index(self.leader.unconfirmed.len());
        let id = self.leader.unconfirmed_id(at);
        let is_lost = !self.leader.unconfirmed[at].arrived;
        if is_lost || self.befalls(Mishap::LostConfirm, self.faults.lost_confirm) {
            self.note(|| format!("no confirm of {id} comes"));
            let unconfirmed = self.leader.unconfirmed.swap_remove(at);
            if unconfirmed.arrived {
                self.witness.copy(id);
            }
            self.publish(unconfirmed.dispatch);
            return;
        }
        if !self.befalls(Mishap::DuplicateConfirm, self.faults.duplicate_confirm) {
            self.leader.unconfirmed.swap_remove(at);
        }
        self.note(|| format!("{id} is confirmed"));
        self.leader.engine_mut().confirmed(id, self.now);
    }

    fn deliver_task(&mut self) {
        let to = self.rng.index(self.workers.len());
        if self.is_frozen(to) || self.is_cut_off(to) || !self.workers[to].has_room() {
            return;
        }
        let Some(delivery) = self.take(|broker| &mut broker.tasks) else { return };
        let (id, number) = (delivery.dispatch.id, self.workers[to].number);
        if self.befalls(Mishap::BrokenPromise, self.faults.broken_promise) {
            self.note(|| format!("the broker loses {id}, which it had confirmed"));
            return;
        }
        let again = if delivery.redelivered { " again" } else { "" };
        self.note(|| format!("{id} is delivered{again} to worker {number}"));
        self.witness.delivered(id, self.now.mono_ms);
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
        self.obey(at);
        let held = &self.workers[at].held;
        if held.is_empty() {
            return;
        }
        let nth = self.rng.index(held.len());
        let Some(id) = held.keys().nth(nth).copied() else { return };
        if self.workers[at].may_hand_back(id) && self.befalls(Mishap::HandBack, self.faults.hand_back) {
            self.workers[at].hand_back(id);
        }
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
                let nature = Behaviour::of(&self.faults, dispatch.run, &dispatch.asset, task);
                nature.mishap().into_iter().for_each(|mishap| self.count(mishap));
                self.ledger.check_order(dispatch.run, &dispatch.asset, task, &mut self.violations);
                let first = self.witness.begins(id, task, worker);
                self.check_executions(&dispatch, first, worker);
            }
            Step::Ended { task, end, next } => {
                self.note(|| format!("worker {worker} has ended task {task} of {id}: {end:?}"));
                self.witness.ends(id, task, self.now.mono_ms, end);
                next.into_iter().for_each(|next| self.witness.turn(id, next));
            }
            Step::Announces { task, report } => {
                self.witness.turn(id, task);
                self.send_report(at, report);
            }
            Step::Reports(report) => _ = self.send_report(at, report),
            Step::Settled => self.note(|| format!("worker {worker} has settled {id}")),
            Step::Died => self.poisoned(at, id),
        }
    }

    fn poisoned(&mut self, at: usize, id: DispatchId) {
        self.note(|| format!("a task of {id} kills its worker"));
        self.crash_worker(at);
    }

    fn pass_time(&mut self) {
        let passed_ms = 1 + self.rng.below(if self.calm { 1_000 } else { 3_000 });
        self.now.mono_ms += passed_ms;
        self.now.wall_us += passed_ms as i64 * 1_000;
        // Live workers send a heartbeat every two seconds; it would be unfair to let them starve.
        for at in 0..self.workers.len() {
            if !self.is_frozen(at)
                && !self.is_cut_off(at)
                && !self.befalls(Mishap::LostBeat, self.faults.loss)
            {
                let heartbeat = self.workers[at].heartbeat();
                self.read_beat(heartbeat);
            }
        }
        self.echo_at_once();
    }

    pub(super) fn is_frozen(&self, at: usize) -> bool {
        !self.calm && self.workers[at].frozen_until_ms > self.now.mono_ms
    }
}
