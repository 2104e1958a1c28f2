//! What this process has declared, to declare it again when it is missing and to refuse what is not there.

use std::sync::{PoisonError, RwLock};

use crate::{Target, Topology, dead_letter_queue};

#[derive(Default)]
pub(super) struct Known(RwLock<Topology>);

impl Known {
    pub(super) fn add(&self, topology: &Topology) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.dead_letter_exchange.clone_from(&topology.dead_letter_exchange);
        add_missing(&mut known.work, &topology.work);
        add_missing(&mut known.transient, &topology.transient);
        add_missing(&mut known.former, &topology.former);
        add_missing(&mut known.fanouts, &topology.fanouts);
    }

    pub(super) fn topology(&self) -> Topology {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A publish to an exchange that does not exist costs the whole channel, with every confirm on it.
    pub(super) fn contains(&self, target: &Target) -> bool {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        match target {
            Target::Fanout(name) => known.fanouts.contains(name),
            Target::Queue(name) => {
                known.queues().any(|queue| queue == name || dead_letter_queue(queue) == *name)
            }
        }
    }

    /// Whether `name` is a queue of the release before this one.
    pub(super) fn is_former(&self, name: &str) -> bool {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.former.iter().any(|queue| queue.name == name)
    }

    /// Whether messages of the queue `name` have a dead-letter queue to go to.
    pub(super) fn has_dead_letters(&self, name: &str) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).queues().any(|queue| queue == name)
    }
}

fn add_missing<T: Clone + PartialEq>(known: &mut Vec<T>, more: &[T]) {
    for item in more {
        if !known.contains(item) {
            known.push(item.clone());
        }
    }
}
