//! The small numbers that stand for assets in rows.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::Batch;

/// Ids that committed transactions have given.
pub(super) type CommittedIds = HashMap<Arc<str>, i32>;

/// The ids of the assets of one batch.
///
/// Those that its own transaction gave are kept apart until it is committed: a rollback takes them back.
#[derive(Debug)]
pub(super) struct AssetIds<'a> {
    committed: &'a CommittedIds,
    new: CommittedIds,
}

impl<'a> AssetIds<'a> {
    pub(super) fn new(committed: &'a CommittedIds) -> Self {
        Self { committed, new: HashMap::new() }
    }

    /// Names of the batch that have no id here yet, each once.
    pub(super) fn unknown(&self, batch: &Batch) -> Vec<Arc<str>> {
        let planned = batch.runs.iter().flat_map(|run| &run.assets).map(|planned| &planned.asset);
        let named = planned.chain(batch.attempts.iter().map(|attempt| &attempt.asset));
        let unknown: HashSet<&Arc<str>> = named.filter(|name| !self.committed.contains_key(*name)).collect();
        unknown.into_iter().cloned().collect()
    }

    pub(super) fn add(&mut self, name: Arc<str>, id: i32) {
        self.new.insert(name, id);
    }

    /// The id of an asset of the batch.
    pub(super) fn of(&self, name: &Arc<str>) -> i32 {
        // `unknown` named every asset of the batch that was not committed, and `add` was called for each.
        let id = self.committed.get(name).or_else(|| self.new.get(name));
        id.copied().unwrap_or_else(|| unreachable!("asset {name} of the batch has no id"))
    }

    /// What the transaction gave, once it is committed.
    pub(super) fn into_new(self) -> CommittedIds {
        self.new
    }
}
