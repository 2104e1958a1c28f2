//! The engine: decides what runs next, and what an outcome means. Nothing else does.
//!
//! A deterministic state machine. It owns no socket, no file, no clock and no random source: inputs are method
//! calls that carry the time, effects come out of [`Engine::seal`] and are performed by the shell around it, in
//! this order: commit the batch, then do the effects. That order is the whole protocol of surviving a crash, and
//! because the engine is pure, the simulation beside it walks through thousands of crashes a minute.
//!
//! What it refuses to do:
//! - hold an object per task. A run is a handful of bitmaps per asset ([`run`]), so that submitting, cancelling
//!   and pausing cost ranges and a million partitions cost kilobytes. Only what is in flight has more.
//! - publish everything at once. A window that follows the live slots ([`dispatch`]) keeps order, priority, pools
//!   and pauses changeable until the last moment.
//! - guess. A message that was delivered twice, a worker that fell silent, a result that comes late: each has one
//!   rule ([`lease`], [`report`]), and the fence is always the dispatch id.
//!
//! Reading order: [`plan`], [`submit`], [`run`] (with [`level`]), [`effect`], [`open_dispatch`], [`dispatch`] (with
//! [`candidates`], [`pace`] and [`suspects`]), [`report`] (with [`metadata`] and [`retry`]), [`fleet`], [`lease`] (with
//! [`lease_clock`], [`unlisted`] and [`unwanted`]), [`recover`] (with [`in_doubt`], [`inherited`] and [`watermark`]), [`hold`] and [`delay`] (tasks that
//! wait for a time), [`cancelled`], [`view`], [`invariant`] (with [`bound`]); [`mutation`] is how tests break it.

mod bound;
mod cancelled;
mod candidates;
mod delay;
mod dispatch;
mod effect;
mod fleet;
mod hold;
mod in_doubt;
mod inherited;
mod invariant;
mod lease;
mod lease_clock;
mod level;
mod metadata;
mod mutation;
mod open_dispatch;
mod pace;
mod plan;
mod recover;
mod report;
mod retry;
mod run;
mod submit;
mod suspects;
mod unlisted;
mod unwanted;
mod view;
mod watermark;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use backstitch_proto::id::{DispatchId, Epoch, RunId};

pub use effect::{Effect, Sealed};
pub use fleet::WorkerState;
pub use invariant::Violation;
#[cfg(test)]
pub(crate) use mutation::Mutation;
pub use plan::{AssetPlan, Held, PoolUse, RunPlan, Upstream};
pub use retry::LOSSES_MAX;
pub use run::Counts;
pub use submit::RequestError;
pub use view::{AssetSnapshot, RunSnapshot, Statistics};

use bound::Bound;
use delay::Delays;
use fleet::Fleet;
use in_doubt::InDoubt;
use inherited::Inherited;
use lease_clock::LeaseClock;
use open_dispatch::OpenDispatch;
use pace::Pace;
use run::RunState;
use suspects::Suspects;
use unlisted::Unlisted;
use unwanted::Unwanted;
use watermark::Watermark;

use crate::ledger::Batch;

/// The time, as the shell read it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds of a clock that never goes back. Leases and delays are measured on it.
    pub mono_ms: u64,
    /// Microseconds since the Unix epoch. Written down; compared only with the instants from which partitions exist
    /// and, after a takeover, with the end of a task's last attempt.
    pub wall_us: i64,
}

/// Settings of the engine.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// A worker that is silent for longer has lost what it held, milliseconds.
    pub lease_ms: u64,
    /// A confirmed message that no worker has listed for longer, while workers of its queue have free slots, is
    /// published again, milliseconds. It makes good what a broker lost with its queue, and what a worker took that died
    /// before it listed it.
    pub unclaimed_ms: u64,
    /// Work that one dispatch should carry, microseconds.
    pub dispatch_target_us: u64,
    /// Tasks that one dispatch carries at most.
    pub dispatch_max_tasks: u32,
    /// Tasks in flight that a worker queue aims at, at most: more would only wait for the ledger. Two dispatches per slot
    /// are allowed in any case.
    pub in_flight_tasks_max: u32,
    /// A promise that the engine does not keep.
    #[cfg(test)]
    pub(crate) sabotage: Option<Mutation>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            // Five heartbeats: one lost or late heartbeat is not a dead worker.
            lease_ms: 10_000,
            // An idle worker takes a message within milliseconds; several heartbeats say that it really is idle.
            unclaimed_ms: 15_000,
            // Long enough that a round trip of some milliseconds does not count, short enough that pausing,
            // cancelling and priorities are felt at once.
            dispatch_target_us: 1_000_000,
            dispatch_max_tasks: 1_000,
            // Whoever measures the ledger says so.
            in_flight_tasks_max: u32::MAX,
            #[cfg(test)]
            sabotage: None,
        }
    }
}

