//! Every dispatch in this worker's hands. Pure: who calls, acts.
//!
//! ```text
//!            admit                 start                 settle
//!   delivery ─────▶ held, waiting ───────▶ held, running ───────▶ remembered
//!      │                  └────────────── settle ───────────────────▲
//!      ├─ duplicate of what is held: acknowledge and forget
//!      └─ redelivered, or settled before: hand back
//! ```
//!
//! A dispatch stays held until everything that is to be said of it is confirmed, so that heartbeats name it, and the
//! lease protects it, for as long as it would be lost with this worker.

use std::collections::HashMap;
use std::time::Duration;

use backstitch_proto::id::{DispatchId, RunId};
use backstitch_proto::message::{Dispatch, Held};
use tokio::time::Instant;

use super::recent::Recent;
use crate::stop::{self, Stop, StopSignal, Stopper};

/// Settled dispatches and cancelled runs that are remembered: minutes at any sensible rate, a megabyte of memory.
const REMEMBERED: usize = 10_000;

/// The dispatches, with the right to acknowledge their deliveries as `A`.
#[derive(Debug)]
pub(crate) struct Table<A> {
    held: HashMap<DispatchId, Entry<A>>,
    settled: Recent<DispatchId, ()>,
    /// When each run was cancelled, microseconds since the Unix epoch by this worker's clock.
    cancelled: Recent<RunId, i64>,
}

#[derive(Debug)]
struct Entry<A> {
    run: RunId,
    started: bool,
    done: u32,
    received: Instant,
    /// Unacknowledged deliveries; several when the connection was lost and the message came again.
    ackers: Vec<A>,
    stopper: Stopper,
}

/// What is to be done with a delivery.
#[derive(Debug)]
pub(crate) enum Admission<A> {
    /// It is held now; this tells it to stop.
    Held(StopSignal),
    /// It is held already: acknowledge.
    Duplicate(A),
    /// The delivery is held with the one that is known here; its acker was kept.
    Joined,
    /// Somebody has had it, and may have started it: hand back.
    HandBack(A),
}

impl<A> Table<A> {
    /// Holds nothing.
    pub(crate) fn new() -> Self {
        Self { held: HashMap::new(), settled: Recent::new(REMEMBERED), cancelled: Recent::new(REMEMBERED) }
    }

    /// Takes a delivery in, or says why not.
    pub(crate) fn admit(
        &mut self,
        dispatch: &Dispatch,
        redelivered: bool,
        acker: A,
        now: Instant,
    ) -> Admission<A> {
        if let Some(entry) = self.held.get_mut(&dispatch.id) {
            if redelivered {
                // Perhaps the same message after a lost connection: then its delivery is the only one that counts.
                // Perhaps another copy: then both count. Keeping both is right either way.
                entry.ackers.push(acker);
                return Admission::Joined;
            }
            return Admission::Duplicate(acker);
        }
        // What this worker has settled comes again if the coordinator never got the report: it decides.
        if redelivered || self.settled.get(&dispatch.id).is_some() {
            return Admission::HandBack(acker);
        }
        let (stopper, signal) = stop::channel();
        // A run can be taken up again after it was cancelled: only what was made before counts. A clock that is off
        // costs a repetition of the cancellation, which the coordinator sends until it took effect.
        if self.cancelled.get(&dispatch.run).is_some_and(|&cancelled_us| dispatch.created_us <= cancelled_us)
        {
            stopper.stop(Stop::Cancel);
        }
        let entry =
            Entry { run: dispatch.run, started: false, done: 0, received: now, ackers: vec![acker], stopper };
        self.held.insert(dispatch.id, entry);
        Admission::Held(signal)
    }

    /// Execution of the dispatch begins.
    pub(crate) fn start(&mut self, id: DispatchId) {
        if let Some(entry) = self.held.get_mut(&id) {
            entry.started = true;
        }
    }

    /// So many more of its tasks have ended.
    pub(crate) fn progress(&mut self, id: DispatchId, tasks: u32) {
        if let Some(entry) = self.held.get_mut(&id) {
            entry.done = entry.done.saturating_add(tasks);
        }
    }

    /// Nothing is left to say of the dispatch. Gives the deliveries that are to be acknowledged.
    pub(crate) fn settle(&mut self, id: DispatchId) -> Vec<A> {
        self.settled.put(id, ());
        self.held.remove(&id).map(|entry| entry.ackers).unwrap_or_default()
    }

    /// Running dispatches whose delivery has been unacknowledged for `limit`.
    pub(crate) fn overdue(&self, limit: Duration, now: Instant) -> Vec<DispatchId> {
        let overdue = |entry: &Entry<A>| {
            entry.started && !entry.ackers.is_empty() && now.duration_since(entry.received) >= limit
        };
        self.held.iter().filter(|(_, entry)| overdue(entry)).map(|(&id, _)| id).collect()
    }

    /// The deliveries of a dispatch that stays held: its lease protects it from here on.
    pub(crate) fn hand_over(&mut self, id: DispatchId) -> Vec<A> {
        self.held.get_mut(&id).map(|entry| std::mem::take(&mut entry.ackers)).unwrap_or_default()
    }

    /// Everything that is held, for a heartbeat.
    pub(crate) fn held(&self) -> Vec<Held> {
        let mut held: Vec<Held> = self
            .held
            .iter()
            .map(|(&dispatch, entry)| Held { dispatch, started: entry.started, done: entry.done })
            .collect();
        held.sort_unstable_by_key(|held| held.dispatch);
        held
    }

    /// Ends the executions of a run, and those that come late.
    pub(crate) fn cancel(&mut self, run: RunId, now_us: i64) {
        self.cancelled.put(run, now_us);
        self.held
            .values()
            .filter(|entry| entry.run == run)
            .for_each(|entry| entry.stopper.stop(Stop::Cancel));
    }

    /// Ends executions that nobody waits for.
    pub(crate) fn abandon(&self, dispatches: &[DispatchId]) {
        dispatches
            .iter()
            .filter_map(|id| self.held.get(id))
            .for_each(|entry| entry.stopper.stop(Stop::Abandon));
    }

    /// Ends everything.
    pub(crate) fn interrupt(&self) {
        self.held.values().for_each(|entry| entry.stopper.stop(Stop::Interrupt));
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
