//! What is up to date, per asset: two bitmaps over the partitions that exist.
//!
//! Read from the ledger at the start of a term, then kept in step with every commit. It answers what is missing for
//! a submission, and the status of partitions for people, without touching the database.
//!
//! Reading ten million partitions takes a while, and live runs need none of it. So a term begins with an empty
//! catalog that follows its own commits, while the [`Reading`] goes on beside it; what is then
//! [taken in](Catalog::take_in) may be older or newer than any of them, and gives way to them. Whoever asks for the state of
//! partitions before that waits.
//!
//! Partition spaces grow with time and change with definitions. State is carried over by key, never by position.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use backstitch_proto::definition::Definitions;
use backstitch_proto::partition::{PartitionSubset, Partitions};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;
use tracing::warn;

use crate::ledger::{AttemptResult, Batch, Ledger, LedgerError, PartitionState};

/// Pause before a ledger that did not answer is asked again, at first and at most.
const READ_PAUSE_MIN: Duration = Duration::from_millis(200);
const READ_PAUSE_MAX: Duration = Duration::from_secs(30);

/// The state of all assets.
pub(super) struct Catalog {
    definitions: Arc<Definitions>,
    definitions_json: Arc<str>,
    fingerprint: String,
    assets: BTreeMap<String, AssetStatus>,
    /// The state of one asset at a time before the last look, because the clock stepped back.
    earlier: Option<AssetStatus>,
}

/// The state of one asset.
#[derive(Clone, Debug)]
pub(super) struct AssetStatus {
    /// The largest space of partitions seen so far.
    pub(super) partitions: Partitions,
    pub(super) materialized: PartitionSubset,
    /// Their last task failed, after the last materialization if there is one.
    pub(super) failed: PartitionSubset,
}

/// What the ledger says of every asset, as far as it has been read.
pub(super) struct Reading {
    assets: BTreeMap<String, AssetStatus>,
}

impl Reading {
    /// Reads all of it, however often the ledger has to be asked: live runs do not wait for it.
    pub(super) async fn finish(mut self, ledger: &dyn Ledger) -> Self {
        for (name, status) in &mut self.assets {
            let mut pause = READ_PAUSE_MIN;
            while let Err(error) = status.read(name, ledger).await {
                warn!(
                    error = &error as &dyn std::error::Error,
                    asset = name,
                    "the state of its partitions could not be read yet"
                );
                sleep(pause).await;
                pause = (pause * 2).min(READ_PAUSE_MAX);
            }
        }
        self
    }
}

impl AssetStatus {
    /// Adds what the ledger says. Again adds nothing.
    async fn read(&mut self, name: &str, ledger: &dyn Ledger) -> Result<(), LedgerError> {
        let Self { partitions, materialized, failed } = self;
        let mut read = |key: &str, state: PartitionState| {
            // A key that the definitions no longer have stays in the ledger, and comes back with them.
            if let Ok(ordinal) = partitions.ordinal(key) {
                if state.materialized {
                    materialized.insert(ordinal);
                }
                if state.failed {
                    failed.insert(ordinal);
                }
            }
        };
        ledger.partition_states(name, &mut read).await
    }
}

/// How many partitions of an asset are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PartitionCounts {
    /// Partitions that exist.
    pub total: u64,
    /// Materialized, and no later task failed.
    pub materialized: u64,
    /// The last task failed.
    pub failed: u64,
    /// A live run will materialize them.
    pub in_progress: u64,
    /// None of these.
    pub missing: u64,
}

impl Catalog {
    /// The catalog at the beginning of a term, and what has to be read for it.
    pub(super) fn begin(definitions: &Arc<Definitions>, now: DateTime<Utc>) -> (Self, Reading) {
        let catalog = Self::empty(definitions, now);
        let reading = Reading { assets: catalog.assets.clone() };
        (catalog, reading)
    }

    /// Every asset of `definitions`, nothing of which is materialized.
    pub(super) fn empty(definitions: &Arc<Definitions>, now: DateTime<Utc>) -> Self {
        let mut assets = BTreeMap::new();
        for name in definitions.topological() {
            let Some(partitions) = resolve(definitions, name.as_str(), now) else { continue };
            let (materialized, failed) = (PartitionSubset::default(), PartitionSubset::default());
            assets.insert(name.to_string(), AssetStatus { partitions, materialized, failed });
        }
        // Definitions are plain data with text keys: they always serialize.
        let json = serde_json::to_string(definitions.as_ref()).unwrap_or_default();
        let fingerprint = definitions.fingerprint();
        Self {
            definitions: Arc::clone(definitions),
            definitions_json: json.into(),
            fingerprint,
            assets,
            earlier: None,
        }
    }

    /// Takes in what was read, behind what this term has committed.
    pub(super) fn take_in(&mut self, read: Reading) {
        for (name, read) in read.assets {
            let Some(status) = self.assets.get_mut(&name) else { continue };
            status.failed |= &read.failed.difference(&status.materialized);
            status.materialized |= &read.materialized;
        }
    }

    pub(super) fn definitions(&self) -> Arc<Definitions> {
        Arc::clone(&self.definitions)
    }

    pub(super) fn definitions_json(&self) -> Arc<str> {
        Arc::clone(&self.definitions_json)
    }

