//! Real processes.

use std::path::Path;
use std::time::{Duration, Instant};

use backstitch_proto::message::{Dispatch, Failure, FailureKind, MetadataValue, Outcome, Verdict};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use super::*;
use crate::execution::Executors;
use crate::native::Registry;
use crate::stop::{self, Stop};
use crate::testing;

/// Far longer than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(30);

fn executors() -> Executors {
    Executors { native: Registry::default(), watchdog: Watchdog::default() }
}

async fn run(dispatch: Dispatch) -> Vec<Outcome> {
    let (_stopper, signal) = stop::channel();
    let executors = executors();
    let executed = testing::execute(&executors, dispatch, signal);
    tokio::time::timeout(DEADLINE, executed).await.expect("the execution ends").outcomes
}

async fn sh(script: &str) -> Outcome {
    run(testing::shell(&["1970-01-01"], script)).await.remove(0)
}

fn failure(outcome: &Outcome) -> &Failure {
    match &outcome.verdict {
        Verdict::Failed(failure) => failure,
        other => panic!("{other:?}"),
    }
}

fn text(outcome: &Outcome) -> &str {
    outcome.output.as_ref().map_or("", |output| output.text.as_str())
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < DEADLINE, "{what} did not happen in time");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn lives(pid: i32) -> bool {
    // A zombie takes signals; it does not live.
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    kill(Pid::from_raw(pid), None).is_ok() && !state.contains(") Z ")
}

/// The process ids that a script wrote to `file`, once there are `count`.
async fn pids(file: &Path, count: usize) -> Vec<i32> {
    let mut pids: Vec<i32> = Vec::new();
    until("the script writing its process ids", || {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        pids = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')?.parse().ok()).collect();
        pids.len() == count
    })
    .await;
    pids
}

#[tokio::test]
async fn a_command_sees_its_task_and_its_metadata_is_taken() {
    let outcome = sh(r#"
        echo "$BACKSTITCH_ASSET $BACKSTITCH_PARTITION_KEY $BACKSTITCH_ATTEMPT $BACKSTITCH_WINDOW_END"
        echo "rows=24" >> "$BACKSTITCH_METADATA"
    "#)
    .await;
    assert_eq!(outcome.verdict, Verdict::Succeeded);
    assert_eq!(text(&outcome), "my_asset 1970-01-01 1 1970-01-02T00:00:00+00:00\n");
    assert_eq!(outcome.metadata, [("rows".to_owned(), MetadataValue::Int(24))]);
    assert!(outcome.finished_us >= outcome.started_us);
}

#[tokio::test]
async fn arguments_and_variables_are_filled_in_and_never_read_by_a_shell() {
    let mut dispatch = testing::command(
        &["$(touch /tmp/x); `id`"],
        &["sh", "-c", "echo \"$1 $MINE\"", "-", "{{partition_key}}"],
    );
    if let backstitch_proto::message::Executor::Command { env, .. } =
        &mut testing::invocation(&mut dispatch).executor
    {
        env.push(("MINE".to_owned(), "of {{asset}}".to_owned()));
    }
    let outcome = run(dispatch).await.remove(0);
    assert_eq!(text(&outcome), "$(touch /tmp/x); `id` of my_asset\n");
}

#[tokio::test]
async fn a_command_that_is_not_there_says_what_to_look_for() {
    let outcome = run(testing::command(&["k"], &["no-such-program"])).await.remove(0);
    let failure = failure(&outcome);
    assert_eq!(failure.kind, FailureKind::NotStarted);
    assert!(
        failure.message.starts_with("command `no-such-program` was not found: is it installed"),
        "{failure:?}"
    );
}

#[tokio::test]
async fn a_file_that_is_no_program_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("script");
    std::fs::write(&file, "echo hello\n").unwrap();
    let outcome = run(testing::command(&["k"], &[file.to_str().unwrap()])).await.remove(0);
    assert!(failure(&outcome).message.contains("chmod +x"), "{outcome:?}");
}

