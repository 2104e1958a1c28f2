//! The faults that come by themselves: crashes, freezes, takeovers and clocks.

use super::broker::Beat;
use super::happened::Mishap;
use super::leader::SimLeader;
use super::ledger::violation;
use super::worker::SimWorker;
use super::world::World;
use crate::engine::Engine;

impl World {
    /// Everything that could go wrong now, each with its chance.
    pub(super) fn storm(&mut self) {
        // What is committed and not performed is the worst moment, so it is tried the most.
        let owes = !self.leader.owed.is_empty() && !self.leader_stands_still();
        if self.befalls(Mishap::LeaderCrash, self.faults.leader_crash * if owes { 3 } else { 1 }) {
            let survives = self.rng.permille(self.faults.stale_leader);
            self.take_over(survives);
        }
        if self.happens(self.faults.leader_freeze) {
            self.freeze_leader();
        }
        if self.may_be_replaced() && self.befalls(Mishap::Takeover, self.faults.takeover) {
            self.take_over(true);
        }
        if self.stale.as_ref().is_some_and(|stale| stale.standstill.is_none()) && self.rng.permille(200) {
            self.step_stale();
        }
        if self.happens(self.faults.outage) {
            self.close_broker();
        }
        if self.befalls(Mishap::WorkerCrash, self.faults.worker_crash) {
            let at = self.rng.index(self.workers.len());
            self.crash_worker(at);
        }
        if self.befalls(Mishap::WorkerFreeze, self.faults.worker_freeze) {
            let at = self.rng.index(self.workers.len());
            self.freeze_worker(at);
        }
        if self.happens(self.faults.worker_drain) {
            let at = self.rng.index(self.workers.len());
            self.drain_worker(at);
        }
        if self.happens(self.faults.clock_jump) {
            self.jump_clock();
        }
        if self.happens(self.faults.whim) {
            self.whim();
        }
    }

    pub(super) fn add_worker(&mut self) {
        self.workers_made += 1;
        let slots = 1 + self.rng.index(3);
        self.slots_ever += slots as u64;
        let mut worker = SimWorker::new(self.workers_made, slots, self.task_us);
        let first = Beat::Worker(worker.heartbeat());
        self.broker.heartbeats.put(self.now.mono_ms, first);
        self.workers.push(worker);
    }

    /// Another leader takes over from the ledger. The old one is gone, or `survives` and does not know yet.
    fn take_over(&mut self, survives: bool) {
        let old_epoch = self.leader.epoch;
        if self.leader.committing.is_some()
            && self.rng.permille(500)
            && let Some(sealed) = self.leader.committing.take()
        {
            // It was on its way, and arrives without anybody who could learn of it.
            let late = self.write(&sealed);
            self.leader.committing = Some(sealed);
            if late.is_err() {
                let what = format!("leader {old_epoch} was refused before there was another");
                self.violations.push(violation("FENCE", what));
            }
            self.count(Mishap::LateCommit);
            self.note(|| format!("leader {old_epoch}: the commit happens, and nobody learns of it"));
        }
        let epoch = self.ledger.new_term();
        self.note(|| {
            let fate = if survives { "does not know that its term is over" } else { "crashes" };
            format!("leader {old_epoch} {fate}; leader {epoch} takes over")
        });
        let (live, plans) = self.ledger.load_live();
        let mut engine = Engine::recover(epoch, self.options, live, plans, true, self.now);
        if self.listens {
            engine.listen(self.now, self.back_for_ms());
        }
        engine.broker_open(!self.is_closed());
        let mut old = std::mem::replace(&mut self.leader, SimLeader::new(epoch, engine));
        // Submissions that were not durable are made again by their submitters.
        self.runs_made = self.ledger.runs.len() as u64;
        self.check_leader_knows_wishes();
        self.retire_stale();
        if survives {
            self.count(Mishap::StaleLeader);
            self.stale = Some(old);
        } else {
            self.redeliver_reports(&mut old);
        }
    }

