//! The unmodified `dagster-pipes` package from PyPI as the child.

use std::time::Duration;

use backstitch_proto::message::{Dispatch, Failure, FailureKind, MetadataValue, Outcome, Severity, Verdict};

use crate::command::Watchdog;
use crate::execution::Executors;
use crate::native::Registry;
use crate::{stop, testing};

/// A Python start takes a second on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// The interpreter that has `dagster-pipes`.
fn python() -> String {
    std::env::var("BACKSTITCH_TEST_PYTHON").expect(
        "BACKSTITCH_TEST_PYTHON names a Python that has dagster-pipes: \
         python3 -m venv VENV && VENV/bin/pip install dagster-pipes==1.13.28, then VENV/bin/python",
    )
}

async fn run(keys: &[&str], program: &str) -> Vec<Outcome> {
    let program = format!("from dagster_pipes import open_dagster_pipes\nimport os, sys\n{program}");
    execute(testing::command(keys, &[&python(), "-c", &program])).await
}

async fn execute(dispatch: Dispatch) -> Vec<Outcome> {
    let executors = Executors { native: Registry::default(), watchdog: Watchdog::default() };
    let (_stopper, signal) = stop::channel();
    let executed = testing::execute(&executors, dispatch, signal);
    tokio::time::timeout(DEADLINE, executed).await.expect("the child ends").outcomes
}

fn text(outcome: &Outcome) -> &str {
    outcome.output.as_ref().map_or("", |output| output.text.as_str())
}

fn failure(outcome: &Outcome) -> &Failure {
    match &outcome.verdict {
        Verdict::Failed(failure) => failure,
        other => panic!("{other:?} {}", text(outcome)),
    }
}

#[tokio::test]
async fn a_child_reads_its_context_and_reports_a_materialization() {
    let outcome = run(
        &["1970-01-01"],
        r#"
with open_dagster_pipes() as pipes:
    assert pipes.asset_key == "my_asset"
    assert pipes.partition_key == "1970-01-01"
    assert pipes.partition_key_range["start"] == pipes.partition_key_range["end"] == "1970-01-01"
    assert pipes.partition_time_window["start"] == "1970-01-01T00:00:00+00:00", pipes.partition_time_window
    assert pipes.code_version is None and pipes.provenance is None and pipes.job_name is None
    assert pipes.retry_number == 0 and pipes.run_id == os.environ["BACKSTITCH_RUN_ID"]
    assert pipes.get_extra("config") == {}
    pipes.log.info("hello")
    pipes.log.warning("careful")
    pipes.report_asset_materialization(
        metadata={
            "rows": 24,
            "mean": {"raw_value": 51.25, "type": "float"},
            "docs": {"raw_value": "https://example.com", "type": "url"},
        },
        data_version="v7",
    )
"#,
    )
    .await
    .remove(0);
    assert_eq!(outcome.verdict, Verdict::Succeeded, "{}", text(&outcome));
    let url = MetadataValue::Typed { kind: "url".into(), json: "\"https://example.com\"".into() };
    let expected = [("rows", MetadataValue::Int(24)), ("mean", MetadataValue::Float(51.25)), ("docs", url)];
    assert_eq!(outcome.metadata, expected.map(|(name, value)| (name.to_owned(), value)));
    assert_eq!(outcome.data_version.as_deref(), Some("v7"));
    assert_eq!(text(&outcome), "INFO hello\nWARNING careful\n");
}

#[tokio::test]
async fn check_results_come_with_their_severity_and_metadata() {
    let outcome = run(
        &["k"],
        r#"
with open_dagster_pipes() as pipes:
    pipes.report_asset_check("no_nulls", passed=False, severity="WARN", metadata={"nulls": 3})
    pipes.report_asset_check("fresh", passed=True)
"#,
    )
    .await
    .remove(0);
    let checks: Vec<_> = outcome.checks.iter().map(|c| (c.name.as_str(), c.passed, c.severity)).collect();
    assert_eq!(checks, [("no_nulls", false, Severity::Warn), ("fresh", true, Severity::Error)]);
    assert_eq!(outcome.checks[0].metadata, [("nulls".to_owned(), MetadataValue::Int(3))]);
}

