//! Dispatches of cancelled runs that nobody lists.
//!
//! What a worker holds ends with the worker: it reports, or falls silent. The rest is at the broker, or in the hands of a
//! worker that has not listed it yet. Without a pool it is closed at once: a worker that has begun it is told to stop,
//! and whatever it says is fenced. With a pool the slots would be given to others while it stops. So these wait until
//! everybody who had it when the run was cancelled has listed it; whoever gets it later knows that the run is cancelled.
//!
//! A leader that finds a cancelled run in the ledger does not know what the last one was told, and waits in the same way.

use backstitch_proto::id::{DispatchId, RunId};

use super::open_dispatch::{Holder, OpenDispatch};
use super::{Engine, Now};

/// The time within which a worker lists what it has got, milliseconds: a heartbeat, and half of one for its way.
const CLAIMED_MS: u64 = 3_000;

impl Engine {
    /// Closes what nobody executes, and remembers when to close what somebody might.
    pub(super) fn close_unclaimed_of(&mut self, id: RunId, now: Now) {
        let Some(run) = self.runs.get(&id) else { return };
        let has_pool = |open: &OpenDispatch| run.assets[open.asset].plan.pool.is_some();
        let (later, mut at_once): (Vec<_>, Vec<_>) = self
            .unclaimed_of(id)
            .into_iter()
            .partition(|id| self.open_dispatches.get(id).is_some_and(has_pool));
        // Delivered twice, and held by nobody that is known: with a pool somebody may be executing it for a lease.
        let is_unidentified = |open: &OpenDispatch| {
            open.run == id && matches!(open.holder, Holder::Unidentified { .. }) && !has_pool(open)
        };
        let unidentified = self.open_dispatches.iter().filter(|(_, open)| is_unidentified(open));
        at_once.extend(unidentified.map(|(id, _)| *id));
        at_once.into_iter().for_each(|id| self.close_cancelled(id));
        if !later.is_empty() {
            self.cancelled.insert(id, now.mono_ms + CLAIMED_MS);
        }
    }

    /// Closes what nobody has listed in time.
    pub(super) fn close_unclaimed(&mut self, now: Now) {
        if self.is_deaf(now) || self.is_awaiting_return(now) {
            return;
        }
        let is_due = |due_ms: u64| due_ms <= now.mono_ms && self.has_heard_until(due_ms);
        let due: Vec<RunId> =
            self.cancelled.iter().filter(|(_, due_ms)| is_due(**due_ms)).map(|(id, _)| *id).collect();
        for run in due {
            self.cancelled.remove(&run);
            self.unclaimed_of(run).into_iter().for_each(|id| self.close_cancelled(id));
            self.finish_if_done(run, now);
        }
    }

    /// When the next of them is due.
    pub(super) fn next_cancelled_ms(&self) -> Option<u64> {
        self.cancelled.values().min().copied()
    }

    /// Dispatches of a run that no worker has listed. One that was delivered twice has a rule of its own ([`super::lease`]).
    fn unclaimed_of(&self, run: RunId) -> Vec<DispatchId> {
        let is_unclaimed = |open: &OpenDispatch| {
            open.run == run && matches!(open.holder, Holder::Outbox | Holder::Broker { .. })
        };
        self.open_dispatches.iter().filter(|(_, open)| is_unclaimed(open)).map(|(id, _)| *id).collect()
    }
}

#[cfg(test)]
mod tests {
    use backstitch_proto::definition::Definitions;
    use backstitch_proto::id::Epoch;
    use backstitch_proto::message::{DispatchReport, Report, ReturnReason};
    use backstitch_proto::partition::PartitionSubset;
    use uuid::Uuid;

    use super::*;
    use crate::engine::Options;
    use crate::engine::testing::{at, dispatch_id, heartbeat, recovered};
    use crate::ledger::{PlannedAsset, RunRecord};
    use crate::service::bind;

    #[test]
    fn slots_of_a_pool_are_free_when_nobody_can_still_be_starting_what_was_cancelled() {
        let text = "assets: {a: {command: [x], pool: p}, b: {command: [x]}}\npools: {p: 1}";
        let definitions = Definitions::from_yaml("backstitch.yaml", text).expect("a valid project");
        let submit = |engine: &mut Engine, number, assets: &[&str]| {
            let all = PartitionSubset::from_range(0..1);
            let planned = |asset: &&str| PlannedAsset { asset: (*asset).into(), targets: all.clone() };
            let assets = assets.iter().map(planned).collect();
            let record =
                RunRecord::backfill(RunId(Uuid::from_u128(number)), definitions.fingerprint(), 0, assets);
            let id = record.id;
            engine.submit(bind(&definitions, record).expect("it binds"), "{}".into(), at(0));
            id
        };
        let mut engine = Engine::new(Epoch(1), Options::default());
        engine.heartbeat(&heartbeat(&[]), at(0));
        let first = submit(&mut engine, 1, &["a", "b"]);
        let sent = engine.seal(at(0)).expect("two dispatches").batch.dispatches;
        assert_eq!(sent.iter().map(|dispatch| dispatch.run).collect::<Vec<_>>(), [first, first]);
        let second = submit(&mut engine, 2, &["a"]);
        sent.iter().for_each(|dispatch| engine.confirmed(dispatch.id, at(10)));
        engine.cancel(first, at(20)).expect("it is live");
        let cancelled = engine.seal(at(20)).expect("the cancellation");
        assert!(cancelled.batch.dispatches.is_empty(), "a worker may be starting it");
        assert_eq!(cancelled.batch.closed.len(), 1, "nobody waits for what has no pool");
        let later = engine.seal(at(20 + CLAIMED_MS)).expect("it is closed");
        assert_eq!(later.batch.dispatches.iter().map(|dispatch| dispatch.run).collect::<Vec<_>>(), [second]);
        assert!(engine.run(first).is_none(), "it has ended");
    }

    #[test]
    fn what_was_delivered_twice_does_not_keep_a_cancelled_run_for_a_lease() {
        let mut engine = recovered(1, 0, dispatch_id(1));
        let run = RunId(Uuid::from_u128(1));
        engine.heartbeat(&heartbeat(&[]), at(10));
        let news = DispatchReport::Returned { dispatch: dispatch_id(1), reason: ReturnReason::Redelivered };
        engine.report(Report { worker: heartbeat(&[]).worker, dispatches: vec![news] }, at(20));
        engine.seal(at(20));
        assert!(engine.run(run).is_some(), "somebody may have it");
        engine.cancel(run, at(30)).expect("it is live");
        assert!(engine.run(run).is_none(), "whatever they say is fenced");
    }
}
