//! Hours of a day that is not over need that day, or an asset that begins later: what becomes of them.

use std::sync::Arc;

use backstitch_proto::definition::Definitions;
use backstitch_proto::id::{Epoch, RunId};
use chrono::{DateTime, Utc};

use crate::engine::{Counts, Engine, Now, Options};
use crate::ledger::RunRecord;
use crate::service::catalog::Catalog;
use crate::service::{PlanPreview, Submission, binding, planning};

/// The tenth of March at noon: twelve hours exist, the day does not.
const NOON: &str = "2024-03-10T12:00:00Z";
const MIDNIGHT: &str = "2024-03-11T00:00:00Z";

fn at_us(time: &str) -> i64 {
    time.parse::<DateTime<Utc>>().expect("a time").timestamp_micros()
}

fn project(mapping: &str) -> Arc<Definitions> {
    let yaml = format!(
        "assets:\n\
         \x20 daily: {{partitions: {{kind: daily, start: 2024-03-09}}, command: [\"true\"]}}\n\
         \x20 hourly:\n\
         \x20   partitions: {{kind: hourly, start: 2024-03-08}}\n\
         \x20   deps: [{{asset: daily, mapping: {mapping}}}]\n\
         \x20   command: [\"true\"]\n"
    );
    Arc::new(
        Definitions::from_yaml("backstitch.yaml", &yaml).unwrap_or_else(|problems| panic!("{problems:?}")),
    )
}

fn hours(partitions: &str) -> Submission {
    Submission {
        assets: Some("hourly".to_owned()),
        partitions: Some(partitions.to_owned()),
        ..Submission::default()
    }
}

fn plan(mapping: &str, partitions: &str) -> Result<PlanPreview, String> {
    planning::preview(&hours(partitions), &project(mapping), at_us(NOON)).map_err(|error| error.to_string())
}

/// An engine with a run of these hours, submitted at noon.
fn submitted(mapping: &str, partitions: &str) -> (Engine, RunId) {
    let (definitions, record) = record(mapping, partitions);
    let mut engine = Engine::new(Epoch(1), Options::default());
    let id = record.id;
    let bound = binding::bind(&definitions, record).expect("what was planned can be bound");
    engine.submit(bound, "{}".into(), now(0, NOON));
    (engine, id)
}

fn record(mapping: &str, partitions: &str) -> (Arc<Definitions>, RunRecord) {
    let definitions = project(mapping);
    let mut catalog = Catalog::empty(&definitions, NOON.parse().expect("a time"));
    let submission = hours(partitions);
    let planned = planning::plan(&submission, &mut catalog, at_us(NOON)).expect("a plan");
    (definitions, planning::record(&submission, planned.assets, &catalog, at_us(NOON)))
}

fn now(mono_ms: u64, time: &str) -> Now {
    Now { mono_ms, wall_us: at_us(time) }
}

fn counts(engine: &Engine, run: RunId) -> Counts {
    assert_eq!(engine.violations(), []);
    engine.run(run).expect("live").assets[0].counts
}

#[test]
fn by_default_a_submission_that_needs_what_does_not_exist_is_refused_with_the_mend() {
    for mapping in ["{kind: time_window}", "{kind: time_window, missing: error}"] {
        assert_eq!(
            plan(mapping, "2024-03-08-20:00...").unwrap_err(),
            "asset \"hourly\", dependency \"daily\": 2024-03-08-20:00...2024-03-08-23:00, \
             2024-03-10-00:00...2024-03-10-11:00 need partitions of \"daily\" that do not exist: 2024-03-08, \
             2024-03-10; leave them out of the selection, or write \"missing: skip\" (run without them) or \
             \"missing: wait\" (start once they exist) in the mapping"
        );
    }
}

#[test]
fn what_needs_only_what_exists_is_planned_whatever_the_policy() {
    for policy in ["error", "skip", "wait"] {
        let planned =
            plan(&format!("{{kind: time_window, missing: {policy}}}"), "2024-03-09-*").expect("a plan");
        assert_eq!((planned.tasks, planned.assets[0].waits.len()), (24, 0), "{policy}");
    }
}

