//! A check that never fails proves nothing: each is shown a state that it must find.

use backstitch_proto::definition::Definitions;
use backstitch_proto::id::Epoch;
use backstitch_proto::partition::PartitionSubset;
use uuid::Uuid;

use super::*;
use crate::engine::Options;
use crate::engine::testing::{at, heartbeat};
use crate::ledger::{PlannedAsset, RunRecord};
use crate::service::bind;

const RUN: RunId = RunId(Uuid::from_u128(5));

/// Retries of the tasks of `up`.
const MAX_RETRIES: u16 = 1;

/// Positions of the assets.
const UP: usize = 0;
const DOWN: usize = 1;

/// A run of two assets of three tasks: `up`, in a pool of two slots, and `down`, which needs it.
fn submitted() -> Engine {
    let text = "
assets:
  up: {partitions: {kind: static, keys: [x, y, z]}, command: [x], pool: p, retries: {max_retries: 1}}
  down: {partitions: {kind: static, keys: [x, y, z]}, command: [x], deps: [up]}
pools: {p: 2}
";
    let definitions = Definitions::from_yaml("test.yaml", text).expect("a valid project");
    let planned = |name: &str| PlannedAsset { asset: name.into(), targets: tasks(&[0, 1, 2]) };
    let assets = vec![planned("up"), planned("down")];
    let record = RunRecord::backfill(RUN, definitions.fingerprint(), 0, assets);
    let mut engine = Engine::new(Epoch(1), Options::default());
    engine.submit(bind(&definitions, record).expect("a valid plan"), "{}".into(), at(0));
    engine
}

/// The same with a worker of two slots: tasks 0 and 1 of `up` are in flight, one in each dispatch.
fn dispatched() -> Engine {
    let mut engine = submitted();
    engine.heartbeat(&heartbeat(&[]), at(0));
    let sent = engine.seal(at(0)).expect("dispatches").batch.dispatches;
    assert_eq!(sent.iter().map(|sent| sent.ordinals.len()).collect::<Vec<_>>(), [1, 1]);
    engine
}

fn tasks(ordinals: &[u32]) -> PartitionSubset {
    PartitionSubset::from_ordinals(ordinals.iter().copied())
}

/// The names of what is found in an engine that was sound before `corrupt`.
fn found_in(mut engine: Engine, corrupt: impl FnOnce(&mut Engine)) -> Vec<&'static str> {
    assert_eq!(engine.violations(), []);
    corrupt(&mut engine);
    engine.violations().iter().map(|found| found.invariant).collect()
}

fn found(corrupt: impl FnOnce(&mut Engine)) -> Vec<&'static str> {
    found_in(dispatched(), corrupt)
}

fn asset(engine: &mut Engine, index: usize) -> &mut AssetState {
    &mut engine.runs.get_mut(&RUN).expect("it is live").assets[index]
}

#[test]
fn a_task_in_no_state_in_two_or_in_one_without_being_targeted_breaks_conserve() {
    assert_eq!(found(|engine| _ = asset(engine, DOWN).waiting.remove(0)), ["CONSERVE"]);
    assert_eq!(found(|engine| _ = asset(engine, DOWN).skipped.insert(0)), ["CONSERVE"]);
    assert_eq!(found(|engine| _ = asset(engine, DOWN).cancelled.insert(3)), ["CONSERVE"]);
}

#[test]
fn a_task_in_flight_without_a_dispatch_or_in_two_breaks_count() {
    let without = found(|engine| {
        let up = asset(engine, UP);
        up.ready.remove(2);
        up.in_flight.insert(2);
    });
    assert_eq!(without, ["COUNT"]);
    let in_two = found(|engine| {
        engine.open_dispatches.values_mut().for_each(|open| open.remaining = tasks(&[0, 1]));
    });
    assert_eq!(in_two, ["COUNT"]);
}

#[test]
fn a_run_that_counts_other_dispatches_than_there_are_breaks_count() {
    let counts_more = found(|engine| engine.runs.get_mut(&RUN).expect("it is live").open_dispatches += 1);
    assert_eq!(counts_more, ["COUNT"]);
    // A run that is not live may come before and after all others.
    for stranger in [RunId(Uuid::from_u128(1)), RunId(Uuid::from_u128(9))] {
        let of_another = found(|engine| {
            let mut open = engine.open_dispatches.values().next().expect("two are open").clone();
            open.run = stranger;
            engine.open_dispatches.insert(engine.last_dispatch.next(), open);
        });
        assert_eq!(of_another, ["COUNT"], "{stranger}");
    }
}

#[test]
fn a_pool_that_is_over_its_limit_breaks_limit() {
    let lowered = |engine: &mut Engine| {
        asset(engine, UP).plan.pool.as_mut().expect("it has a pool").limit = 1;
    };
    assert_eq!(found(lowered), ["LIMIT"]);
}

#[test]
fn slots_of_a_pool_and_dispatches_of_a_queue_that_are_counted_wrong_break_limit() {
    assert_eq!(found(|engine| *engine.pools.get_mut("p").expect("it is used") -= 1), ["LIMIT"]);
    assert_eq!(found(|engine| *engine.queues.get_mut("default").expect("it is used") += 1), ["LIMIT"]);
}

#[test]
fn a_task_that_goes_ahead_of_what_it_needs_breaks_order() {
    type Set = fn(&mut AssetState) -> &mut PartitionSubset;
    let begun: [Set; 2] = [|state| &mut state.ready, |state| &mut state.delayed];
    for set in begun {
        let ahead = found(|engine| {
            let down = asset(engine, DOWN);
            down.waiting.remove(0);
            set(down).insert(0);
        });
        assert_eq!(ahead, ["ORDER"]);
    }
    // In flight, which needs a dispatch.
    let sent = found(|engine| {
        let down = asset(engine, DOWN);
        down.waiting.remove(0);
        down.in_flight.insert(0);
        let mut open = engine.open_dispatches.values().next().expect("two are open").clone();
        (open.asset, open.remaining) = (DOWN, tasks(&[0]));
        let id = engine.last_dispatch.next();
        engine.open(id, open);
    });
    assert_eq!(sent, ["ORDER"]);
}

#[test]
fn a_task_that_has_failed_or_was_lost_more_often_than_it_may_breaks_budget() {
    let spent = |attempts, losses| {
        found(|engine| {
            let up = asset(engine, UP);
            up.attempts.restore(&tasks(&[2]), attempts);
            up.losses.restore(&tasks(&[2]), losses);
        })
    };
    assert!(spent(MAX_RETRIES + 1 + LOSSES_MAX, LOSSES_MAX).is_empty(), "all that it has, and no more");
    assert_eq!(spent(MAX_RETRIES + 2, 0), ["BUDGET"]);
    assert_eq!(spent(MAX_RETRIES + 2 + LOSSES_MAX, LOSSES_MAX), ["BUDGET"]);
    assert_eq!(spent(LOSSES_MAX + 1, LOSSES_MAX + 1), ["BUDGET"]);
}

#[test]
fn a_run_in_which_nothing_can_move_breaks_live() {
    let stuck = |engine: &mut Engine| {
        let up = asset(engine, UP);
        up.waiting |= &std::mem::take(&mut up.ready);
    };
    assert_eq!(found_in(submitted(), stuck), ["LIVE"]);
    let held = |engine: &mut Engine| {
        stuck(engine);
        asset(engine, DOWN).held = tasks(&[1]);
    };
    assert!(found_in(submitted(), held).is_empty(), "one waits for an instant, which comes");
}
