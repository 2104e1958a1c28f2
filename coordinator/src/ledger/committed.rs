//! What a process remembers of its own commits, so that later ones write less.
//!
//! Only what the ledger still has may be in here: a row that names the number of an asset that is gone is a task that
//! nobody finds again. So a commit adds to it once it is durable, and every term begins with nothing: before it the ledger
//! may have been set back, to a backup or to a standby that lacks the last commits.

use std::collections::HashSet;

use super::Batch;
use super::assets::CommittedIds;
use super::progress::{Fold, Folding, Segments};

/// Held for the length of a commit: they come one after the other.
#[derive(Debug, Default)]
pub(super) struct Committed {
    /// Numbers of assets.
    pub(super) asset_ids: CommittedIds,
    /// Of the segments of live runs.
    pub(super) folding: Folding,
    /// Fingerprints of definitions. Every submission names those of its project, which may be megabytes.
    pub(super) definitions: HashSet<String>,
}

impl Committed {
    /// Takes over what a durable batch brought: new numbers of assets, and segments of this number with their folds.
    pub(super) fn learn(
        &mut self,
        batch: &Batch,
        new_ids: CommittedIds,
        number: i64,
        segments: &Segments,
        folds: &[Fold],
    ) {
        self.asset_ids.extend(new_ids);
        self.folding.committed(number, segments, folds, &batch.finished());
        self.definitions.extend(batch.definitions.iter().map(|(fingerprint, _)| fingerprint.clone()));
    }
}
