//! The world around the engine: what there is, and a history from its first step to its last.

use std::collections::BTreeSet;

use backstitch_proto::id::RunId;

use super::broker::SimBroker;
use super::faults::Faults;
use super::happened::{Happened, Mishap};
use super::history::{History, Trace};
use super::leader::SimLeader;
use super::ledger::{SimLedger, violation};
use super::project::START_US;
use super::rng::Rng;
use super::user::{Request, Wishes};
use super::witness::Witness;
use super::worker::SimWorker;
use crate::engine::{Engine, Now, Options, Violation};

/// Steps with faults.
const STORM_STEPS: u32 = 600;

/// Steps before the end of the storm at which a user gives up what hangs: enough that the request is committed, and
/// lost with its broadcast or its leader, and few enough that the worker lives to see the end.
const LAST_STEPS: u32 = 45;

/// Steps after the faults stopped within which every run must end: LIVE's bound. The mean history takes 1,300.
const CALM_STEPS: u32 = 20_000;

/// Tasks are tiny in one half of all worlds, and so long in the other that windows are small, microseconds. Eight of
/// them are a second of work, so that they are packed.
const LONG_TASK_US: i64 = 125_000;

/// Runs of one history.
pub(super) const RUNS_MAX: u64 = 4;

/// Everything there is.
pub(super) struct World {
    pub(super) seed: u64,
    pub(super) rng: Rng,
    pub(super) faults: Faults,
    pub(super) now: Now,
    pub(super) ledger: SimLedger,
    pub(super) leader: SimLeader,
    /// Its term is over, and it does not know.
    pub(super) stale: Option<SimLeader>,
    pub(super) broker: SimBroker,
    pub(super) workers: Vec<SimWorker>,
    pub(super) workers_made: u64,
    pub(super) runs_made: u64,
    /// Percent of the steps that submit a run: some worlds are full from the start, others idle now and then.
    pub(super) submits: u64,
    /// What really happened to tasks.
    pub(super) witness: Witness,
    /// What users want, as they were told.
    pub(super) wishes: Wishes,
    /// Runs that a user has asked to cancel, whether or not that is durable.
    pub(super) cancels: BTreeSet<RunId>,
    /// Slots of all workers that there have been.
    pub(super) slots_ever: u64,
    /// How long tasks say they take, microseconds.
    pub(super) task_us: i64,
    /// Leases run from echo to echo, as they do wherever something lies between a leader and its workers.
    pub(super) listens: bool,
    /// The broker is away until then, milliseconds.
    pub(super) closed_until_ms: Option<u64>,
    /// When it came back last.
    pub(super) back_ms: Option<u64>,
    /// Some wall clock has jumped.
    pub(super) clock_jumped: bool,
    /// The faults have stopped.
    pub(super) calm: bool,
    /// Of every engine.
    pub(super) options: Options,
    pub(super) violations: Vec<Violation>,
    happened: Happened,
    trace: Trace,
    steps: u64,
}

impl World {
    /// The world of `seed`, with some of `faults`, before anything happened.
    pub(super) fn new(seed: u64, faults: Faults, options: Options, traced: bool) -> Self {
        let mut rng = Rng::new(seed);
        let faults = faults.some(&mut rng);
        let mut ledger = SimLedger::new();
        let epoch = ledger.new_term();
        let now = Now { mono_ms: 0, wall_us: START_US };
        let listens = rng.permille(750);
        let mut engine = Engine::new(epoch, options);
        if listens {
            engine.listen(now, None);
        }
        let mut world = Self {
            seed,
            rng,
            faults,
            now,
            ledger,
            leader: SimLeader::new(epoch, engine),
            stale: None,
            broker: SimBroker::default(),
            workers: Vec::new(),
            workers_made: 0,
            runs_made: 0,
            submits: 1,
            witness: Witness::default(),
            wishes: Wishes::default(),
            cancels: BTreeSet::new(),
            slots_ever: 0,
            task_us: 0,
            listens,
            closed_until_ms: None,
            back_ms: None,
            clock_jumped: false,
            calm: false,
            options,
            violations: Vec::new(),
            happened: Happened::default(),
            trace: Trace::new(traced),
            steps: 0,
        };
        world.submits += world.rng.below(3);
        if world.rng.permille(500) {
            world.task_us = LONG_TASK_US;
        }
        for _ in 0..1 + world.rng.below(3) {
            world.add_worker();
        }
        world
    }