#[test]
fn what_may_be_skipped_is_not_needed() {
    let planned = plan("{kind: time_window, missing: skip}", "all").expect("a plan");
    assert_eq!((planned.tasks, planned.assets[0].waits.len()), (60, 0));
    let (engine, run) = submitted("{kind: time_window, missing: skip}", "2024-03-10-*");
    assert_eq!(counts(&engine, run).ready, 12);
}

#[test]
fn a_plan_says_who_waits_for_what_until_when() {
    let planned = plan("{kind: time_window, missing: wait}", "2024-03-09-20:00...").expect("a plan");
    let waits = &planned.assets[0].waits;
    assert_eq!(waits.len(), 1, "{waits:?}");
    assert_eq!((waits[0].upstream.as_str(), waits[0].tasks), ("daily", 12));
    assert_eq!(waits[0].until, MIDNIGHT.parse::<DateTime<Utc>>().expect("a time"));
}

#[test]
fn waiting_for_what_never_comes_is_refused() {
    let refused =
        plan("{kind: time_window, missing: wait}", "2024-03-08-20:00...2024-03-09-01:00").unwrap_err();
    assert!(refused.contains("2024-03-08-20:00...2024-03-08-23:00 need"), "{refused}");
    assert!(refused.contains("will never exist, so that waiting would not end: 2024-03-08;"), "{refused}");
    assert!(!refused.contains("missing: wait"), "{refused}");
}

#[test]
fn tasks_that_wait_start_when_the_partition_exists_and_not_before() {
    let (mut engine, run) = submitted("{kind: time_window, missing: wait}", "2024-03-09-23:00...");
    let Counts { waiting, ready, .. } = counts(&engine, run);
    assert_eq!((waiting, ready), (12, 1), "the last hour of yesterday can start at once");

    // One look a minute, and one at the instant itself: the clock of the engine says when.
    let due = engine.next_deadline_ms().expect("something to wait for");
    assert!(due <= 60_000, "{due}");
    engine.seal(now(due, "2024-03-10T23:59:59.999Z"));
    assert_eq!(counts(&engine, run).waiting, 12);
    let due = engine.next_deadline_ms().expect("something to wait for");
    assert!(due <= 60_000 + 1, "a millisecond is left: {due}");
    engine.seal(now(due, MIDNIGHT));
    let Counts { waiting, ready, .. } = counts(&engine, run);
    assert_eq!((waiting, ready), (0, 13));
}

#[test]
fn a_task_that_waits_for_two_upstream_assets_starts_when_the_later_one_exists() {
    let yaml = "assets:\n\
        \x20 daily: {partitions: {kind: daily, start: 2024-03-09}, command: [x]}\n\
        \x20 weekly: {partitions: {kind: weekly, start: 2024-03-03}, command: [x]}\n\
        \x20 hourly:\n\
        \x20   partitions: {kind: hourly, start: 2024-03-08}\n\
        \x20   deps:\n\
        \x20     - {asset: daily, mapping: {kind: time_window, missing: wait}}\n\
        \x20     - {asset: weekly, mapping: {kind: time_window, missing: wait}}\n\
        \x20   command: [x]\n";
    let definitions = Arc::new(Definitions::from_yaml("backstitch.yaml", yaml).expect("a valid project"));
    let mut catalog = Catalog::empty(&definitions, NOON.parse().expect("a time"));
    // Saturday is over, its week is not over before the day is.
    let submission = hours("2024-03-09-23:00...");
    let planned = planning::plan(&submission, &mut catalog, at_us(NOON)).expect("a plan");
    let record = planning::record(&submission, planned.assets, &catalog, at_us(NOON));
    let run = record.id;
    let mut engine = Engine::new(Epoch(1), Options::default());
    let plan = binding::bind(&definitions, record).expect("what was planned can be bound");
    engine.submit(plan, "{}".into(), now(0, NOON));
    assert_eq!(counts(&engine, run).ready, 1);
    engine.seal(now(60_000, MIDNIGHT));
    assert_eq!(counts(&engine, run).ready, 1, "the day of the others exists, their week does not");
    engine.seal(now(120_000, "2024-03-17T00:00:00Z"));
    assert_eq!(counts(&engine, run).ready, 13);
}

