//! A model of a worker: what it holds, what it does next, and how it can fail.
//!
//! ```text
//!  delivery ──▶ held ──announce, if asked──▶ started ──execute, one task a step──▶ ended
//!                                                 └────report, until confirmed────▶ settled ──acknowledge──▶ gone
//! ```
//!
//! Each arrow is a step of its own, and the worker may die, freeze or drain between any two.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use backstitch_proto::id::{DispatchId, RunId, WorkerId};
use backstitch_proto::message::{
    Control, Dispatch, DispatchReport, Failure, FailureKind, Heartbeat, Held, Outcome, Report, ReturnReason,
    Verdict,
};
use uuid::Uuid;

use super::broker::{Bag, Delivery};
use super::project::Behaviour;
use super::witness::End;

/// Dispatches that a worker takes in advance, per slot.
const PREFETCH_PER_SLOT: usize = 2;

/// A dispatch in a worker's hands.
#[derive(Clone, Debug)]
pub(super) struct HeldDispatch {
    pub(super) dispatch: Arc<Dispatch>,
    /// Its run was cancelled.
    stopped: bool,
    /// It is over here once its report is confirmed, though some of its tasks have not begun.
    handed_back: bool,
    announced: bool,
    started: bool,
    /// Tasks that have begun.
    begun: usize,
    /// Tasks that have ended, and the outcomes among them that no confirmed report holds.
    done: usize,
    unreported: Vec<Outcome>,
    /// Deliveries that are not acknowledged. Without any only the lease protects the dispatch.
    pub(super) unacknowledged: u32,
}

#[derive(Clone, Debug)]
pub(super) struct SimWorker {
    pub(super) number: u64,
    slots: usize,
    pub(super) held: BTreeMap<DispatchId, HeldDispatch>,
    settled: BTreeSet<DispatchId>,
    /// When each run was cancelled, by this worker's wall clock.
    cancelled: BTreeMap<RunId, i64>,
    sequence: u64,
    draining: bool,
    /// It does nothing until then (milliseconds of the world's clock).
    pub(super) frozen_until_ms: u64,
    /// It has no connection to the broker until then (milliseconds of the world's clock).
    pub(super) cut_until_ms: u64,
    /// How long its tasks say they take, microseconds.
    task_us: i64,
    /// Its wall clock is ahead by this much.
    pub(super) ahead_us: i64,
    /// Broadcasts on their way to it.
    pub(super) inbox: Bag<Control>,
}

/// What one step of a worker led to.
pub(super) enum Step {
    Nothing,
    /// A task began: the world checks ORDER and LIMIT.
    Began {
        dispatch: Arc<Dispatch>,
        task: u32,
    },
    /// A task ended, and it is the turn of the next, if there is one.
    Ended {
        task: u32,
        end: End,
        next: Option<u32>,
    },
    /// This has to be sent; [`SimWorker::confirmed`] follows once it is confirmed.
    Reports(Report),
    /// The same, of a task that will begin once this is confirmed.
    Announces {
        task: u32,
        report: Report,
    },
    /// The last delivery was acknowledged.
    Settled,
    /// A task ended the process.
    Died,
}

impl SimWorker {
    pub(super) fn new(number: u64, slots: usize, task_us: i64) -> Self {
        Self {
            number,
            slots,
            held: BTreeMap::new(),
            settled: BTreeSet::new(),
            cancelled: BTreeMap::new(),
            sequence: 0,
            draining: false,
            frozen_until_ms: 0,
            cut_until_ms: 0,
            task_us,
            ahead_us: 0,
            inbox: Bag::default(),
        }
    }

    fn id(&self) -> WorkerId {
        WorkerId(Uuid::from_u128(u128::from(self.number)))
    }

    pub(super) fn has_room(&self) -> bool {
        let unacknowledged = self.held.values().filter(|held| held.unacknowledged > 0).count();
        unacknowledged < self.slots * PREFETCH_PER_SLOT
    }

