//! BOUND: what a leader may have in flight, however large the backfill.
//!
//! A worker queue has one window for each priority class, and windows follow slots ([`super::dispatch`]). So of one class
//! no more is in flight on a queue than the most slots allow that there were when something was sent: slots that are gone
//! since still count for what they were sent. Two things are not of this leader's choice: what it found when its term
//! began, and what a run had in flight when a user moved it into the class. Both may stay, and nothing may come on top.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Engine;
use super::invariant::{Violation, violation};

/// Dispatches per slot that no window exceeds, however short the tasks. Written down apart from the decision that it
/// checks.
const PER_SLOT_MAX: u32 = 512;

/// A worker queue and a priority class.
type Place = (Arc<str>, i32);

/// What the invariant remembers.
#[derive(Debug, Default)]
pub(super) struct Bound {
    /// Of each queue the most slots that there were when something was sent.
    most_slots: BTreeMap<Arc<str>, u32>,
    /// What may be in flight whatever the slots.
    allowed: BTreeMap<Place, u32>,
}

impl Engine {
    /// Dispatches were decided for the slots that there are now.
    pub(super) fn note_slots(&mut self) {
        for queue in self.queues.keys() {
            let slots = self.fleet.slots(queue);
            match self.bound.most_slots.get_mut(queue) {
                Some(most) => *most = slots.max(*most),
                None => _ = self.bound.most_slots.insert(Arc::clone(queue), slots),
            }
        }
    }

    /// What is in flight of these classes may stay. What was allowed before and is done is allowed no more.
    pub(super) fn allow_in_flight(&mut self, is_joined: impl Fn(i32) -> bool) {
        let before = std::mem::take(&mut self.bound.allowed);
        let allow = |(place, in_flight): (Place, u32)| {
            let allowed = if is_joined(place.1) { in_flight } else { in_flight.min(*before.get(&place)?) };
            Some((place, allowed))
        };
        self.bound.allowed = self.in_flight_by_place().into_iter().filter_map(allow).collect();
    }

    /// BOUND.
    pub(super) fn bound(&self, found: &mut Vec<Violation>) {
        for (place, in_flight) in self.in_flight_by_place() {
            let slots = self.bound.most_slots.get(&place.0).copied().unwrap_or(0);
            let allowed = self.bound.allowed.get(&place).copied().unwrap_or(0);
            if in_flight > slots.saturating_mul(PER_SLOT_MAX).max(allowed) {
                let (queue, class) = place;
                let what = format!(
                    "queue {queue}: {in_flight} dispatches of priority {class} in flight, for {slots} slots and \
                     {allowed} that were found or moved there"
                );
                found.push(violation("BOUND", what));
            }
        }
    }

    fn in_flight_by_place(&self) -> BTreeMap<Place, u32> {
        let mut places = BTreeMap::new();
        for open in self.open_dispatches.values() {
            let Some(run) = self.runs.get(&open.run) else { continue };
            let queue = Arc::clone(&run.assets[open.asset].plan.queue);
            *places.entry((queue, run.record.priority)).or_default() += 1;
        }
        places
    }
}

#[cfg(test)]
mod tests {
    use backstitch_proto::definition::Definitions;
    use backstitch_proto::id::{Epoch, RunId};
    use backstitch_proto::message::Heartbeat;
    use backstitch_proto::partition::PartitionSubset;
    use uuid::Uuid;

    use super::*;
    use crate::engine::testing::{at, dispatch_id, heartbeat, recovered};
    use crate::engine::{Mutation, Options};
    use crate::ledger::{PlannedAsset, RunRecord};
    use crate::service::bind;

    /// More than two slots may ever have in flight.
    const TASKS: u32 = 2 * PER_SLOT_MAX + 1;

    /// A worker of two slots has been heard, a run of [`TASKS`] was submitted, and what may go has gone.
    fn sent(sabotage: Option<Mutation>) -> Engine {
        let keys: Vec<String> = (0..TASKS).map(|number| format!("k{number}")).collect();
        let text = format!(
            "assets: {{a: {{partitions: {{kind: static, keys: [{}]}}, command: [x]}}}}",
            keys.join(",")
        );
        let definitions = Definitions::from_yaml("test.yaml", &text).expect("a valid project");
        let assets = vec![PlannedAsset { asset: "a".into(), targets: PartitionSubset::from_range(0..TASKS) }];
        let record = RunRecord::backfill(RunId(Uuid::from_u128(1)), definitions.fingerprint(), 0, assets);
        let mut engine = Engine::new(Epoch(1), Options { sabotage, ..Options::default() });
        engine.heartbeat(&heartbeat(&[]), at(0));
        engine.submit(bind(&definitions, record).expect("a valid plan"), "{}".into(), at(0));
        engine.seal(at(0)).expect("dispatches");
        engine
    }

    #[test]
    fn more_in_flight_than_the_most_slots_allow_is_found() {
        assert_eq!(sent(None).violations(), []);
        let found = sent(Some(Mutation::NoWindow)).violations();
        let what = "queue default: 1025 dispatches of priority 0 in flight, for 2 slots and 0 that were found or moved there";
        assert_eq!(found, [violation("BOUND", what.to_owned())]);
    }

    #[test]
    fn slots_that_are_gone_count_for_what_they_were_sent() {
        let mut engine = sent(None);
        engine.heartbeat(&Heartbeat { sequence: 2, draining: true, ..heartbeat(&[]) }, at(1));
        engine.seal(at(1));
        assert!(!engine.open_dispatches.is_empty());
        assert_eq!(engine.violations(), []);
    }

    #[test]
    fn what_a_leader_found_may_stay_and_move_and_nothing_may_come_on_top() {
        let mut engine = recovered(3, 0, dispatch_id(3));
        assert_eq!(engine.violations(), [], "nobody has been heard yet");
        engine.reprioritise(RunId(Uuid::from_u128(1)), 5).expect("it is live");
        assert_eq!(engine.violations(), [], "a user moved it");
        let one = engine.close(dispatch_id(3)).expect("it is open");
        engine.allow_in_flight(|_| false);
        engine.open(dispatch_id(3), one);
        let bounds = engine.violations().into_iter().filter(|found| found.invariant == "BOUND");
        assert_eq!(bounds.count(), 1, "two were allowed when the third came");
    }
}