    pub(super) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The state of an asset over the partitions that exist at `now`.
    pub(super) fn asset_at(&mut self, name: &str, now: DateTime<Utc>) -> Option<&AssetStatus> {
        let status = self.assets.get_mut(name)?;
        let partitions = resolve(&self.definitions, name, now)?;
        let known = &status.partitions;
        if partitions.fingerprint() == known.fingerprint() && partitions.len() == known.len() {
            return Some(status);
        }
        let materialized = known.carry_over(&status.materialized, &partitions).subset;
        let failed = known.carry_over(&status.failed, &partitions).subset;
        let at_now = AssetStatus { partitions, materialized, failed };
        // By a clock that stepped back, windows that were there are still to come. They will come with their state.
        if at_now.partitions.len() < known.len() {
            return Some(self.earlier.insert(at_now));
        }
        *status = at_now;
        Some(status)
    }

    /// Takes what a commit has made durable.
    pub(super) fn apply(&mut self, batch: &Batch) {
        for attempt in &batch.attempts {
            let Some(status) = self.assets.get_mut(&*attempt.asset) else { continue };
            let Ok(ordinal) = status.partitions.ordinal(&attempt.partition_key) else { continue };
            match attempt.result {
                AttemptResult::Succeeded => {
                    status.materialized.insert(ordinal);
                    status.failed.remove(ordinal);
                }
                AttemptResult::Failed { terminal: true, .. } | AttemptResult::Lost { terminal: true } => {
                    status.failed.insert(ordinal);
                }
                // Another attempt follows, or nobody wants one.
                AttemptResult::Failed { terminal: false, .. }
                | AttemptResult::Lost { terminal: false }
                | AttemptResult::Cancelled => {}
            }
        }
    }
}

/// The partitions of an asset that exist at `now`.
fn resolve(definitions: &Definitions, asset: &str, now: DateTime<Utc>) -> Option<Partitions> {
    match definitions.resolve_partitions(asset, now) {
        Ok(partitions) => Some(partitions),
        Err(error) => {
            warn!(
                asset,
                error = &error as &dyn std::error::Error,
                "the partitions of an asset cannot be told"
            );
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use backstitch_proto::id::{DispatchId, RunId};
    use uuid::Uuid;

    use super::*;
    use crate::ledger::AttemptRecord;

    /// Partitions that succeeded, and others that failed for good, in this order.
    fn batch(ended: &[(&str, bool)]) -> Batch {
        let attempt = |&(key, succeeded): &(&str, bool)| {
            let (run, dispatch) = (RunId(Uuid::nil()), DispatchId(1));
            let made = AttemptRecord::succeeded(run, "readings".into(), 0, key.to_owned(), dispatch, 0);
            let result = match succeeded {
                true => AttemptResult::Succeeded,
                false => AttemptResult::Lost { terminal: true },
            };
            AttemptRecord { result, ..made }
        };
        Batch { attempts: ended.iter().map(attempt).collect(), ..Batch::default() }
    }

    #[test]
    fn a_clock_that_steps_back_over_midnight_makes_nothing_forgotten() {
        let project = "assets: {readings: {partitions: {kind: daily, start: 2024-01-01}, command: [x]}}";
        let definitions =
            Arc::new(Definitions::from_yaml("backstitch.yaml", project).expect("a valid project"));
        let at = |text: &str| text.parse::<DateTime<Utc>>().expect("an instant");
        let (before, after) = (at("2024-01-03T23:59:59Z"), at("2024-01-04T00:00:00Z"));
        let mut catalog = Catalog::empty(&definitions, after);
        catalog.apply(&batch(&[("2024-01-01", true), ("2024-01-03", true), ("2024-01-02", false)]));
        let states = |catalog: &mut Catalog, now| {
            let status = catalog.asset_at("readings", now).expect("the asset");
            let ordinals = |subset: &PartitionSubset| subset.iter().collect::<Vec<_>>();
            (status.partitions.len(), ordinals(&status.materialized), ordinals(&status.failed))
        };
        assert_eq!(states(&mut catalog, after), (3, vec![0, 2], vec![1]));
        assert_eq!(states(&mut catalog, before), (2, vec![0], vec![1]), "the third day is not over");
        catalog.apply(&batch(&[("2024-01-03", false)]));
        assert_eq!(states(&mut catalog, after), (3, vec![0, 2], vec![1, 2]));
    }

    #[test]
    fn what_was_read_gives_way_to_what_was_committed_meanwhile() {
        let project = "\
partitions:
  letters: {kind: static, keys: [a, b, c, d, e]}
assets:
  readings: {partitions: letters, command: [\"true\"]}
";
        let definitions =
            Arc::new(Definitions::from_yaml("backstitch.yaml", project).expect("a valid project"));
        let (mut catalog, mut reading) = Catalog::begin(&definitions, Utc::now());
        // In the ledger: a, b and c are materialized, b and d failed last.
        let read = reading.assets.get_mut("readings").expect("the asset");
        read.materialized = PartitionSubset::from_ordinals([0, 1, 2]);
        read.failed = PartitionSubset::from_ordinals([1, 3]);
        // Meanwhile b and e succeed, c fails, d succeeds and then fails.
        catalog.apply(&batch(&[("b", true), ("e", true), ("c", false)]));
        catalog.apply(&batch(&[("d", true), ("d", false)]));
        catalog.take_in(reading);
        let status = catalog.asset_at("readings", Utc::now()).expect("the asset");
        assert_eq!(status.materialized, PartitionSubset::from_ordinals([0, 1, 2, 3, 4]));
        assert_eq!(status.failed, PartitionSubset::from_ordinals([2, 3]));
    }
}
