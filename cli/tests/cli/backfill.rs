//! The main job.

use crate::project::Project;

#[test]
fn a_backfill_runs_what_is_missing_and_the_next_one_finds_nothing_to_do() {
    let project = Project::new();
    project.run(&["backfill", "raw", "sum"]).expect(0).says("All 20 tasks succeeded");
    project.run(&["backfill", "raw", "sum"]).expect(0).says("Nothing is missing: 20 partitions of 2 assets");
    let forced = project.json(&["backfill", "raw", "--force", "--partitions", "2024-01-02...2024-01-04"]);
    assert_eq!(forced["counts"]["succeeded"], 3, "{forced}");
    assert_eq!(project.json(&["runs", "list"]).as_array().map(Vec::len), Some(2));
}

#[test]
fn without_a_terminal_progress_and_results_are_plain_text() {
    let project = Project::new();
    let ended = project.run(&["backfill", "raw"]).expect(0);
    let control = |text: &str| text.chars().any(|c| c.is_control() && c != '\n');
    assert!(!control(&ended.stdout) && !control(&ended.stderr), "{ended:?}");
}

#[test]
fn a_failing_task_fails_the_command_and_says_which_why_and_what_to_type_next() {
    let project = Project::new();
    project.write("bad", "2024-01-05\n");
    let ended = project
        .run(&["backfill", "raw", "sum"])
        .expect(1)
        .says("raw 2024-01-05: ")
        .says("no data for 2024-01-05");
    let hint = ended.stdout.lines().find(|line| line.contains("backstitch runs show")).expect("a hint");
    let arguments: Vec<&str> = hint.split_whitespace().skip(1).collect();
    project.run(&arguments).expect(0).says("exited with status 3").says("no data for 2024-01-05");

    let show = project.json(&["runs", "show", "latest"]);
    assert_eq!((&show["counts"]["failed"], &show["counts"]["skipped"]), (&1.into(), &1.into()), "{show}");
    project.write("bad", "");
    let failed = project.json(&["backfill", "raw", "--failed"]);
    assert_eq!(failed["counts"]["targeted"], 1, "{failed}");
    project
        .run(&["backfill", "raw", "--failed"])
        .expect(0)
        .says("none of the selected 10 partitions of 1 asset failed");
    project.run(&["backfill", "sum"]).expect(0);
    project.run(&["verify"]).expect(0).says("All invariants hold");
}

#[test]
fn an_ended_run_is_retried_for_what_did_not_succeed() {
    let project = Project::new();
    project.write("bad", "2024-01-05\n2024-01-06\n");
    project.run(&["backfill", "raw"]).expect(1);
    project.write("bad", "");
    let retried = project.json(&["runs", "retry", "latest"]);
    assert_eq!(retried["counts"]["succeeded"], 2, "{retried}");
    project.run(&["runs", "retry", "latest"]).expect(0).says("Nothing to do");
}

#[test]
fn a_retry_keeps_the_job_and_its_config() {
    let project = Project::new();
    project.run(&["backfill", "raw"]).expect(0);
    // With the job's factor of 0 it fails, with the default it would succeed.
    project.run(&["backfill", "--job", "strict", "--partitions", "2024-01-02"]).expect(1);
    project.run(&["runs", "retry", "latest"]).expect(1);
    let runs = project.json(&["runs", "list"]);
    assert_eq!(
        (&runs[0]["request"]["job"], &runs[0]["status"]),
        (&"strict".into(), &"failed".into()),
        "{runs}"
    );
}

#[test]
fn a_plan_says_what_would_run_and_runs_nothing() {
    let project = Project::new();
    let plan = project.json(&[
        "backfill",
        "--job",
        "daily",
        "--partitions",
        "2024-01-01, 2024-01-03...2024-01-04",
        "--plan",
    ]);
    assert_eq!(plan["tasks"], 6, "{plan}");
    assert_eq!(plan["assets"][0]["partitions"][1], "2024-01-03...2024-01-04", "{plan}");
    assert_eq!(project.json(&["runs", "list"]), serde_json::json!([]));
    project
        .run(&["backfill", "--job", "daily", "--plan"])
        .expect(0)
        .says("This would run 20 tasks; nothing was started");
}