#[tokio::test]
async fn arguments_that_are_too_long_are_a_failure_that_no_retry_mends() {
    let long = "x".repeat(4 << 20);
    let outcome = run(testing::command(&["k"], &["true", &long])).await.remove(0);
    let failure = failure(&outcome);
    assert!(!failure.retryable && failure.message.contains("batch_size"), "{}", failure.message);
}

#[tokio::test]
async fn a_placeholder_without_a_value_starts_nothing() {
    let outcome = run(testing::command(&["k"], &["echo", "{{config.unit}}"])).await.remove(0);
    let failure = failure(&outcome);
    assert_eq!((failure.kind, failure.retryable), (FailureKind::NotStarted, false));
    assert!(failure.message.contains("{{config.unit}}"), "{failure:?}");
}

#[tokio::test]
async fn an_exit_status_and_a_signal_are_told_apart() {
    let (exit, signal) = (sh("echo oops >&2; exit 3").await, sh("kill -s KILL $$").await);
    assert_eq!(failure(&exit).kind, FailureKind::Exit(3));
    assert_eq!(text(&exit), "oops\n");
    assert_eq!(failure(&signal).kind, FailureKind::Signal(9));
}

#[tokio::test]
async fn a_hundred_megabytes_are_drained_and_the_ends_kept() {
    let outcome = sh("echo first; head -c 100000000 /dev/zero | tr '\\0' x; echo; echo last").await;
    assert_eq!(outcome.verdict, Verdict::Succeeded);
    let output = outcome.output.unwrap();
    assert!(output.text.starts_with("first\n") && output.text.ends_with("last\n"));
    assert!(output.omitted_bytes > 99_000_000 && output.text.len() < 100_000);
}

#[tokio::test]
async fn bytes_that_are_no_text_are_no_failure() {
    let outcome = sh(r"printf 'a\377\000b'; printf 'name=\377\n' >> $BACKSTITCH_METADATA").await;
    assert_eq!(outcome.verdict, Verdict::Succeeded);
    assert_eq!(text(&outcome), "a\u{fffd}\u{fffd}b");
    assert_eq!(outcome.metadata, [("name".to_owned(), MetadataValue::Text("\u{fffd}".into()))]);
}

#[tokio::test]
async fn a_timeout_ends_the_child_and_the_grandchild() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pids");
    let script =
        format!("trap '' TERM; echo $$ >> {0}; sleep 1000 & echo $! >> {0}; wait; wait", file.display());
    let mut dispatch = testing::shell(&["k"], &script);
    testing::invocation(&mut dispatch).timeout_ms = Some(500);
    testing::invocation(&mut dispatch).grace_ms = 100;
    let outcome = run(dispatch).await.remove(0);
    assert_eq!(failure(&outcome).kind, FailureKind::Timeout);
    for pid in pids(&file, 2).await {
        until("the end of the process", || !lives(pid)).await;
    }
}

#[tokio::test]
async fn a_child_has_its_grace_to_clean_up() {
    let mut dispatch =
        testing::shell(&["k"], "trap 'echo cleaned; exit 0' TERM; echo ready; sleep 1000 & wait");
    testing::invocation(&mut dispatch).timeout_ms = Some(500);
    testing::invocation(&mut dispatch).grace_ms = 20_000;
    let outcome = run(dispatch).await.remove(0);
    assert_eq!(text(&outcome), "ready\ncleaned\n");
    assert_eq!(failure(&outcome).kind, FailureKind::Timeout);
}

#[tokio::test]
async fn what_a_child_leaves_behind_ends_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pids");
    let outcome = sh(&format!("sleep 1000 & echo $! >> {}", file.display())).await;
    assert_eq!(outcome.verdict, Verdict::Succeeded);
    let left = pids(&file, 1).await[0];
    until("the end of the process that was left", || !lives(left)).await;
}