    /// Lets everything happen, then lets everything end.
    pub(super) fn play(mut self) -> History {
        for step in 0..STORM_STEPS {
            if step == STORM_STEPS - LAST_STEPS && self.happens(self.faults.whim * 50) {
                self.give_up();
            }
            self.step();
            if !self.violations.is_empty() {
                return self.history();
            }
        }
        self.calm_down();
        for _ in 0..CALM_STEPS {
            if self.is_over() {
                break;
            }
            self.step();
            if !self.violations.is_empty() {
                return self.history();
            }
        }
        self.judge();
        self.history()
    }

    fn step(&mut self) {
        self.steps += 1;
        if !self.calm {
            self.storm();
        }
        self.happen();
        // An engine that nobody touched is as good as it was after the step before.
        if self.leader.take_touched() {
            self.violations.extend(self.leader.engine().violations());
        }
    }

    fn calm_down(&mut self) {
        self.note(|| "the faults stop".to_owned());
        self.calm = true;
        self.retire_stale();
        self.broker.hurry();
        self.workers.iter_mut().for_each(|worker| worker.inbox.hurry());
        self.end_standstills_in_time();
        // Nobody resumes a paused run but its user.
        for run in self.live_runs() {
            let resumed = self.ask(run, Request::Pause(false));
            debug_assert!(resumed.is_ok(), "a live run takes requests");
        }
    }

    fn is_over(&self) -> bool {
        self.runs_made == RUNS_MAX
            && self.leader.is_idle()
            && self.ledger.runs.len() as u64 == RUNS_MAX
            && self.ledger.runs.values().all(|run| run.finished.is_some())
    }

    /// LIVE: everything has ended, and whatever could succeed has.
    fn judge(&mut self) {
        if !self.is_over() {
            let open = self.leader.engine().runs().map(|run| {
                format!("run {} is {:?}: {:?}", run_number(run.record.id), run.status, run.assets)
            });
            let what = format!(
                "not over {CALM_STEPS} steps after the faults stopped: {}",
                open.collect::<Vec<_>>().join("; ")
            );
            self.violations.push(violation("LIVE", what));
        }
        for run in self.ledger.runs.values() {
            run.check_verdicts(&self.faults, &mut self.violations);
        }
    }

    fn history(self) -> History {
        let targets = self.ledger.runs.values().flat_map(|run| &run.record.assets);
        History {
            seed: self.seed,
            tasks: targets.map(|asset| asset.targets.len()).sum(),
            steps: self.steps,
            happened: self.happened,
            violations: self.violations,
            trace: self.trace.into_steps(),
        }
    }

    pub(super) fn live_runs(&self) -> Vec<RunId> {
        self.leader.engine().run_ids().collect()
    }

    pub(super) fn note(&mut self, step: impl FnOnce() -> String) {
        self.trace.note(self.now.mono_ms, step);
    }

    /// Whether a fault happens.
    pub(super) fn happens(&mut self, permille: u64) -> bool {
        !self.calm && self.rng.permille(permille)
    }

    /// The same, for what goes wrong with the fault alone.
    pub(super) fn befalls(&mut self, mishap: Mishap, permille: u64) -> bool {
        let happens = self.happens(permille);
        if happens {
            self.count(mishap);
        }
        happens
    }

    /// This went wrong.
    pub(super) fn count(&mut self, mishap: Mishap) {
        self.happened.note(mishap);
    }

    /// When a message that is sent now arrives.
    pub(super) fn arrival_ms(&mut self) -> u64 {
        self.arrival_of_ms(Mishap::LateMessage)
    }

    /// The same, of messages whose lateness is counted by themselves.
    pub(super) fn arrival_of_ms(&mut self, late: Mishap) -> u64 {
        match self.befalls(late, self.faults.delay) {
            true => self.now.mono_ms + self.rng.below(30_000),
            false => self.now.mono_ms,
        }
    }
}

/// Runs are numbered in the order of their submission, for readers.
pub(super) fn run_number(run: RunId) -> u64 {
    run.0.as_u64_pair().0
}
