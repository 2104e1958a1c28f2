//! What goes out together, and what does not wait for what.

use std::collections::BTreeMap;

use backstitch_proto::definition::Definitions;
use backstitch_proto::id::{Epoch, WorkerId};
use backstitch_proto::message::{DispatchReport, Heartbeat, Outcome, Report, Verdict};
use uuid::Uuid;

use super::*;
use crate::engine::pace::Pace;
use crate::engine::testing::heartbeat;
use crate::engine::{Options, RunPlan};
use crate::ledger::{Batch, PlannedAsset, RunRecord};
use crate::service::bind;

/// 1970-01-31T00:00:00Z: all partitions of the project exist.
const WALL_US: i64 = 30 * 86_400 * 1_000_000;
const NOW: Now = Now { mono_ms: 1_000, wall_us: WALL_US };
const SLOTS: u32 = 2;
const WORKER: WorkerId = WorkerId(Uuid::from_u128(7));

fn engine() -> Engine {
    let mut engine = Engine::new(Epoch(1), Options::default());
    let heartbeat = Heartbeat { worker: WORKER, slots: SLOTS, ..heartbeat(&[]) };
    engine.heartbeat(&heartbeat, NOW);
    engine
}

/// A run over ten thousand minutes.
fn plan(number: u128, priority: i32) -> RunPlan {
    plan_of(number, priority, &["plain"])
}

/// A run over ten thousand minutes of each of these assets, of which each needs the one before.
fn plan_of(number: u128, priority: i32, names: &[&str]) -> RunPlan {
    let mut text = "assets:\n".to_owned();
    for (index, name) in names.iter().enumerate() {
        let needs =
            index.checked_sub(1).map_or(String::new(), |before| format!("deps: [{}], ", names[before]));
        text += &format!(
            "  {name}: {{command: [x], {needs}partitions: {{kind: cron, cron: '* * * * *', \
             start: '1970-01-01T00:00:00Z', end: '1970-01-07T22:40:00Z'}}}}\n"
        );
    }
    let definitions = Definitions::from_yaml("backstitch.yaml", &text).expect("a valid project");
    let targets = PartitionSubset::from_range(0..10_000);
    let planned = |name: &&str| PlannedAsset { asset: (*name).into(), targets: targets.clone() };
    let assets = names.iter().map(planned).collect();
    let (id, fingerprint) = (RunId(Uuid::from_u128(number)), definitions.fingerprint());
    let record = RunRecord { priority, ..RunRecord::backfill(id, fingerprint, WALL_US, assets) };
    bind(&definitions, record).expect("a valid project binds")
}

fn seal(engine: &mut Engine) -> Batch {
    engine.seal(NOW).map(|sealed| sealed.batch).unwrap_or_default()
}

/// Every task of these dispatches has succeeded within a microsecond.
fn finish(engine: &mut Engine, dispatches: &[DispatchRecord]) {
    for dispatch in dispatches {
        let outcome = |ordinal| Outcome {
            ordinal,
            started_us: WALL_US,
            finished_us: WALL_US + 1,
            verdict: Verdict::Succeeded,
            metadata: Vec::new(),
            data_version: None,
            checks: Vec::new(),
            output: None,
        };
        let outcomes = dispatch.ordinals.iter().map(outcome).collect();
        let dispatches = vec![DispatchReport::Outcomes { dispatch: dispatch.id, trace: None, outcomes }];
        engine.report(Report { worker: WORKER, dispatches }, NOW);
    }
}

#[test]
fn a_run_of_a_higher_class_does_not_wait_for_room_that_a_lower_one_has_taken() {
    let mut engine = engine();
    engine.submit(plan(1, 0), "{}".into(), NOW);
    assert_eq!(seal(&mut engine).dispatches.len() as u32, SLOTS * WINDOW_PER_SLOT);
    let (same, higher) = (plan(2, 0), plan(3, 1));
    engine.submit(same, "{}".into(), NOW);
    assert!(seal(&mut engine).dispatches.is_empty(), "the window of the class is full");
    let run = higher.record.id;
    engine.submit(higher, "{}".into(), NOW);
    let dispatches = seal(&mut engine).dispatches;
    assert_eq!(dispatches.len() as u32, SLOTS * WINDOW_PER_SLOT, "it has a window of its own, and no more");
    assert!(dispatches.iter().all(|dispatch| dispatch.run == run));
}