#[tokio::test]
async fn an_exception_is_the_failure_and_its_stack_the_detail() {
    let outcome = run(
        &["k"],
        r#"
def inner():
    raise ValueError("bad row")
with open_dagster_pipes() as pipes:
    pipes.log.info("starting")
    try:
        inner()
    except ValueError as error:
        raise RuntimeError("cannot load") from error
"#,
    )
    .await
    .remove(0);
    let failure = failure(&outcome);
    assert_eq!(failure.kind, FailureKind::Exit(1));
    assert_eq!(failure.message, "RuntimeError: cannot load");
    let detail = failure.detail.as_deref().unwrap();
    let (cause, effect) = detail.split_once("direct cause").unwrap();
    assert!(cause.contains("in inner") && cause.contains("ValueError: bad row"), "{detail}");
    assert!(effect.contains("RuntimeError: cannot load"), "{detail}");
}

#[tokio::test]
async fn a_child_that_prints_300_kb_does_not_block() {
    let outcome = run(
        &["k"],
        r#"
print("x" * 300_000)
print("y" * 300_000, file=sys.stderr)
with open_dagster_pipes() as pipes:
    pipes.report_asset_materialization(metadata={"printed": True})
"#,
    )
    .await
    .remove(0);
    assert_eq!(outcome.metadata, [("printed".to_owned(), MetadataValue::Bool(true))]);
    assert!(outcome.output.unwrap().omitted_bytes > 500_000);
}

#[tokio::test]
async fn a_half_written_line_is_waited_for_and_a_bad_one_skipped() {
    let outcome = run(
        &["k"],
        r#"
import json, time
from dagster_pipes import PipesEnvVarParamsLoader
path = PipesEnvVarParamsLoader().load_messages_params()["path"]
with open_dagster_pipes() as pipes:
    line = json.dumps({"__dagster_pipes_version": "0.1", "method": "log",
                       "params": {"message": "in two pieces", "level": "INFO"}}) + "\n"
    with open(path, "a") as messages:
        messages.write(line[:20])
        messages.flush()
        # Longer than the tail waits between two looks.
        time.sleep(0.3)
        messages.write(line[20:] + "no message at all\n")
    pipes.report_asset_materialization(metadata={"after": 1})
"#,
    )
    .await
    .remove(0);
    assert_eq!(outcome.metadata, [("after".to_owned(), MetadataValue::Int(1))]);
    assert!(text(&outcome).starts_with("INFO in two pieces\n"), "{}", text(&outcome));
    assert_eq!(text(&outcome).matches("WARNING").count(), 1, "{}", text(&outcome));
}

#[tokio::test]
async fn a_batch_knows_its_partitions_and_reports_one_by_one() {
    let outcomes = run(
        &["1970-01-01", "1970-01-02", "1970-01-03"],
        r#"
with open_dagster_pipes() as pipes:
    assert pipes.partition_key_range["end"] == "1970-01-03"
    assert pipes.partition_time_window["end"] == "1970-01-04T00:00:00+00:00"
    first, second, third = pipes.get_extra("partition_keys")
    assert pipes.get_extra("partition_time_windows")[1]["start"] == "1970-01-02T00:00:00+00:00"
    report = lambda **outcome: pipes.report_custom_message({"backstitch": outcome})
    report(partition=first, status="succeeded", metadata={"rows": 1}, data_version="one")
    report(partition=second, status="failed", message="no rows on " + second)
    pipes.report_asset_materialization(metadata={"rows": 3}, data_version="all")
"#,
    )
    .await;
    let rows = |outcome: &Outcome| outcome.metadata.first().map(|(_, value)| value.clone());
    assert_eq!(rows(&outcomes[0]), Some(MetadataValue::Int(1)), "{}", text(&outcomes[0]));
    assert_eq!(failure(&outcomes[1]).message, "no rows on 1970-01-02");
    assert_eq!(rows(&outcomes[2]), Some(MetadataValue::Int(3)));
    let versions: Vec<_> = outcomes.iter().map(|outcome| outcome.data_version.as_deref()).collect();
    assert_eq!(versions, [Some("one"), None, Some("all")]);
}

#[tokio::test]
async fn an_unpartitioned_asset_is_no_partition() {
    let program = "from dagster_pipes import open_dagster_pipes\nwith open_dagster_pipes() as pipes:\n    \
                   assert not pipes.is_partition_step and pipes.asset_key == 'my_asset'";
    let mut dispatch = testing::unpartitioned("my_asset");
    let command = testing::command(&["k"], &[&python(), "-c", program]);
    testing::invocation(&mut dispatch).executor = command.invocation.executor.clone();
    let outcome = execute(dispatch).await.remove(0);
    assert_eq!(outcome.verdict, Verdict::Succeeded, "{}", text(&outcome));
}
