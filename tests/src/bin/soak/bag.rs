//! Which fault comes next: each kind once, in any order, before any comes again.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use super::fault::{ALL, Fault};

/// The kinds that are left, and how often each was made.
#[derive(Default)]
pub(super) struct Bag {
    left: Vec<Fault>,
    made: BTreeMap<Fault, usize>,
}

impl Bag {
    /// The next one.
    pub(super) fn draw(&mut self, rng: &mut StdRng) -> Fault {
        if self.left.is_empty() {
            self.left = ALL.to_vec();
            self.left.shuffle(rng);
        }
        // It was just filled.
        self.left.pop().unwrap_or(Fault::KillWorker)
    }

    /// It was made, or there was nothing that could be broken in this way just now, and it is tried again.
    pub(super) fn note(&mut self, fault: Fault, made: bool) {
        *self.made.entry(fault).or_default() += usize::from(made);
        if !made {
            self.left.insert(0, fault);
        }
    }

    /// Kinds that have not been made yet.
    pub(super) fn missing(&self) -> Vec<Fault> {
        ALL.into_iter().filter(|fault| self.is_missing(*fault)).collect()
    }

    /// Whether this one has not been made yet.
    pub(super) fn is_missing(&self, fault: Fault) -> bool {
        self.made.get(&fault).is_none_or(|made| *made == 0)
    }

    /// How often each was made, for people.
    pub(super) fn summary(&self) -> String {
        let kinds = self.made.iter().map(|(fault, made)| format!("{fault:?} {made}"));
        kinds.collect::<Vec<_>>().join(", ")
    }
}