    /// A message arrives. `Some`: it is handed back, and acknowledged once that is confirmed.
    pub(super) fn receive(&mut self, delivery: &Delivery) -> Option<Report> {
        let id = delivery.dispatch.id;
        if let Some(held) = self.held.get_mut(&id) {
            // A copy is acknowledged; a delivery that came again after a lost connection is held with the first.
            held.unacknowledged += u32::from(delivery.redelivered);
            return None;
        }
        if delivery.redelivered || self.settled.contains(&id) {
            return Some(
                self.report(DispatchReport::Returned { dispatch: id, reason: ReturnReason::Redelivered }),
            );
        }
        let dispatch = Arc::clone(&delivery.dispatch);
        // Cancelled before it came, if the two clocks are to be believed.
        let stopped = self.cancelled.get(&dispatch.run).is_some_and(|at_us| dispatch.created_us <= *at_us);
        let held = HeldDispatch {
            dispatch,
            stopped,
            handed_back: false,
            announced: false,
            started: false,
            begun: 0,
            done: 0,
            unreported: Vec::new(),
            unacknowledged: 1,
        };
        self.held.insert(id, held);
        None
    }

    fn report(&self, news: DispatchReport) -> Report {
        Report { worker: self.id(), dispatches: vec![news] }
    }

    /// What it executes: dispatches, and which task of each.
    pub(super) fn running(&self) -> impl Iterator<Item = (&Dispatch, u32)> {
        let running = self.held.values().filter(|held| held.started && !held.handed_back);
        running.filter_map(|held| Some((&*held.dispatch, held.dispatch.tasks.get(held.done)?.ordinal)))
    }

    /// Whether the dispatch `id` is between two tasks, or before the first.
    pub(super) fn may_hand_back(&self, id: DispatchId) -> bool {
        self.held.get(&id).is_some_and(|held| {
            let between = held.begun == held.done && held.done < held.dispatch.tasks.len();
            between && !held.stopped && !held.handed_back
        })
    }

    /// No further task of the dispatch `id` begins here.
    pub(super) fn hand_back(&mut self, id: DispatchId) {
        if let Some(held) = self.held.get_mut(&id) {
            held.handed_back = true;
        }
    }

    /// One step of the dispatch `id`. `eager`: what has ended is reported before the rest has.
    pub(super) fn step(
        &mut self,
        id: DispatchId,
        wall_us: i64,
        eager: bool,
        behaviour: impl Fn(&Dispatch, u32) -> Behaviour,
    ) -> Step {
        let running = self.running().count();
        let Some(held) = self.held.get_mut(&id) else { return Step::Nothing };
        if held.handed_back {
            let (outcomes, mut dispatches) = (held.unreported.clone(), Vec::new());
            if !outcomes.is_empty() {
                dispatches.push(DispatchReport::Outcomes { dispatch: id, trace: None, outcomes });
            }
            dispatches.push(DispatchReport::Returned { dispatch: id, reason: ReturnReason::NotStarted });
            return Step::Reports(Report { worker: self.id(), dispatches });
        }
        let all_ended = held.done == held.dispatch.tasks.len();
        if !held.unreported.is_empty() && (all_ended || eager) {
            let outcomes = held.unreported.clone();
            return Step::Reports(self.report(DispatchReport::Outcomes {
                dispatch: id,
                trace: None,
                outcomes,
            }));
        }
        if all_ended {
            self.held.remove(&id);
            self.settled.insert(id);
            return Step::Settled;
        }
        let task = held.dispatch.tasks[held.done].ordinal;
        if !held.started && !held.stopped {
            if running >= self.slots {
                return Step::Nothing;
            }
            if held.dispatch.announce_start && !held.announced {
                return Step::Announces {
                    task,
                    report: self.report(DispatchReport::Started { dispatch: id }),
                };
            }
            held.started = true;
        }
        if !held.stopped && held.begun == held.done {
            held.begun += 1;
            return Step::Began { dispatch: Arc::clone(&held.dispatch), task };
        }
        let end = if held.stopped {
            End::Cancelled
        } else {
            match behaviour(&held.dispatch, task) {
                Behaviour::Kills => return Step::Died,
                Behaviour::Hangs => return Step::Nothing,
                Behaviour::FailsForGood => End::Failed { retryable: false },
                Behaviour::FailsAlways => End::Failed { retryable: true },
                Behaviour::FailsAtFirst(times) if held.dispatch.attempt <= times => {
                    End::Failed { retryable: true }
                }
                Behaviour::Succeeds | Behaviour::FailsAtFirst(_) => End::Succeeded,
            }
        };
        held.done += 1;
        held.begun = held.done;
        held.unreported.push(Outcome {
            ordinal: task,
            // A clock that jumps makes tasks end before they begin.
            started_us: wall_us - self.task_us,
            finished_us: wall_us + self.ahead_us,
            verdict: verdict(end),
            metadata: Vec::new(),
            data_version: None,
            checks: Vec::new(),
            output: None,
        });
        let next = held.dispatch.tasks.get(held.done).map(|next| next.ordinal);
        Step::Ended { task, end, next }
    }

