//! Which tasks of a run are those of a partition.
//!
//! The ledger finds attempts by the ordinals of their tasks, and people name partitions by key. Only the definitions that
//! the run is pinned to tell one from the other; without them the ledger would have to read the whole run.

use super::pinned::Pinned;
use crate::ledger::{LedgerError, LedgerReads, RunRecord};

/// Tasks that are asked for at once: as many as a project has assets. SQLite takes 32,766 parameters, two for each.
const TASKS_MAX: usize = 10_000;

/// The tasks of a partition, as position of the asset in the run's plan and ordinal; of one asset, or of all that have such a
/// partition. `None` if this program cannot tell.
///
/// # Errors
/// When the ledger cannot be read.
pub async fn tasks_of(
    ledger: &dyn LedgerReads,
    run: &RunRecord,
    asset_index: Option<u16>,
    partition_key: &str,
) -> Result<Option<Vec<(u16, u32)>>, LedgerError> {
    let Ok(plan) = Pinned::default().plan(ledger, run).await? else { return Ok(None) };
    let tasks =
        (0..).zip(&plan.assets).filter(|(index, _)| asset_index.is_none_or(|wanted| wanted == *index));
    let tasks =
        tasks.filter_map(|(index, asset)| Some((index, asset.partitions.ordinal(partition_key).ok()?)));
    let tasks: Vec<(u16, u32)> = tasks.collect();
    Ok((tasks.len() <= TASKS_MAX).then_some(tasks))
}

#[cfg(test)]
mod tests {
    use backstitch_proto::definition::Definitions;
    use backstitch_proto::id::RunId;
    use backstitch_proto::partition::PartitionSubset;
    use uuid::Uuid;

    use super::*;
    use crate::ledger::{Address, Batch, Candidate, PlannedAsset, connect, migrate};

    const PROJECT: &str = "\
assets:
  raw: {partitions: {kind: daily, start: 2024-01-01}, command: [x]}
  late: {partitions: {kind: daily, start: 2024-01-03}, command: [x]}
  whole: {command: [x]}
";

    #[tokio::test]
    async fn a_partition_has_its_own_ordinal_in_each_asset_and_none_where_it_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let address = Address::sqlite(folder.path().join("ledger.db"));
        migrate(&address).await.expect("a schema");
        let ledger = connect(&address).await.expect("a ledger");
        let term = ledger.lead(&Candidate { name: "test".into(), api_address: String::new() }).await;
        let term = term.expect("a term");
        let definitions = Definitions::from_yaml("backstitch.yaml", PROJECT).expect("a valid project");
        let json = serde_json::to_string(&definitions).expect("definitions are JSON");
        let batch = Batch { definitions: vec![("of today".to_owned(), json.into())], ..Batch::default() };
        ledger.commit(term.epoch(), &batch).await.expect("a commit");
        let planned =
            |name: &str| PlannedAsset { asset: name.into(), targets: PartitionSubset::from_range(0..1) };
        let assets = ["raw", "late", "whole"].map(planned).to_vec();
        // The sixth of January at noon: five days are over.
        let noon_us = 1_704_542_400_000_000;
        let run = |pinned: &str| {
            RunRecord::backfill(RunId(Uuid::nil()), pinned.to_owned(), noon_us, assets.clone())
        };
        let tasks = async |pinned: &str, asset_index, key: &str| {
            tasks_of(ledger.as_ref(), &run(pinned), asset_index, key).await.expect("reading")
        };
        assert_eq!(tasks("of today", None, "2024-01-04").await, Some(vec![(0, 3), (1, 1)]));
        assert_eq!(tasks("of today", Some(1), "2024-01-04").await, Some(vec![(1, 1)]));
        assert_eq!(tasks("of today", None, "2024-01-01").await, Some(vec![(0, 0)]));
        assert_eq!(tasks("of today", None, "").await, Some(vec![(2, 0)]));
        assert_eq!(tasks("of today", None, "2024-01-06").await, Some(vec![]), "the day is not over");
        assert_eq!(tasks("of tomorrow", None, "2024-01-04").await, None);
        term.resign().await;
    }
}
