//! What went wrong in a world, counted: a fault that never happens proves nothing.

macro_rules! mishaps {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// A kind of thing that went wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Mishap {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Mishap {
            const ALL: &[Self] = &[$(Self::$name),+];
        }
    };
}

mishaps! {
    /// A leader stopped, or was taken to have stopped, and another took over.
    LeaderCrash,
    /// One of these went on beside its successor.
    StaleLeader,
    /// One of these had a commit on its way, which arrived.
    LateCommit,
    /// A leader stood still.
    LeaderFreeze,
    /// A standby took over from one of these meanwhile.
    Takeover,
    /// A leader that had stood still went on after another had taken over, and did not know.
    LateReturn,
    /// A report was sent while the leader stood still.
    UnreadReport,
    /// A heartbeat was sent while the leader stood still.
    UnreadBeat,
    /// A commit happened and was reported as failed.
    AmbiguousCommit,
    /// A commit failed.
    FailedCommit,
    /// The broker went away.
    Outage,
    /// A worker died by itself.
    WorkerCrash,
    /// A worker stood still.
    WorkerFreeze,
    /// Its messages went to others meanwhile.
    Disconnection,
    /// A worker drained.
    WorkerDrain,
    /// A worker handed back what it had of a dispatch, and went on.
    HandBack,
    /// A dispatch arrived twice.
    DuplicateDispatch,
    /// A report arrived twice.
    DuplicateReport,
    /// A heartbeat or an echo arrived twice.
    DuplicateBeat,
    /// A message was late.
    LateMessage,
    /// A dispatch did not arrive.
    LostDispatch,
    /// A report did not arrive.
    LostReport,
    /// A heartbeat or an echo did not arrive.
    LostBeat,
    /// A broadcast did not reach a worker.
    LostBroadcast,
    /// A broadcast reached a worker twice.
    DuplicateBroadcast,
    /// A broadcast reached a worker late.
    LateBroadcast,
    /// The broker lost a dispatch that it had confirmed.
    BrokenPromise,
    /// The broker lost a report that it had confirmed.
    BrokenPromiseOfReport,
    /// A dispatch arrived and no confirm came.
    LostConfirm,
    /// A report arrived and no confirm came.
    LostConfirmOfReport,
    /// A confirm came twice.
    DuplicateConfirm,
    /// The wall clock of the leader jumped.
    LeaderClockJump,
    /// The wall clock of a worker jumped.
    WorkerClockJump,
    /// A user cancelled a run.
    Cancel,
    /// A user paused a run.
    Pause,
    /// A user resumed a run, paused or not.
    Resume,
    /// A user gave a run another bound.
    Throttle,
    /// A user gave a run another priority.
    Reprioritise,
    /// A user cancelled a run of which a task hung.
    GiveUp,
    /// A task began that fails in its first attempts.
    FailsAtFirst,
    /// A task began that fails in every attempt.
    FailsAlways,
    /// A task began that fails and says that trying again is no use.
    FailsForGood,
    /// A task began that ends its worker.
    Kills,
    /// A task began that does not end by itself.
    Hangs,
}

/// How often each kind of thing went wrong.
#[derive(Clone, Debug)]
pub struct Happened([u64; Mishap::ALL.len()]);

impl Default for Happened {
    fn default() -> Self {
        Self([0; Mishap::ALL.len()])
    }
}

impl Happened {
    /// Each kind, and how often it was.
    pub fn times(&self) -> impl Iterator<Item = (Mishap, u64)> + '_ {
        Mishap::ALL.iter().copied().zip(self.0)
    }

    pub(super) fn note(&mut self, mishap: Mishap) {
        self.0[mishap as usize] += 1;
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(times, more)| *times += more);
    }
}
