//! What tests of the engine share: instants, what workers say, and a leader that finds the dispatches of another.

use std::collections::BTreeMap;

use backstitch_proto::definition::Definitions;
use backstitch_proto::id::{DispatchId, Epoch, RunId, WorkerId};
use backstitch_proto::message::{Heartbeat, Held};
use backstitch_proto::partition::PartitionSubset;
use uuid::Uuid;

use super::{Effect, Engine, Now, Options, Sealed};
use crate::ledger::{DispatchRecord, LiveAsset, LiveRun, LiveState, PlannedAsset, RunRecord, Spent};
use crate::service::bind;

/// The lease of workers in tests, milliseconds.
pub(super) const LEASE_MS: u64 = 10_000;

/// An instant of the clock of leases; the wall clock stands still.
pub(super) fn at(mono_ms: u64) -> Now {
    Now { mono_ms, wall_us: 0 }
}

/// The number of a dispatch of the leader before.
pub(super) fn dispatch_id(number: u64) -> DispatchId {
    DispatchId(DispatchId::before_first_of(Epoch(1)).0 + number)
}

/// A leader that finds one dispatch of one task for each of `tasks`, of which the first has lost `losses` attempts.
pub(super) fn recovered(tasks: u32, losses: u16, confirmed_through: DispatchId) -> Engine {
    found(tasks, losses, confirmed_through, false, true)
}

/// The same; the run may have been `cancelled`, and the broker may not remember what it had.
pub(super) fn found(
    tasks: u32,
    losses: u16,
    confirmed_through: DispatchId,
    cancelled: bool,
    broker_remembers: bool,
) -> Engine {
    let text = "assets: {a: {partitions: {kind: static, keys: [x, y, z]}, command: [x]}}";
    let definitions = Definitions::from_yaml("test.yaml", text).expect("a valid project");
    let assets = vec![PlannedAsset { asset: "a".into(), targets: PartitionSubset::from_range(0..tasks) }];
    let record = RunRecord::backfill(RunId(Uuid::from_u128(1)), definitions.fingerprint(), 0, assets);
    let spent = Spent {
        tasks: PartitionSubset::from_ordinals([0]),
        attempts: losses,
        losses,
        last_was_lost: losses > 0,
        last_finished_us: 0,
    };
    let asset = LiveAsset { spent: vec![spent], ..LiveAsset::default() };
    let dispatch = |task: u32| DispatchRecord {
        id: dispatch_id(u64::from(task) + 1),
        run: record.id,
        asset_index: 0,
        attempt: if task == 0 { losses + 1 } else { 1 },
        announce_start: false,
        created_us: 0,
        ordinals: PartitionSubset::from_ordinals([task]),
    };
    let live = LiveState {
        dispatches: (0..tasks).map(dispatch).collect(),
        runs: vec![LiveRun {
            record: record.clone(),
            paused: false,
            cancel_requested: cancelled,
            assets: vec![asset],
        }],
        confirmed_through,
    };
    let plan = bind(&definitions, record).expect("a valid plan");
    let plans = BTreeMap::from([(plan.record.id, plan)]);
    let options = Options { lease_ms: LEASE_MS, ..Options::default() };
    Engine::recover(Epoch(2), options, live, plans, broker_remembers, at(0))
}

/// What a worker says that executes these dispatches.
pub(super) fn heartbeat(executing: &[DispatchId]) -> Heartbeat {
    let held = |dispatch: &DispatchId| Held { dispatch: *dispatch, started: true, done: 0 };
    Heartbeat {
        worker: WorkerId(Uuid::from_u128(9)),
        name: String::new(),
        version: String::new(),
        sequence: 1,
        slots: 2,
        queues: vec!["default".to_owned()],
        native_assets: Vec::new(),
        draining: false,
        held: executing.iter().map(held).collect(),
    }
}

/// What is to be published.
pub(super) fn published(sealed: Option<Sealed>) -> Vec<DispatchId> {
    let effects = sealed.map(|sealed| sealed.effects).unwrap_or_default();
    let publish = |effect: &Effect| match effect {
        Effect::Publish(id) => Some(*id),
        _ => None,
    };
    effects.iter().filter_map(publish).collect()
}
