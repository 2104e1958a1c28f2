//! Upstream partitions that do not exist: what `missing:` in a mapping makes of a backfill.

use crate::project::Project;

/// Ten days of `down`; `up` begins on the fifth of them, and `ahead` counts one day more than exists of `up`.
fn project(policy: &str) -> Project {
    Project::of(&format!(
        r#"
assets:
  up:
    partitions: {{ kind: daily, start: 2024-01-05, end: 2024-01-11 }}
    command: [sh, -c, "exit 0"]
  down:
    partitions: {{ kind: daily, start: 2024-01-01, end: 2024-01-11 }}
    deps: [{{ asset: up, mapping: {{ kind: time_window, missing: {policy} }} }}]
    command: [sh, -c, "exit 0"]
  today:
    partitions: {{ kind: daily, start: 2024-01-01 }}
    command: [sh, -c, "exit 0"]
  ahead:
    partitions: {{ kind: daily, start: 2024-01-01, end_offset: 1 }}
    deps: [{{ asset: today, mapping: {{ kind: time_window, missing: {policy} }} }}]
    command: [sh, -c, "exit 0"]
"#
    ))
}

#[test]
fn a_backfill_that_needs_what_does_not_exist_is_refused_with_the_mend() {
    let project = project("error");
    for arguments in [&["backfill", "down"][..], &["backfill", "up", "down"], &["backfill", "down", "--plan"]]
    {
        project
            .run(arguments)
            .expect(2)
            .says("asset \"down\", dependency \"up\": 2024-01-01...2024-01-04 need partitions of \"up\"")
            .says("do not exist: 2024-01-01...2024-01-04")
            .says("write \"missing: skip\"");
    }
    assert_eq!(project.json(&["runs", "list"]), serde_json::json!([]));
    project
        .run(&["backfill", "down", "--partitions", "2024-01-05..."])
        .expect(0)
        .says("All 6 tasks succeeded");
}

#[test]
fn what_may_be_skipped_is_not_needed() {
    let project = project("skip");
    project.run(&["backfill", "up", "down"]).expect(0).says("All 16 tasks succeeded");
    project.run(&["backfill", "ahead", "--partitions", "latest:2"]).expect(0).says("All 2 tasks succeeded");
}

#[test]
fn what_may_wait_is_planned_with_the_time_at_which_it_starts_and_never_for_what_cannot_come() {
    let project = project("wait");
    project
        .run(&["backfill", "down"])
        .expect(2)
        .says("will never exist, so that waiting would not end: 2024-01-01...2024-01-04");
    let plan = project.json(&["backfill", "ahead", "--partitions", "latest:2", "--plan"]);
    let wait = &plan["assets"][0]["waits"][0];
    assert_eq!((&wait["upstream"], &wait["tasks"]), (&"today".into(), &1.into()), "{plan}");
    assert!(wait["until"].as_str().is_some_and(|until| until.ends_with("T00:00:00Z")), "{plan}");
    project
        .run(&["backfill", "ahead", "--partitions", "latest:2", "--plan"])
        .expect(0)
        .says("1 task of ahead held for partitions of today that do not exist yet, the last until ");
}