#[test]
fn a_run_of_which_everything_waits_is_alive_and_can_be_cancelled() {
    let (mut engine, run) = submitted("{kind: time_window, missing: wait}", "2024-03-10-*");
    assert_eq!(counts(&engine, run).waiting, 12);
    engine.cancel(run, now(1, NOON)).expect("live");
    assert!(engine.run(run).is_none(), "nothing was in flight");
    engine.seal(now(120_000, MIDNIGHT));
    assert_eq!(engine.violations(), []);
}

#[test]
fn a_leader_that_takes_over_goes_on_waiting_and_starts_what_came_in_between() {
    for (time, ready) in [("2024-03-10T18:00:00Z", 1), (MIDNIGHT, 13)] {
        let (definitions, record) = record("{kind: time_window, missing: wait}", "2024-03-09-23:00...");
        let id = record.id;
        let plan = binding::bind(&definitions, record.clone()).expect("bound");
        let live = crate::ledger::LiveState {
            runs: vec![crate::ledger::LiveRun {
                record,
                paused: false,
                cancel_requested: false,
                assets: vec![crate::ledger::LiveAsset::default()],
            }],
            ..Default::default()
        };
        let engine =
            Engine::recover(Epoch(2), Options::default(), live, [(id, plan)].into(), true, now(0, time));
        assert_eq!(counts(&engine, id).ready, ready, "{time}");
    }
}

#[test]
fn a_retry_under_definitions_that_have_become_stricter_is_refused_as_a_submission_is() {
    let (before, record) = record("{kind: time_window, missing: skip}", "2024-03-10-00:00...");
    let ended = binding::bind(&before, record).expect("what was planned can be bound");
    let retry = |definitions: &Arc<Definitions>| {
        let mut catalog = Catalog::empty(definitions, NOON.parse().expect("a time"));
        planning::rest_of(&ended, &[], &mut catalog, at_us(NOON))
    };
    assert_eq!(retry(&before).expect("nothing is needed").preview.tasks, 12);
    let Err(refused) = retry(&project("{kind: time_window}")) else { panic!("the day does not exist") };
    assert!(refused.to_string().contains("need partitions of \"daily\" that do not exist"), "{refused}");
}

#[test]
fn a_retry_runs_in_the_order_of_dependencies_that_were_added_since() {
    let project = |of_a: &str| {
        let text = format!("assets: {{a: {{command: [x]{of_a}}}, b: {{command: [x]}}}}");
        Arc::new(Definitions::from_yaml("backstitch.yaml", &text).expect("a valid project"))
    };
    let (before, after) = (project(""), project(", deps: [b]"));
    let at = NOON.parse().expect("a time");
    let submission = Submission { assets: Some("*".to_owned()), ..Submission::default() };
    let mut catalog = Catalog::empty(&before, at);
    let planned = planning::plan(&submission, &mut catalog, at_us(NOON)).expect("a plan");
    let record = planning::record(&submission, planned.assets, &catalog, at_us(NOON));
    let ended = binding::bind(&before, record.clone()).expect("bound");
    assert_eq!(ended.assets.iter().map(|asset| &*asset.name).collect::<Vec<_>>(), ["a", "b"]);

    let mut catalog = Catalog::empty(&after, at);
    let rest = planning::rest_of(&ended, &[], &mut catalog, at_us(NOON)).expect("a plan");
    let again = planning::record(&submission, rest.assets, &catalog, at_us(NOON));
    let again = binding::bind(&after, again).expect("bound");
    assert_eq!(again.assets.iter().map(|asset| &*asset.name).collect::<Vec<_>>(), ["b", "a"]);
    assert_eq!(again.assets[1].upstreams.len(), 1, "it waits for what it needs");

    let disordered = binding::bind(&after, record).expect_err("the order of before");
    assert!(disordered.to_string().contains("comes later in the run than what needs it"), "{disordered}");
}
