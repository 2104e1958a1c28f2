//! BUDGET from below, and FENCE against the world: an engine may neither take attempts away nor make outcomes up.
//!
//! Everything here is counted from rows and from what happened on workers, never from what an engine says.

use super::ledger::{Attempt, LedgerRun, violation};
use super::witness::End;
use super::world::World;
use crate::engine::{LOSSES_MAX, Violation};
use crate::ledger::{AttemptRecord, AttemptResult, Batch, DispatchRecord};

impl World {
    /// Checks the attempts and dispatches of a batch that was committed.
    pub(super) fn check_spending(&mut self, batch: &Batch) {
        let mut found = Vec::new();
        for attempt in &batch.attempts {
            self.check_happened(attempt, &mut found);
            if let Some(run) = self.ledger.runs.get(&attempt.run) {
                run.check_terminal(attempt, &mut found);
            }
        }
        for dispatch in &batch.dispatches {
            self.check_dispatch(dispatch, &mut found);
        }
        self.violations.extend(found);
    }

    /// FENCE: what is recorded is what an execution under this dispatch came to. BUDGET: a loss is spent by a task that
    /// had its turn; and nobody loses anything in a world where nobody dies or seems to.
    fn check_happened(&self, attempt: &AttemptRecord, found: &mut Vec<Violation>) {
        let (id, task) = (attempt.dispatch, attempt.ordinal);
        let ended = |end| self.witness.first_end_ms(id, task, end).is_some();
        let happened = match &attempt.result {
            AttemptResult::Succeeded => ended(End::Succeeded),
            AttemptResult::Failed { failure, .. } => ended(End::Failed { retryable: failure.retryable }),
            AttemptResult::Cancelled => true,
            AttemptResult::Lost { .. } => {
                if !self.witness.came_to_its_turn(id, task) {
                    let what =
                        format!("{} task {task} spent a loss under {id}, and never began", attempt.asset);
                    found.push(violation("BUDGET", what));
                }
                if self.faults.lose_nothing(self.listens) {
                    let what = format!("{} task {task} was lost under {id}, and nobody died", attempt.asset);
                    found.push(violation("BUDGET", what));
                }
                true
            }
        };
        if !happened {
            let what = format!(
                "{} task {task} under {id}: no execution ended as {:?}",
                attempt.asset, attempt.result
            );
            found.push(violation("FENCE", what));
        }
    }

    fn check_dispatch(&self, dispatch: &DispatchRecord, found: &mut Vec<Violation>) {
        let Some(run) = self.ledger.runs.get(&dispatch.run) else { return };
        let asset = usize::from(dispatch.asset_index);
        for task in dispatch.ordinals.iter() {
            let name = || format!("{} task {task} under {}", run.plan.assets[asset].name, dispatch.id);
            let last = run.attempts[asset].range((task, 0)..(task, dispatch.attempt)).next_back();
            if last.map_or(0, |((_, number), _)| *number) + 1 != dispatch.attempt {
                found
                    .push(violation("BUDGET", format!("{}: attempt {} skips one", name(), dispatch.attempt)));
            }
            let Some((_, last)) = last else { continue };
            match last.result {
                // The next loss must show who was to blame.
                AttemptResult::Lost { .. } if dispatch.ordinals.len() > 1 || !dispatch.announce_start => {
                    let what = format!("{}: lost with its worker before, and not sent apart", name());
                    found.push(violation("BUDGET", what));
                }
                AttemptResult::Failed { .. } => {
                    let Some(due_ms) = self.due_ms(run, asset, task, dispatch.attempt, last) else {
                        continue;
                    };
                    let decided_ms = self.leader.sealed_ms;
                    if decided_ms < due_ms {
                        let what = format!("{}: decided at {decided_ms} ms, due at {due_ms} ms", name());
                        found.push(violation("BUDGET", what));
                    }
                }
                _ => {}
            }
        }
    }

    /// When the delay after a failure is over, milliseconds of the world's clock. A later leader only knows the time on
    /// the wall, so nothing is asked of it once that has jumped.
    fn due_ms(&self, run: &LedgerRun, asset: usize, task: u32, next: u16, last: &Attempt) -> Option<u64> {
        if self.clock_jumped && last.written_by != self.leader.epoch {
            return None;
        }
        let ended_ms = self.witness.first_end_ms(last.dispatch, task, End::Failed { retryable: true })?;
        let (failures, _) = run.spent_before(asset, task, next);
        // No project spreads its delays, so chance changes nothing.
        let delay = run.plan.assets[asset].retry.delay_before(failures, 0.5);
        Some(ended_ms + delay.as_millis() as u64)
    }
}

impl LedgerRun {
    /// BUDGET: a task fails for good when it has spent what it has, and not before.
    fn check_terminal(&self, attempt: &AttemptRecord, found: &mut Vec<Violation>) {
        let asset = usize::from(attempt.asset_index);
        let (failures, losses) = self.spent_before(asset, attempt.ordinal, attempt.attempt + 1);
        let (is_terminal, should_be) = match &attempt.result {
            AttemptResult::Failed { failure, terminal } => {
                (*terminal, !failure.retryable || failures > self.plan.assets[asset].retry.max_retries)
            }
            AttemptResult::Lost { terminal } => (*terminal, losses >= u32::from(LOSSES_MAX)),
            AttemptResult::Succeeded | AttemptResult::Cancelled => return,
        };
        if is_terminal != should_be {
            let what = format!(
                "{} task {}: failed for good: {is_terminal}, after {failures} failures and {losses} losses",
                attempt.asset, attempt.ordinal
            );
            found.push(violation("BUDGET", what));
        }
    }
}
