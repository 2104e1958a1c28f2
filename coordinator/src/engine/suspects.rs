//! Suspects in flight, by queue: what a task on probation must not run beside.
//!
//! Only workers matter that may hold both: a suspect that waits in a queue without workers, or runs where the other
//! queue is not taken from, keeps nobody waiting.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::fleet::Fleet;
use super::open_dispatch::OpenDispatch;

/// How many dispatches of suspects are in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct InFlight {
    /// All of them.
    pub(super) suspects: u32,
    /// Those whose task will count as the cause if its worker dies.
    pub(super) on_probation: u32,
}

/// The counts of each queue that has any.
#[derive(Clone, Debug, Default)]
pub(super) struct Suspects(BTreeMap<Arc<str>, InFlight>);

impl Suspects {
    /// The dispatch is in flight now.
    pub(super) fn add(&mut self, queue: &Arc<str>, open: &OpenDispatch) {
        if open.announce_start || open.on_probation {
            let counts = self.0.entry(Arc::clone(queue)).or_default();
            counts.suspects += 1;
            counts.on_probation += u32::from(open.on_probation);
        }
    }

    /// The dispatch is in flight no longer.
    pub(super) fn remove(&mut self, queue: &str, open: &OpenDispatch) {
        if !(open.announce_start || open.on_probation) {
            return;
        }
        let Some(counts) = self.0.get_mut(queue) else { return };
        counts.suspects -= 1;
        counts.on_probation -= u32::from(open.on_probation);
        if counts.suspects == 0 {
            self.0.remove(queue);
        }
    }

    /// Suspects that could be on the same worker as a task of `queue`.
    pub(super) fn beside(&self, queue: &str, fleet: &Fleet) -> InFlight {
        let shared = self.0.iter().filter(|(other, _)| fleet.shares_worker(queue, other));
        shared.fold(InFlight::default(), |sum, (_, counts)| InFlight {
            suspects: sum.suspects + counts.suspects,
            on_probation: sum.on_probation + counts.on_probation,
        })
    }
}

#[cfg(test)]
mod tests {
    use backstitch_proto::id::{RunId, WorkerId};
    use backstitch_proto::message::Heartbeat;
    use backstitch_proto::partition::PartitionSubset;
    use uuid::Uuid;

    use super::*;
    use crate::engine::open_dispatch::Holder;
    use crate::engine::testing::heartbeat;

    fn open(announce_start: bool, on_probation: bool) -> OpenDispatch {
        OpenDispatch {
            run: RunId(Uuid::nil()),
            asset: 0,
            attempt: 1,
            announce_start,
            on_probation,
            remaining: PartitionSubset::from_ordinals([0]),
            started: false,
            has_outcome: false,
            holder: Holder::Outbox,
            created_us: 0,
        }
    }

    #[test]
    fn only_suspects_that_a_worker_may_hold_beside_the_queue_count() {
        let mut fleet = Fleet::default();
        let mut worker = |number: u128, queues: &[&str]| {
            let heartbeat = Heartbeat {
                worker: WorkerId(Uuid::from_u128(number)),
                queues: queues.iter().map(|queue| (*queue).to_owned()).collect(),
                ..heartbeat(&[])
            };
            fleet.hear(&heartbeat, 0, 0);
            fleet.clone()
        };
        let mut suspects = Suspects::default();
        let (first, second) = (open(true, false), open(true, true));
        suspects.add(&"gpu".into(), &first);
        suspects.add(&"gpu".into(), &second);
        suspects.add(&"gpu".into(), &open(false, false));
        let both = InFlight { suspects: 2, on_probation: 1 };

        let apart = worker(1, &["default"]);
        assert_eq!(
            suspects.beside("default", &apart),
            InFlight::default(),
            "nobody takes from the other queue"
        );
        let apart = worker(2, &["gpu"]);
        assert_eq!(suspects.beside("default", &apart), InFlight::default(), "somebody else takes from it");
        assert_eq!(suspects.beside("gpu", &apart), both);
        let shared = worker(3, &["gpu", "default"]);
        assert_eq!(suspects.beside("default", &shared), both);

        suspects.remove("gpu", &second);
        assert_eq!(suspects.beside("default", &shared), InFlight { suspects: 1, on_probation: 0 });
        suspects.remove("gpu", &first);
        assert_eq!(suspects.beside("default", &shared), InFlight::default());
    }
}