    /// A leader whose term is over does what leaders do, until a commit tells it.
    fn step_stale(&mut self) {
        let Some(stale) = self.stale.take() else { return };
        let current = std::mem::replace(&mut self.leader, stale);
        match self.rng.below(10) {
            0..3 => self.seal(),
            3 => self.commit(),
            4..6 => self.perform(),
            6 => self.confirm(),
            7 => self.take_report(),
            _ => self.take_heartbeat(),
        }
        let mut stale = std::mem::replace(&mut self.leader, current);
        if stale.take_touched() {
            self.violations.extend(stale.engine().violations());
        }
        if stale.deposed {
            self.redeliver_reports(&mut stale);
        } else {
            self.stale = Some(stale);
        }
    }

    /// The process of a leader whose term is over ends.
    pub(super) fn retire_stale(&mut self) {
        if let Some(mut stale) = self.stale.take() {
            self.redeliver_reports(&mut stale);
        }
    }

    fn redeliver_reports(&mut self, gone: &mut SimLeader) {
        for report in gone.unacknowledged() {
            self.broker.reports.put(self.now.mono_ms, report);
        }
    }

    pub(super) fn crash_worker(&mut self, at: usize) {
        let mut worker = self.workers.swap_remove(at);
        self.note(|| format!("worker {} dies", worker.number));
        self.redeliver_tasks(&mut worker);
        self.add_worker();
    }

    fn freeze_worker(&mut self, at: usize) {
        let until_ms = self.now.mono_ms + 5_000 + self.rng.below(30_000);
        self.workers[at].frozen_until_ms = until_ms;
        let number = self.workers[at].number;
        // Perhaps its connection times out: the broker gives its messages to others while it still has them.
        let disconnected = self.rng.permille(500);
        if disconnected {
            self.count(Mishap::Disconnection);
            let mut worker = self.workers.swap_remove(at);
            self.redeliver_tasks(&mut worker);
            self.workers.push(worker);
        }
        self.note(|| {
            let connection = if disconnected { " and loses its connection" } else { "" };
            format!("worker {number} freezes until {until_ms} ms{connection}")
        });
    }

    fn redeliver_tasks(&mut self, worker: &mut SimWorker) {
        for delivery in worker.lose_deliveries() {
            let due_ms = self.arrival_ms();
            self.broker.tasks.put(due_ms, delivery);
        }
    }

    fn drain_worker(&mut self, at: usize) {
        if self.is_cut_off(at) {
            return;
        }
        self.count(Mishap::WorkerDrain);
        let mut worker = self.workers.swap_remove(at);
        self.note(|| format!("worker {} drains", worker.number));
        let report = worker.drain();
        // It ends once its report and its last heartbeat are confirmed; both may come late.
        let due_ms = self.arrival_ms();
        self.broker.reports.put(due_ms, report);
        let due_ms = self.arrival_ms();
        self.broker.heartbeats.put(due_ms, Beat::Worker(worker.heartbeat()));
        self.add_worker();
    }

    /// By up to an hour, back or forth: the clock of the leader's machine, or of one worker's.
    fn jump_clock(&mut self) {
        self.clock_jumped = true;
        let jump_us = self.rng.below(7_200_000_000) as i64 - 3_600_000_000;
        let seconds = jump_us / 1_000_000;
        if self.rng.permille(500) {
            self.count(Mishap::LeaderClockJump);
            self.now.wall_us += jump_us;
            self.note(|| format!("the leader's clock jumps by {seconds} s"));
        } else {
            self.count(Mishap::WorkerClockJump);
            let at = self.rng.index(self.workers.len());
            self.workers[at].ahead_us += jump_us;
            let number = self.workers[at].number;
            self.note(|| format!("the clock of worker {number} jumps by {seconds} s"));
        }
    }
}
