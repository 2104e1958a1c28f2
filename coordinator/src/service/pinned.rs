//! Runs, bound again to the definitions that they are pinned to.
//!
//! A live run that this program cannot read (its definitions were written by a later one, or are damaged) must not keep
//! all others from going on. It is set aside: nothing of it is dispatched or written, so whoever can read it finds it as
//! it was.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use backstitch_proto::definition::Definitions;
use backstitch_proto::id::{DispatchId, RunId};
use tracing::error;

use super::binding;
use crate::engine::RunPlan;
use crate::ledger::{LedgerError, LedgerReads, LiveState, RunRecord};

/// Definitions that runs are pinned to, each read once, by fingerprint; or why they cannot be read.
#[derive(Default)]
pub(super) struct Pinned(BTreeMap<String, Result<Arc<Definitions>, String>>);

impl Pinned {
    /// The plan of a run; or why this program cannot read it.
    pub(super) async fn plan(
        &mut self,
        ledger: &dyn LedgerReads,
        record: &RunRecord,
    ) -> Result<Result<RunPlan, String>, LedgerError> {
        if !self.0.contains_key(&record.definitions) {
            let json = ledger.definitions(&record.definitions).await?;
            let read = match json {
                Some(json) => serde_json::from_str(&json).map_err(|error| error.to_string()),
                None => Err("the ledger does not have them".to_owned()),
            };
            self.0.insert(record.definitions.clone(), read);
        }
        Ok(match &self.0[&record.definitions] {
            Ok(definitions) => binding::bind(definitions, record.clone()).map_err(|error| error.to_string()),
            Err(problem) => Err(problem.clone()),
        })
    }
}

/// The plan of every live run. Those that cannot be read are taken out of `live`, with their dispatches, which are
/// returned: workers may be executing them.
pub(super) async fn plans(
    ledger: &dyn LedgerReads,
    live: &mut LiveState,
) -> Result<(BTreeMap<RunId, RunPlan>, Vec<DispatchId>), LedgerError> {
    let (mut pinned, mut plans) = (Pinned::default(), BTreeMap::new());
    for run in &live.runs {
        match pinned.plan(ledger, &run.record).await? {
            Ok(plan) => _ = plans.insert(run.record.id, plan),
            Err(problem) => error!(
                run = %run.record.id,
                problem,
                "this program cannot read the definitions that a live run is pinned to: the run stands still until a \
                 coordinator of a version that can read them leads"
            ),
        }
    }
    let readable: BTreeSet<RunId> = plans.keys().copied().collect();
    live.runs.retain(|run| readable.contains(&run.record.id));
    let set_aside = live.dispatches.extract_if(.., |dispatch| !readable.contains(&dispatch.run));
    let set_aside = set_aside.map(|dispatch| dispatch.id).collect();
    Ok((plans, set_aside))
}

#[cfg(test)]
mod tests {
    use backstitch_proto::partition::PartitionSubset;
    use uuid::Uuid;

    use super::*;
    use crate::ledger::{
        Address, Batch, Candidate, DispatchRecord, PlannedAsset, RunRecord, connect, migrate,
    };

    #[tokio::test]
    async fn a_run_that_cannot_be_read_is_set_aside_and_the_others_go_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let address = Address::sqlite(folder.path().join("ledger.db"));
        migrate(&address).await.expect("a schema");
        let ledger = connect(&address).await.expect("a ledger");
        let candidate = Candidate { name: "test".into(), api_address: "http://localhost".into() };
        let term = ledger.lead(&candidate).await.expect("a term");
        let yaml = "assets: {a: {partitions: {kind: static, keys: [x, y, z]}, command: [x]}}";
        let definitions = Definitions::from_yaml("backstitch.yaml", yaml).expect("a valid project");
        let readable = serde_json::to_string(&definitions).expect("definitions are JSON");
        let run = |number: u128, fingerprint: &str| {
            let assets = vec![PlannedAsset { asset: "a".into(), targets: PartitionSubset::from_range(0..3) }];
            RunRecord::backfill(RunId(Uuid::from_u128(number)), fingerprint.to_owned(), 0, assets)
        };
        let dispatch = |run: &RunRecord, id| DispatchRecord {
            id: DispatchId(id),
            run: run.id,
            asset_index: 0,
            attempt: 1,
            announce_start: false,
            created_us: 0,
            ordinals: PartitionSubset::from_range(0..1),
        };
        let (good, later) = (run(1, "of today"), run(2, "of tomorrow"));
        let batch = Batch {
            definitions: vec![
                ("of today".to_owned(), readable.into()),
                ("of tomorrow".to_owned(), r#"{"assets": "what is this"}"#.into()),
            ],
            dispatches: vec![dispatch(&good, 1), dispatch(&later, 2)],
            runs: vec![good.clone(), later],
            ..Batch::default()
        };
        ledger.commit(term.epoch(), &batch).await.expect("a commit");
        let mut live = ledger.load_live().await.expect("what is live");
        assert_eq!((live.runs.len(), live.dispatches.len()), (2, 2));
        let (plans, set_aside) = plans(ledger.as_ref(), &mut live).await.expect("plans");
        assert_eq!(plans.keys().copied().collect::<Vec<_>>(), [good.id]);
        assert_eq!(set_aside, [DispatchId(2)]);
        assert_eq!((live.runs.len(), live.dispatches.len()), (1, 1));
        term.resign().await;
    }
}