#[tokio::test]
async fn a_stop_ends_the_execution_with_its_reason() {
    for reason in [Stop::Cancel, Stop::Interrupt, Stop::Abandon] {
        let (stopper, signal) = stop::channel();
        let executors = executors();
        let running = testing::execute(&executors, testing::shell(&["k"], "sleep 1000"), signal);
        tokio::pin!(running);
        // It has begun once it was polled; a stop before its child started must work just the same.
        let polled = tokio::time::timeout(Duration::from_millis(50), &mut running).await;
        assert!(polled.is_err());
        stopper.stop(reason);
        let executed = tokio::time::timeout(DEADLINE, running).await.unwrap();
        assert_eq!(executed.stopped, Some(reason));
        let verdicts: Vec<&Verdict> = executed.outcomes.iter().map(|outcome| &outcome.verdict).collect();
        assert_eq!(verdicts.is_empty(), reason != Stop::Cancel);
    }
}

#[tokio::test]
async fn an_execution_that_is_dropped_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pids");
    let script = format!("echo $$ >> {0}; sleep 1000 & echo $! >> {0}; wait", file.display());
    let (_stopper, signal) = stop::channel();
    let executors = executors();
    let running = testing::execute(&executors, testing::shell(&["k"], &script), signal);
    let pids = tokio::select! {
        _ = running => panic!("it ended by itself"),
        pids = pids(&file, 2) => pids,
    };
    for pid in pids {
        until("the end of the process", || !lives(pid)).await;
    }
}

#[tokio::test]
async fn the_watchdog_ends_groups_whose_worker_is_gone() {
    use std::os::unix::process::CommandExt;
    let spawn = || std::process::Command::new("sleep").arg("1000").process_group(0).spawn().unwrap();
    let (mut protected, mut released) = (spawn(), spawn());
    let watchdog = Watchdog::default();
    std::mem::forget(watchdog.protect(protected.id()));
    drop(watchdog.protect(released.id()));
    drop(watchdog);
    until("the end of the protected group", || protected.try_wait().unwrap().is_some()).await;
    assert_eq!(released.try_wait().unwrap(), None);
    killpg(Pid::from_raw(released.id() as i32), Signal::SIGKILL).unwrap();
    released.wait().unwrap();
}

#[tokio::test]
async fn a_batch_is_told_all_of_its_partitions() {
    let mut outcomes = run(testing::shell(&["a", "b"], "echo \"[$BACKSTITCH_PARTITION_KEYS]\"")).await;
    assert_eq!(outcomes.len(), 2);
    assert_eq!(text(&outcomes.remove(0)), "[a\nb]\n");
}

/// Names the file in which a worker that is about to be killed leaves the process ids of its children.
const VICTIM: &str = "BACKSTITCH_TEST_VICTIM";

#[tokio::test]
async fn children_do_not_outlive_a_worker_that_is_killed() {
    if let Ok(file) = std::env::var(VICTIM) {
        // The second lets the worker name the group to the watchdog: before that nothing could protect it.
        let script =
            format!("trap '' TERM; sleep 1; echo $$ >> {file}; sleep 1000 & echo $! >> {file}; wait");
        sh(&script).await;
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pids");
    let name = "command::tests::children_do_not_outlive_a_worker_that_is_killed";
    let mut worker = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name])
        .env(VICTIM, &file)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let children = pids(&file, 2).await;
    assert!(children.iter().all(|&pid| lives(pid)));
    worker.kill().unwrap();
    worker.wait().unwrap();
    for pid in children {
        until("the end of the child", || !lives(pid)).await;
    }
}

#[tokio::test]
async fn a_process_that_left_the_group_does_not_hold_the_execution_up() {
    let folder = tempfile::tempdir().unwrap();
    let left = folder.path().join("left");
    let script =
        "setsid sh -c 'echo left > \"$0\"; exec sleep 20' LEFT & until [ -s LEFT ]; do sleep 0.01; done";
    let outcome = sh(&script.replace("LEFT", left.to_str().unwrap())).await;
    assert_eq!(outcome.verdict, Verdict::Succeeded);
    assert!(text(&outcome).contains("WARNING a process outside the group"), "{}", text(&outcome));
}
