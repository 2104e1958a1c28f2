//! Signals, and what is found after them.

use nix::sys::signal::Signal;

use crate::project::Project;

#[test]
fn ctrl_c_cancels_the_run_and_says_how_to_go_on() {
    let project = Project::new();
    let running = project.start(&["backfill", "slow"]);
    project.wait_for("started");
    running.signal(Signal::SIGINT);
    let ended = running.end().expect(130).says("Cancelling").says("goes on with the rest");
    assert!(ended.stdout.contains("Cancelled after"), "{ended:?}");
    let runs = project.json(&["runs", "list"]);
    assert_eq!(runs[0]["status"], "cancelled");
    let id = runs[0]["id"].as_str().expect("an id");
    assert!(ended.stdout.contains(&format!("`backstitch runs retry {id}`")), "{ended:?}");
    project.write("go", "");
    project.run(&["runs", "retry", id]).expect(0);
    project.run(&["backfill", "slow"]).expect(0).says("Nothing is missing");
}

#[test]
fn what_a_killed_process_left_undone_is_finished_first() {
    let project = Project::new();
    let running = project.start(&["backfill", "slow", "raw"]);
    project.wait_for("started");
    running.signal(Signal::SIGKILL);
    running.end();
    project.run(&["verify"]).expect(1).says("LIVE: 1 live run, and nobody who leads answers");
    project.write("go", "");
    let ended = project
        .run(&["backfill", "slow", "raw"])
        .expect(0)
        .says("Going on with run")
        .says("Nothing is missing");
    let runs = project.json(&["runs", "list"]);
    assert_eq!(runs.as_array().map(Vec::len), Some(1), "{runs} {ended:?}");
    assert_eq!(runs[0]["status"], "succeeded");
    project.run(&["verify"]).expect(0);
}

#[test]
fn a_second_backfill_on_the_same_ledger_is_told_whom_to_ask() {
    let project = Project::new();
    let running = project.start(&["backfill", "slow"]);
    project.wait_for("started");
    let refused = project.run(&["backfill", "raw"]).expect(1).says("is in use by another backstitch process");
    let server = refused.stderr.split_whitespace().last().expect("a URL");
    project.run(&["backfill", "raw", "--watch", "--server", server]).expect(0).says("All 10 tasks succeeded");
    let shown = project.json(&["runs", "list", "--asset", "slow"]);
    assert_eq!(
        (&shown[0]["status"], &shown[0]["counts"]["in_flight"]),
        (&"running".into(), &1.into()),
        "{shown}"
    );
    assert_eq!(project.json(&["workers", "list"])[0]["running"], 1);
    let id = shown[0]["id"].as_str().expect("an id");
    project.run(&["runs", "cancel", id]).expect(0);
    running.end().expect(1).says("Cancelled after");
}

#[test]
fn a_live_run_is_changed_from_another_terminal() {
    let project = Project::new();
    let running = project.start(&["backfill", "slow"]);
    project.wait_for("started");
    project.run(&["runs", "change", "latest"]).expect(2).says("--priority");
    project
        .run(&["runs", "change", "latest", "--priority", "-3", "--max-parallel", "1"])
        .expect(0)
        .says("has priority -3 and executes at most 1 task at once");
    project.run(&["runs", "pause", "latest"]).expect(0).says("is paused");
    let shown = project.json(&["runs", "show", "latest"]);
    assert_eq!(
        (&shown["status"], &shown["priority"], &shown["max_parallel"]),
        (&"paused".into(), &(-3).into(), &1.into()),
        "{shown}"
    );
    project.run(&["runs", "resume", "latest"]).expect(0).says("goes on");
    project.run(&["runs", "change", "latest", "--max-parallel", "0"]).expect(0).says("no bound");
    project.write("go", "");
    running.end().expect(0);
    project.run(&["runs", "change", "latest", "--priority", "1"]).expect(1).says("has ended");
}

#[test]
fn dev_serves_its_api_until_it_is_told_to_stop() {
    let project = Project::new();
    let mut dev = project.start(&["dev", "--listen", "127.0.0.1:0"]);
    let line = dev.line_with("Backstitch runs");
    let url = line.split_whitespace().last().expect("a URL").to_owned();
    project
        .run(&["backfill", "--job", "daily", "--watch", "--server", &url])
        .expect(0)
        .says("All 20 tasks succeeded");
    project.run(&["backfill", "--job", "daily", "--server", &url]).expect(0).says("Nothing is missing");
    // Without --server they find the leader through its ledger.
    assert_eq!(project.json(&["workers", "list"]).as_array().map(Vec::len), Some(1));
    project.run(&["verify", "--server", &url]).expect(0);
    project.run(&["backfill", "rwa", "--server", &url]).expect(2).says("did you mean \"raw\"?");
    dev.signal(Signal::SIGTERM);
    dev.end().expect(0);
}
