//! What goes through the broker besides dispatches: reports, heartbeats, and the echoes by which a leader knows that it
//! can hear.

use backstitch_proto::message::{Control, Heartbeat, Report};

use super::broker::{Bag, Beat, SimBroker};
use super::happened::Mishap;
use super::world::World;

impl World {
    /// Sends a report; true once the worker knows that it arrived. Without that knowledge it sends it again.
    pub(super) fn send_report(&mut self, at: usize, report: Report) -> bool {
        let worker = self.workers[at].number;
        if self.is_cut_off(at) {
            return false;
        }
        let lost = self.befalls(Mishap::LostReport, self.faults.loss);
        let unknown = lost || self.befalls(Mishap::LostConfirmOfReport, self.faults.lost_confirm);
        self.note(|| {
            let fate = if lost { "; it is lost" } else { "" };
            format!("worker {worker} reports {}{fate}", summary(&report))
        });
        if !unknown {
            self.workers[at].confirmed(&report);
        }
        if !lost {
            let due_ms = self.arrival_ms();
            if self.befalls(Mishap::DuplicateReport, self.faults.duplicate) {
                self.broker.reports.put(self.now.mono_ms, report.clone());
            }
            self.broker.reports.put(due_ms, report);
            if self.leader_stands_still() {
                self.count(Mishap::UnreadReport);
            }
        }
        !unknown
    }

    pub(super) fn send_heartbeat(&mut self) {
        if self.rng.permille(200) {
            return self.send_echo();
        }
        let at = self.rng.index(self.workers.len());
        if self.is_frozen(at) || self.is_cut_off(at) || self.befalls(Mishap::LostBeat, self.faults.loss) {
            return;
        }
        let heartbeat = Beat::Worker(self.workers[at].heartbeat());
        let due_ms = self.arrival_ms();
        if self.befalls(Mishap::DuplicateBeat, self.faults.duplicate) {
            self.broker.heartbeats.put(self.now.mono_ms, heartbeat.clone());
        }
        self.broker.heartbeats.put(due_ms, heartbeat);
        let rng = &mut self.rng;
        self.workers[at].hand_over(|| rng.permille(300));
    }

    /// A broadcast goes to one worker. Nobody waits for a confirm of it, and nobody keeps it for whoever is away.
    pub(super) fn tell(&mut self, at: usize, control: &Control) {
        if self.is_cut_off(at) || self.befalls(Mishap::LostBroadcast, self.faults.loss * 3) {
            return;
        }
        let due_ms = self.arrival_of_ms(Mishap::LateBroadcast);
        if self.befalls(Mishap::DuplicateBroadcast, self.faults.duplicate) {
            let due_ms = self.arrival_of_ms(Mishap::LateBroadcast);
            self.workers[at].inbox.put(due_ms, control.clone());
        }
        self.workers[at].inbox.put(due_ms, control.clone());
    }

    /// A worker does what it was told, as far as that has arrived.
    pub(super) fn obey(&mut self, at: usize) {
        let Self { workers, rng, now, faults, .. } = self;
        let worker = &mut workers[at];
        while let Some(control) = worker.inbox.take(rng, faults.delay, now.mono_ms) {
            worker.obey(control, now.wall_us);
        }
    }

    /// A heartbeat that is read as soon as it is sent, if anybody reads.
    pub(super) fn read_beat(&mut self, heartbeat: Heartbeat) {
        // Two who believe that they lead take from the same queue.
        let reader = match &mut self.stale {
            Some(stale) if stale.standstill.is_none() && self.rng.permille(500) => stale,
            _ => &mut self.leader,
        };
        if reader.standstill.is_none() {
            return reader.engine_mut().heartbeat(&heartbeat, self.now);
        }
        self.count(Mishap::UnreadBeat);
        self.broker.heartbeats.put(self.now.mono_ms, Beat::Worker(heartbeat));
    }

    /// A message of one kind, if the broker gives one: in their order, where none is ever late.
    pub(super) fn take<M>(&mut self, kind: impl FnOnce(&mut SimBroker) -> &mut Bag<M>) -> Option<M> {
        if self.is_closed() {
            return None;
        }
        kind(&mut self.broker).take(&mut self.rng, self.faults.delay, self.now.mono_ms)
    }

    pub(super) fn take_heartbeat(&mut self) {
        if let Some(beat) = self.take(|broker| &mut broker.heartbeats) {
            self.take_beat(&beat);
        }
    }

    /// All that wait; where there is no order, up to any of them.
    pub(super) fn take_heartbeats(&mut self) {
        while let Some(beat) = self.take(|broker| &mut broker.heartbeats) {
            self.take_beat(&beat);
        }
    }

    pub(super) fn take_report(&mut self) {
        if let Some(report) = self.take(|broker| &mut broker.reports) {
            let epoch = self.leader.epoch;
            if self.befalls(Mishap::BrokenPromiseOfReport, self.faults.broken_promise * 5) {
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

    /// The leader sends an echo through the queue of heartbeats.
    pub(super) fn send_echo(&mut self) {
        let speaks = self.listens && !self.is_closed() && !self.leader_stands_still();
        if !speaks || self.befalls(Mishap::LostBeat, self.faults.loss) {
            return;
        }
        let echo = Beat::Echo { epoch: self.leader.epoch, sent_ms: self.now.mono_ms };
        let due_ms = self.arrival_ms();
        if self.befalls(Mishap::DuplicateBeat, self.faults.duplicate) {
            self.broker.heartbeats.put(self.now.mono_ms, echo.clone());
        }
        self.broker.heartbeats.put(due_ms, echo);
    }

    /// An echo that comes back at once, behind the heartbeats that were sent before it.
    pub(super) fn echo_at_once(&mut self) {
        let hears = !self.is_closed() && !self.leader_stands_still();
        if !hears || self.befalls(Mishap::LostBeat, self.faults.loss) {
            return;
        }
        if self.faults.delay == 0 {
            self.take_heartbeats();
        }
        self.hear_itself(self.now.mono_ms);
    }

    fn hear_itself(&mut self, sent_ms: u64) {
        let idle = self.broker.reports.is_empty();
        self.leader.engine_mut().echo(sent_ms);
        if idle {
            self.leader.engine_mut().intake_is_idle(self.now);
        }
    }

    /// A leader takes what came through the queue of heartbeats.
    pub(super) fn take_beat(&mut self, beat: &Beat) {
        let own = self.leader.epoch;
        match beat {
            Beat::Worker(heartbeat) => self.leader.engine_mut().heartbeat(heartbeat, self.now),
            Beat::Echo { epoch, sent_ms } if *epoch == own => self.hear_itself(*sent_ms),
            // The voice of another leader.
            Beat::Echo { .. } => {}
        }
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
