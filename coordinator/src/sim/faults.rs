//! What goes wrong in a world, and how often.

use super::rng::Rng;

/// Which faults a history has, each in permille of the moments at which it could happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Faults {
    /// A leader stops between two effects; another takes over.
    pub leader_crash: u64,
    /// Of the leaders that lost their term: those that do not know it and go on.
    pub stale_leader: u64,
    /// A leader stands still, perhaps for longer than every lease, and goes on.
    pub leader_freeze: u64,
    /// A standby takes over from a leader that has stood still for longer than the lease of leaders.
    pub takeover: u64,
    /// A commit happens but is reported as failed.
    pub ambiguous_commit: u64,
    /// A commit fails.
    pub failed_commit: u64,
    /// The broker goes away, and comes back.
    pub outage: u64,
    /// A worker dies between two effects.
    pub worker_crash: u64,
    /// A worker stands still, perhaps for longer than its lease, and goes on.
    pub worker_freeze: u64,
    /// A worker drains.
    pub worker_drain: u64,
    /// A worker that goes on hands back a dispatch or the rest of one: it had no slot for long, or its tasks are longer
    /// than expected.
    pub hand_back: u64,
    /// A message of any kind arrives twice.
    pub duplicate: u64,
    /// A message of any kind arrives long after those that were sent later.
    pub delay: u64,
    /// A message of any kind does not arrive; who sent it learns so, where there are confirms.
    pub loss: u64,
    /// The broker loses a message that it has confirmed.
    pub broken_promise: u64,
    /// A confirm is lost, so the message is sent again.
    pub lost_confirm: u64,
    /// A confirm comes twice.
    pub duplicate_confirm: u64,
    /// The wall clock of a machine jumps by up to an hour, in either direction.
    pub clock_jump: u64,
    /// A user cancels, pauses, resumes, throttles or re-prioritises.
    pub whim: u64,
    /// A task fails, hangs or kills its worker, by its nature.
    pub bad_task: u64,
}

impl Faults {
    /// The mix of one history: each fault may be missing, or be there three times as often. One mix in eight can run
    /// nothing twice, and half of these lose nothing: there the strictest checks apply.
    #[must_use]
    pub(super) fn some(mut self, rng: &mut Rng) -> Self {
        let each = [
            &mut self.leader_crash,
            &mut self.stale_leader,
            &mut self.leader_freeze,
            &mut self.takeover,
            &mut self.ambiguous_commit,
            &mut self.failed_commit,
            &mut self.outage,
            &mut self.worker_crash,
            &mut self.worker_freeze,
            &mut self.worker_drain,
            &mut self.hand_back,
            &mut self.duplicate,
            &mut self.delay,
            &mut self.loss,
            &mut self.broken_promise,
            &mut self.lost_confirm,
            &mut self.duplicate_confirm,
            &mut self.clock_jump,
            &mut self.whim,
            &mut self.bad_task,
        ];
        for permille in each {
            *permille = match rng.below(4) {
                0 => 0,
                1 => (*permille * 3).min(900),
                _ => *permille,
            };
        }
        match rng.below(16) {
            0 => self.that_execute_once(),
            1 => self.that_lose_nothing(),
            _ => self,
        }
    }

    /// Without what can make two workers execute one dispatch, or one worker a dispatch that is closed.
    #[must_use]
    pub(super) const fn that_execute_once(self) -> Self {
        Self {
            leader_crash: 0,
            takeover: 0,
            worker_freeze: 0,
            duplicate: 0,
            delay: 0,
            loss: 0,
            lost_confirm: 0,
            broken_promise: 0,
            ..self
        }
    }

    /// Without what can end an execution before its time.
    #[must_use]
    pub(super) const fn that_lose_nothing(self) -> Self {
        Self { worker_crash: 0, bad_task: 0, ..self.that_execute_once() }
    }

    /// Whether a dispatch that nobody cancels is executed by one worker alone, and open for as long, unless its message
    /// was copied. An engine that does not listen to itself takes its own silence for that of others.
    pub(super) const fn executes_once(&self, listens: bool) -> bool {
        let Self {
            leader_crash,
            takeover,
            worker_freeze,
            duplicate,
            delay,
            loss,
            lost_confirm,
            broken_promise,
            ..
        } = *self;
        leader_crash + takeover + worker_freeze + duplicate + delay + loss + lost_confirm + broken_promise
            == 0
            && (listens || self.leader_freeze + self.outage == 0)
    }

    /// Whether no attempt can be lost with a worker: nobody dies, and nobody lives unheard.
    pub(super) const fn lose_nothing(&self, listens: bool) -> bool {
        self.executes_once(listens) && self.worker_crash + self.bad_task == 0
    }

    /// None at all.
    pub const NONE: Self = Self {
        leader_crash: 0,
        stale_leader: 0,
        leader_freeze: 0,
        takeover: 0,
        ambiguous_commit: 0,
        failed_commit: 0,
        outage: 0,
        worker_crash: 0,
        worker_freeze: 0,
        worker_drain: 0,
        hand_back: 0,
        duplicate: 0,
        delay: 0,
        loss: 0,
        broken_promise: 0,
        lost_confirm: 0,
        duplicate_confirm: 0,
        clock_jump: 0,
        whim: 0,
        bad_task: 0,
    };

    /// All of them.
    pub const ALL: Self = Self {
        leader_crash: 12,
        stale_leader: 500,
        leader_freeze: 4,
        takeover: 30,
        ambiguous_commit: 100,
        failed_commit: 50,
        outage: 2,
        worker_crash: 15,
        worker_freeze: 10,
        worker_drain: 10,
        hand_back: 10,
        duplicate: 50,
        delay: 50,
        loss: 50,
        broken_promise: 5,
        lost_confirm: 50,
        duplicate_confirm: 50,
        clock_jump: 10,
        whim: 20,
        bad_task: 100,
    };
}
