//! Promises of the engine that a test can break, to see that the simulation notices.
//!
//! A simulation that never failed proves nothing. Each promise has one place in the engine where it is kept; there,
//! in a test build, the engine can be told not to keep it. In any other build there is no state that could say so:
//! everything here does nothing, and the compiler drops it.

#[cfg(test)]
use backstitch_proto::definition::HumanDuration;
use backstitch_proto::id::DispatchId;
use backstitch_proto::message::Outcome;

use super::Engine;
use super::plan::RunPlan;
use crate::ledger::Batch;

/// A promise that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutation {
    /// An outcome counts for its task, whichever dispatch it came with.
    #[cfg(test)]
    NoFence,
    /// A message is published before the row of its dispatch is durable: the row is in the next batch.
    #[cfg(test)]
    PublishFirst,
    /// Workers that fall silent keep what they held.
    NoLease,
    /// A dispatch that its worker has stopped listing stays with it.
    NoUnlisted,
    /// A second outcome of a task under the same dispatch counts again.
    NoFirstOutcome,
    /// A cancellation is broadcast once, and never again.
    CancelOnce,
    /// Workers are told to abandon dispatches of later terms.
    AbandonLater,
    /// A failed task is retried for ever.
    #[cfg(test)]
    NoBudget,
    /// Tasks do not wait for what they need.
    #[cfg(test)]
    NoOrder,
    /// Pools have no limit.
    #[cfg(test)]
    NoPoolLimit,
    /// Runs have no bound on what is in flight.
    #[cfg(test)]
    NoRunLimit,
    /// A task is retried once less often than its policy says.
    #[cfg(test)]
    LastRetryMissing,
    /// A failed task is tried again at once.
    #[cfg(test)]
    NoDelay,
    /// A new leader tries failed tasks again at once.
    DelaysForgotten,
    /// A lost task spends a loss, whether or not it had begun.
    LossBeforeStart,
    /// A new leader does not know which tasks were lost with their worker.
    SuspectsForgotten,
    /// A pause is not written down.
    PauseUnwritten,
    /// Another priority is not written down.
    PriorityUnwritten,
    /// A cancellation is not written down.
    CancelUnwritten,
    /// A new leader does not know what is paused.
    PauseForgotten,
    /// Runs go on while they are paused.
    PauseIgnored,
    /// Everything that is ready is dispatched at once.
    NoWindow,
    /// Messages are thought to lie unclaimed while nobody could be heard.
    DeafTimeCounts,
    /// Messages are published again while nobody can be heard.
    RepublishDeaf,
}

#[cfg(not(test))]
impl Engine {
    /// Whether a test broke this promise.
    pub(super) const fn is_sabotaged(&self, _: Mutation) -> bool {
        false
    }

    /// The dispatch under which outcomes count: the one that they came with.
    pub(super) const fn sabotage_fence(&self, id: DispatchId, _: &[Outcome]) -> DispatchId {
        id
    }

    /// A dispatch is closed.
    pub(super) const fn sabotage_note_closed(
        &mut self,
        _: DispatchId,
        _: &super::open_dispatch::OpenDispatch,
    ) {
    }

    /// The rows of dispatches go with the batch that was sealed with them.
    pub(super) const fn sabotage_batch(&mut self, _: &mut Batch) {}

    /// A plan is kept as it is.
    pub(super) fn sabotage_plan(&self, plan: RunPlan) -> RunPlan {
        plan
    }
}

/// What a broken engine remembers besides.
#[cfg(test)]
#[derive(Debug, Default)]
pub(super) struct Sabotage {
    /// Closed dispatches.
    closed: std::collections::BTreeMap<DispatchId, (super::RunId, usize)>,
    /// Rows for the next batch.
    held_back: Vec<crate::ledger::DispatchRecord>,
}

#[cfg(test)]
impl Engine {
    pub(super) fn is_sabotaged(&self, mutation: Mutation) -> bool {
        self.options.sabotage == Some(mutation)
    }

    pub(super) fn sabotage_fence(&self, id: DispatchId, outcomes: &[Outcome]) -> DispatchId {
        let closed = self.sabotage.closed.get(&id);
        match (closed, outcomes.first()) {
            (Some((run, asset)), Some(outcome)) if self.is_sabotaged(Mutation::NoFence) => {
                self.holder_of(*run, *asset, outcome.ordinal).unwrap_or(id)
            }
            _ => id,
        }
    }

    pub(super) fn sabotage_note_closed(&mut self, id: DispatchId, open: &super::open_dispatch::OpenDispatch) {
        self.sabotage.closed.insert(id, (open.run, open.asset));
    }

    pub(super) fn sabotage_batch(&mut self, batch: &mut Batch) {
        if self.is_sabotaged(Mutation::PublishFirst) {
            std::mem::swap(&mut self.sabotage.held_back, &mut batch.dispatches);
        }
    }

    pub(super) fn sabotage_plan(&self, mut plan: RunPlan) -> RunPlan {
        for asset in &mut plan.assets {
            match self.options.sabotage {
                Some(Mutation::LastRetryMissing) => {
                    asset.retry.max_retries = asset.retry.max_retries.saturating_sub(1);
                }
                Some(Mutation::NoDelay) => asset.retry.delay = HumanDuration::from_secs(0),
                Some(Mutation::NoBudget) => asset.retry.max_retries = u32::MAX - 1,
                Some(Mutation::NoOrder) => asset.upstreams.clear(),
                Some(Mutation::NoPoolLimit) => asset.pool = None,
                Some(Mutation::NoRunLimit) => plan.record.max_parallel = None,
                _ => {}
            }
        }
        plan
    }
}