#[test]
fn a_run_over_its_bound_is_a_violation_except_for_what_was_in_flight_when_it_was_lowered() {
    let mut engine = engine();
    let plan = plan(1, 0);
    let run = plan.record.id;
    engine.submit(plan, "{}".into(), NOW);
    let mut in_flight = seal(&mut engine).dispatches;
    assert_eq!(in_flight.len() as u32, SLOTS * WINDOW_PER_SLOT);
    let over = |engine: &Engine| {
        let found = engine.violations();
        assert!(found.iter().all(|found| found.invariant == "LIMIT"), "{found:?}");
        !found.is_empty()
    };
    engine.throttle(run, Some(1)).expect("live");
    assert!(!over(&engine), "it was in flight before");
    finish(&mut engine, &in_flight.split_off(2));
    assert!(seal(&mut engine).dispatches.is_empty() && !over(&engine), "two are still in flight");
    let unbounded = |engine: &mut Engine, bound| {
        engine.runs.get_mut(&run).expect("live").record.max_parallel = bound;
    };
    // Somebody dispatches one as if there were no bound.
    unbounded(&mut engine, Some(3));
    assert_eq!(seal(&mut engine).dispatches.len(), 1);
    unbounded(&mut engine, Some(1));
    assert!(over(&engine), "one of three has begun beyond the bound");
}

/// How many dispatches each run gets while `rounds` windows are filled and finished.
fn shares(engine: &mut Engine, rounds: u32) -> BTreeMap<RunId, u32> {
    let mut shares = BTreeMap::new();
    for _ in 0..rounds {
        let dispatches = seal(engine).dispatches;
        dispatches.iter().for_each(|dispatch| *shares.entry(dispatch.run).or_default() += 1);
        finish(engine, &dispatches);
    }
    shares
}

#[test]
fn runs_of_a_class_share_it_from_the_moment_at_which_they_come_or_come_back() {
    let mut engine = engine();
    // Tasks do not get larger, so that the runs last.
    engine.set_in_flight_tasks_max(0);
    let [paused, busy, late, moved] = [plan(1, 0), plan(2, 0), plan(3, 0), plan(4, -1)];
    let ids = [&paused, &busy, &late, &moved].map(|plan| plan.record.id);
    engine.submit(paused, "{}".into(), NOW);
    engine.pause(ids[0], true).expect("live");
    engine.submit(busy, "{}".into(), NOW);
    engine.submit(moved, "{}".into(), NOW);
    assert!(shares(&mut engine, 50)[&ids[1]] >= 100);
    engine.pause(ids[3], true).expect("live");

    engine.submit(late, "{}".into(), NOW);
    let even = |shares: &BTreeMap<RunId, u32>, of: &[RunId]| {
        let shares: Vec<u32> = of.iter().map(|run| shares.get(run).copied().unwrap_or(0)).collect();
        assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 2, "{shares:?}");
    };
    even(&shares(&mut engine, 20), &ids[1..3]);
    engine.pause(ids[0], false).expect("live");
    even(&shares(&mut engine, 20), &ids[..3]);
    engine.pause(ids[3], false).expect("live");
    engine.reprioritise(ids[3], 0).expect("live");
    even(&shares(&mut engine, 20), &ids);
    // And down again, to a class where it was served before.
    engine.reprioritise(ids[3], -1).expect("live");
    assert_eq!(shares(&mut engine, 5).get(&ids[3]), None, "of a lower class");
}

#[test]
fn no_more_tiny_tasks_are_in_flight_than_keep_the_ledger_busy() {
    let mut engine = engine();
    engine.submit(plan(1, 0), "{}".into(), NOW);
    let first = seal(&mut engine).dispatches;
    assert!(
        first.iter().all(|dispatch| dispatch.ordinals.len() == 1),
        "nothing is known of their length yet"
    );
    engine.set_in_flight_tasks_max(200);
    finish(&mut engine, &first);
    let dispatches = seal(&mut engine).dispatches;
    assert!(dispatches.iter().all(|dispatch| dispatch.ordinals.len() == 100), "a slot's share each");
    assert_eq!(dispatches.len() as u32, SLOTS * WINDOW_PER_SLOT);
    engine.set_in_flight_tasks_max(u32::MAX);
    finish(&mut engine, &dispatches);
    let dispatches = seal(&mut engine).dispatches;
    assert_eq!(dispatches[0].ordinals.len(), 1_000, "a message has a limit of its own");
}

#[test]
fn the_idempotency_key_of_a_run_is_known_while_it_lives_and_after_it_ended() {
    let mut engine = engine();
    let mut keyed = plan(1, 0);
    keyed.record.client_key = Some("nightly".to_owned());
    let id = keyed.record.id;
    engine.submit(keyed, "{}".into(), NOW);
    assert_eq!(engine.run_by_client_key("nightly"), Some(id));
    seal(&mut engine);
    engine.cancel(id, NOW).expect("a live run");
    assert_eq!(engine.run_ids().count(), 0, "nobody executes anything of it");
    assert_eq!(engine.run_by_client_key("nightly"), Some(id));
    assert_eq!(engine.run_by_client_key("weekly"), None);
}

#[test]
fn two_equal_runs_of_a_class_take_turns() {
    let mut engine = engine();
    let (first, second) = (plan(1, 0), plan(2, 0));
    let ids = [first.record.id, second.record.id];
    engine.submit(first, "{}".into(), NOW);
    engine.submit(second, "{}".into(), NOW);
    let turns = seal(&mut engine).dispatches.iter().map(|dispatch| dispatch.run).collect::<Vec<_>>();
    assert_eq!(turns, [ids, ids].concat());
}

