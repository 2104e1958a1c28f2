//! What happened in a world: what a seed leaves behind.

use std::fmt;

use super::happened::Happened;
use crate::engine::Violation;

/// A history that was played.
#[derive(Clone, Debug)]
pub struct History {
    /// The seed.
    pub seed: u64,
    /// Tasks that were targeted by all runs together.
    pub tasks: u64,
    /// Steps that it took.
    pub steps: u64,
    /// The faults that it had.
    pub happened: Happened,
    /// What went wrong. Empty when all is well.
    pub violations: Vec<Violation>,
    /// Every step, if it was played to be read.
    pub trace: Vec<String>,
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.trace {
            writeln!(f, "{step}")?;
        }
        for violation in &self.violations {
            writeln!(f, "violated {violation}")?;
        }
        let Self { seed, tasks, steps, violations, .. } = self;
        let plural = if violations.len() == 1 { "" } else { "s" };
        write!(f, "seed {seed}: {tasks} tasks, {steps} steps, {} violation{plural}", violations.len())
    }
}

/// The steps of a history, if anybody wants to read them: writing them down costs more than playing them.
#[derive(Debug)]
pub(super) struct Trace(Option<Vec<String>>);

impl Trace {
    pub(super) fn new(wanted: bool) -> Self {
        Self(wanted.then(Vec::new))
    }

    pub(super) fn note(&mut self, at_ms: u64, step: impl FnOnce() -> String) {
        if let Some(steps) = &mut self.0 {
            steps.push(format!("{at_ms:>8} ms  {}", step()));
        }
    }

    pub(super) fn into_steps(self) -> Vec<String> {
        self.0.unwrap_or_default()
    }
}