    /// A report of this worker is confirmed.
    pub(super) fn confirmed(&mut self, report: &Report) {
        for news in &report.dispatches {
            let (DispatchReport::Outcomes { dispatch, .. }
            | DispatchReport::Started { dispatch }
            | DispatchReport::Returned { dispatch, .. }) = news;
            let Some(held) = self.held.get_mut(dispatch) else { continue };
            match news {
                DispatchReport::Outcomes { .. } => held.unreported.clear(),
                DispatchReport::Started { .. } => held.announced = true,
                DispatchReport::Returned { .. } if held.handed_back => {
                    self.held.remove(dispatch);
                    self.settled.insert(*dispatch);
                }
                DispatchReport::Returned { .. } => {}
            }
        }
    }

    pub(super) fn obey(&mut self, control: Control, wall_us: i64) {
        match control {
            Control::Announce { .. } => {}
            Control::CancelRun { run } => {
                self.cancelled.insert(run, wall_us + self.ahead_us);
                let of_run = self.held.values_mut().filter(|held| held.dispatch.run == run);
                of_run.for_each(|held| held.stopped = true);
            }
            Control::Abandon { dispatches } => {
                for id in dispatches {
                    if self.held.remove(&id).is_some() {
                        self.settled.insert(id);
                    }
                }
            }
        }
    }

    pub(super) fn heartbeat(&mut self) -> Heartbeat {
        self.sequence += 1;
        let held = |(id, held): (&DispatchId, &HeldDispatch)| Held {
            dispatch: *id,
            started: held.started,
            done: held.done as u32,
        };
        Heartbeat {
            worker: self.id(),
            name: String::new(),
            version: String::new(),
            sequence: self.sequence,
            slots: self.slots as u32,
            queues: vec!["default".to_owned()],
            native_assets: Vec::new(),
            draining: self.draining,
            held: self.held.iter().map(held).collect(),
        }
    }

    /// A heartbeat that names what runs is confirmed: its deliveries may be acknowledged.
    pub(super) fn hand_over(&mut self, mut overdue: impl FnMut() -> bool) {
        for held in self.held.values_mut().filter(|held| held.started && held.unacknowledged > 0) {
            if overdue() {
                held.unacknowledged = 0;
            }
        }
    }

    /// The worker is asked to stop: it reports what has ended and hands the rest back.
    pub(super) fn drain(&mut self) -> Report {
        self.draining = true;
        let mut dispatches = Vec::new();
        for (dispatch, held) in std::mem::take(&mut self.held) {
            let reason = if held.started { ReturnReason::Interrupted } else { ReturnReason::NotStarted };
            let all_ended = held.done == held.dispatch.tasks.len();
            if !held.unreported.is_empty() {
                let outcomes = held.unreported;
                dispatches.push(DispatchReport::Outcomes { dispatch, trace: None, outcomes });
            }
            if !all_ended {
                dispatches.push(DispatchReport::Returned { dispatch, reason });
            }
        }
        Report { worker: self.id(), dispatches }
    }

    /// The broker closes its connection: what is unacknowledged goes to others, while the worker still has it. Its queue
    /// of broadcasts goes with the connection.
    pub(super) fn lose_deliveries(&mut self) -> Vec<Delivery> {
        let mut lost = Vec::new();
        self.inbox = Bag::default();
        for held in self.held.values_mut() {
            for _ in 0..std::mem::take(&mut held.unacknowledged) {
                lost.push(Delivery { dispatch: Arc::clone(&held.dispatch), redelivered: true });
            }
        }
        lost
    }
}

fn verdict(end: End) -> Verdict {
    match end {
        End::Succeeded => Verdict::Succeeded,
        End::Cancelled => Verdict::Cancelled,
        End::Failed { retryable } => Verdict::Failed(Failure {
            kind: FailureKind::Exit(1),
            message: "simulated".to_owned(),
            detail: None,
            retryable,
        }),
    }
}