#[test]
fn the_steps_of_a_chain_of_tiny_tasks_go_out_in_dispatches_as_large_as_the_first() {
    let mut engine = engine();
    engine.set_in_flight_tasks_max(400);
    engine.submit(plan_of(1, 0, &["first", "second", "third"]), "{}".into(), NOW);
    let mut waiting: Vec<DispatchRecord> = Vec::new();
    let (mut dispatches, mut now) = (0, NOW);
    while engine.run_ids().count() > 0 {
        let sealed = engine.seal(now).map(|sealed| sealed.batch.dispatches).unwrap_or_default();
        dispatches += sealed.len();
        waiting.extend(sealed);
        // Reports come one by one, as dispatches end.
        finish(&mut engine, &[waiting.remove(0)]);
        now.mono_ms += 1;
    }
    // 200 a dispatch at best.
    assert!(dispatches < 3 * 10_000 / 200 * 3 / 2, "{dispatches} dispatches");
}

#[test]
fn less_than_a_whole_dispatch_waits_while_others_can_go_but_not_for_long() {
    let mut engine = engine();
    engine.set_in_flight_tasks_max(200);
    let mut plan = plan_of(1, 0, &["first", "second"]);
    plan.record.max_parallel = Some(2);
    let run = plan.record.id;
    engine.submit(plan, "{}".into(), NOW);
    // Both are measured.
    for asset in [0, 1] {
        let dispatches = seal(&mut engine).dispatches;
        assert!(
            dispatches.iter().all(|dispatch| dispatch.asset_index == asset),
            "the furthest that is ready"
        );
        finish(&mut engine, &dispatches);
    }
    let mut open = seal(&mut engine).dispatches;
    assert_eq!(open.iter().map(|dispatch| dispatch.ordinals.len()).collect::<Vec<_>>(), [100, 100]);
    open[0].ordinals = open[0].ordinals.take_first(60);
    finish(&mut engine, &open[..1]);
    for (max_parallel, later_ms, asset, tasks) in [(3, 0, 0, 100), (4, LINGER_MS, 1, 60)] {
        engine.throttle(run, Some(max_parallel)).expect("live");
        let later = Now { mono_ms: NOW.mono_ms + later_ms, ..NOW };
        let dispatches = engine.seal(later).expect("a dispatch").batch.dispatches;
        assert_eq!(dispatches.len(), 1);
        assert_eq!((dispatches[0].asset_index, dispatches[0].ordinals.len()), (asset, tasks));
    }
}

#[test]
fn a_call_that_is_not_full_waits_like_a_dispatch_that_is_not_whole() {
    let mut engine = engine();
    engine.set_in_flight_tasks_max(200);
    for (name, mean_us) in [("first", 1.0), ("second", 2_000_000.0)] {
        engine.pace.insert(name.into(), Pace { mean_us });
    }
    let mut plan = plan_of(1, 0, &["first", "second"]);
    plan.record.max_parallel = Some(2);
    Arc::make_mut(&mut plan.assets[1].invocation).batch_size = 100;
    let run = plan.record.id;
    engine.submit(plan, "{}".into(), NOW);
    let mut open = seal(&mut engine).dispatches;
    open[0].ordinals = open[0].ordinals.take_first(60);
    finish(&mut engine, &open[..1]);
    let second = &mut engine.runs.get_mut(&run).expect("live").assets[1];
    assert_eq!(second.ready.len(), 60, "one of them would be a dispatch, if calls took one");
    second.dispatched_ms = Some(NOW.mono_ms);
    engine.throttle(run, Some(3)).expect("live");
    let next: Vec<u16> = seal(&mut engine).dispatches.iter().map(|dispatch| dispatch.asset_index).collect();
    assert_eq!(next, [0]);
}

#[test]
fn near_the_end_of_a_run_every_slot_gets_a_share_of_all_that_is_ready() {
    let mut engine = engine();
    let names = ["first", "second", "third"];
    for name in names {
        engine.pace.insert(name.into(), Pace { mean_us: 1.0 });
    }
    let mut plan = plan_of(1, 0, &names);
    for (asset, tasks) in [(0, 10), (1, 2), (2, 4)] {
        plan.assets[asset].upstreams.clear();
        plan.record.assets[asset].targets = PartitionSubset::from_range(0..tasks);
    }
    engine.submit(plan, "{}".into(), NOW);
    let dispatches = seal(&mut engine).dispatches;
    let sent: Vec<_> = dispatches.iter().map(|sent| (sent.asset_index, sent.ordinals.len())).collect();
    // Of 16 tasks one slot gets 8, and the assets that are furthest downstream go first.
    assert_eq!(sent, [(2, 4), (1, 2), (0, 5), (0, 3), (0, 1), (0, 1)]);
}