/// The state machine. One instance per term of leadership.
#[derive(Debug)]
pub struct Engine {
    options: Options,
    /// Runs that are not terminal.
    runs: BTreeMap<RunId, RunState>,
    /// Idempotency keys of runs that ended lately, oldest first.
    ended_keys: VecDeque<(String, RunId)>,
    /// Dispatches that are not closed.
    open_dispatches: BTreeMap<DispatchId, OpenDispatch>,
    /// Published or about to be, and not confirmed.
    unconfirmed: BTreeSet<DispatchId>,
    /// Delivered twice before anybody listed them, oldest first; time of the clock of leases.
    unidentified: VecDeque<(u64, DispatchId)>,
    /// No longer listed by the worker that has them, oldest first.
    unlisted: VecDeque<Unlisted>,
    inherited: Inherited,
    /// Echoes that found no report waiting.
    idle_echoes: u64,
    /// When the newest of them came, milliseconds of the engine's clock.
    idle_ms: Option<u64>,
    in_doubt: InDoubt,
    /// Cancelled runs that have dispatches which nobody has listed, and when these are closed.
    cancelled: BTreeMap<RunId, u64>,
    /// Dispatches of runs that this program cannot read: they are left alone.
    set_aside: BTreeSet<DispatchId>,
    unwanted: Unwanted,
    last_dispatch: DispatchId,
    watermark: Watermark,
    /// Failed tasks that wait before they are tried again.
    delays: Delays,
    /// Held tasks by the time at which to look at the wall clock again.
    holds: BTreeMap<u64, Vec<(RunId, usize, Held)>>,
    fleet: Fleet,
    /// What leases are measured on; absent: the engine's clock.
    lease_clock: Option<LeaseClock>,
    suspects: Suspects,
    /// Of each priority class, the pass of the run that was served last.
    class_pass: BTreeMap<i32, u64>,
    /// Slots in use per pool.
    pools: BTreeMap<Arc<str>, u32>,
    /// Dispatches in flight per worker queue.
    queues: BTreeMap<Arc<str>, u32>,
    bound: Bound,
    /// How long tasks of each asset take.
    pace: BTreeMap<Arc<str>, Pace>,
    /// The broker takes messages.
    broker_open: bool,
    /// What the next commit will hold.
    batch: Batch,
    /// What follows it.
    effects: Vec<Effect>,
    statistics: Statistics,
    #[cfg(test)]
    sabotage: mutation::Sabotage,
}

impl Engine {
    /// An engine that knows of nothing yet.
    pub fn new(epoch: Epoch, options: Options) -> Self {
        let last_dispatch = DispatchId::before_first_of(epoch);
        Self {
            options,
            runs: BTreeMap::new(),
            ended_keys: VecDeque::new(),
            open_dispatches: BTreeMap::new(),
            unconfirmed: BTreeSet::new(),
            unidentified: VecDeque::new(),
            unlisted: VecDeque::new(),
            inherited: Inherited::default(),
            idle_echoes: 0,
            idle_ms: None,
            in_doubt: InDoubt::default(),
            cancelled: BTreeMap::new(),
            set_aside: BTreeSet::new(),
            unwanted: Unwanted::default(),
            last_dispatch,
            watermark: Watermark::new(last_dispatch, 0),
            delays: Delays::default(),
            holds: BTreeMap::new(),
            fleet: Fleet::default(),
            lease_clock: None,
            suspects: Suspects::default(),
            class_pass: BTreeMap::new(),
            pools: BTreeMap::new(),
            queues: BTreeMap::new(),
            bound: Bound::default(),
            pace: BTreeMap::new(),
            broker_open: true,
            batch: Batch::default(),
            effects: Vec::new(),
            statistics: Statistics::default(),
            #[cfg(test)]
            sabotage: mutation::Sabotage::default(),
        }
    }

    /// Lets time pass and decides what to dispatch. Returns what has to be committed and done, if anything.
    ///
    /// The shell calls it whenever no commit is under way. What happens during a commit gathers into the next
    /// one, so commits grow with the load by themselves.
    pub fn seal(&mut self, now: Now) -> Option<Sealed> {
        self.expire(now);
        self.resolve_in_doubt(now);
        self.dispatch(now);
        self.note_slots();
        self.write_watermark(now);
        self.tell_unwanted(now);
        if self.batch.is_empty() && self.effects.is_empty() {
            return None;
        }
        let mut batch = std::mem::take(&mut self.batch);
        // Nothing outside of tests: see mutation.rs.
        self.sabotage_batch(&mut batch);
        Some(Sealed { batch, effects: std::mem::take(&mut self.effects) })
    }

    /// Attempts that wait for the next commit. The shell stops feeding reports when there are too many.
    pub fn pending_attempts(&self) -> usize {
        self.batch.attempts.len()
    }

    /// When [`Engine::seal`] has to be called even if nothing happens, milliseconds of the engine's clock.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        let hold = self.holds.keys().next().copied();
        let watermark = self.next_watermark_ms();
        [self.delays.next_ms(), hold, self.next_silence_ms(), self.next_in_doubt_ms(), watermark]
            .into_iter()
            .flatten()
            .min()
    }

    /// The broker has taken responsibility for the message of this dispatch.
    pub fn confirmed(&mut self, id: DispatchId, now: Now) {
        self.unconfirmed.remove(&id);
        if let Some(open) = self.open_dispatches.get_mut(&id)
            && open.holder == open_dispatch::Holder::Outbox
        {
            open.holder = open_dispatch::Holder::Broker { since_ms: now.mono_ms };
        }
    }

    /// These dispatches belong to runs that this program cannot read: whoever executes them goes on.
    pub fn set_aside(&mut self, dispatches: impl IntoIterator<Item = DispatchId>) {
        self.set_aside.extend(dispatches);
    }

    /// The broker blocks or lost the connection (`false`), or takes messages again (`true`).
    pub fn broker_open(&mut self, open: bool) {
        self.broker_open = open;
        if open {
            self.restart_in_doubt();
        }
    }

    /// So many tasks in flight keep the ledger busy: more would only wait for it.
    pub fn set_in_flight_tasks_max(&mut self, tasks: u32) {
        self.options.in_flight_tasks_max = tasks;
    }
}

#[cfg(test)]
mod takeover_tests;
#[cfg(test)]
mod testing;
