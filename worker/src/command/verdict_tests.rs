use backstitch_proto::message::{Dispatch, MetadataValue};

use super::*;
use crate::pipes::lines::Line;
use crate::testing;

const EXIT_3: i32 = 3 << 8;

fn judge(dispatch: Dispatch, ended: Ended, messages: &[serde_json::Value]) -> Executed {
    let capture = Capture::default();
    capture.push(b"printed\n");
    let mut session = Session::new(&dispatch.asset, capture.clone());
    for message in messages {
        session.line(Line::Whole(message.to_string().as_bytes()));
    }
    let evidence = Evidence { ended, reported: Ok(session), timeout: Some(Duration::from_millis(1_500)) };
    testing::with_execution(dispatch, |execution| outcomes(execution, evidence, 1, &capture))
}

fn partition(key: &str, status: &str) -> serde_json::Value {
    let report = serde_json::json!({"partition": key, "status": status, "message": "no rows"});
    serde_json::json!({
        "__dagster_pipes_version": "0.1", "method": "report_custom_message",
        "params": {"payload": {"backstitch": report}}
    })
}

fn failure(outcome: &Outcome) -> &Failure {
    match &outcome.verdict {
        Verdict::Failed(failure) => failure,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_partition_of_a_batch_takes_its_own_outcome_and_the_exit_status_decides_for_the_others() {
    let dispatch = testing::shell(&["a", "b", "c"], "unused");
    let ended = Ended::Exited(ExitStatus::from_raw(EXIT_3));
    let executed = judge(dispatch, ended, &[partition("a", "succeeded"), partition("b", "failed")]);
    assert_eq!(executed.outcomes[0].verdict, Verdict::Succeeded);
    assert_eq!(failure(&executed.outcomes[1]).message, "no rows");
    assert_eq!(failure(&executed.outcomes[2]).kind, FailureKind::Exit(3));
    assert_eq!(failure(&executed.outcomes[2]).message, "command `sh` exited with status 3");
}

#[test]
fn the_output_is_kept_once_where_the_first_failure_is() {
    let executed = judge(
        testing::shell(&["a", "b"], "unused"),
        Ended::Exited(ExitStatus::from_raw(0)),
        &[partition("b", "failed")],
    );
    assert_eq!(executed.outcomes[0].output, None);
    assert_eq!(executed.outcomes[1].output.as_ref().unwrap().text, "printed\n");
}

#[test]
fn an_outcome_for_a_partition_of_somebody_else_is_a_warning() {
    let executed = judge(
        testing::shell(&["a"], "unused"),
        Ended::Exited(ExitStatus::from_raw(0)),
        &[partition("z", "failed")],
    );
    assert_eq!(executed.outcomes[0].verdict, Verdict::Succeeded);
    assert!(executed.outcomes[0].output.as_ref().unwrap().text.contains("\"z\", which is not in this batch"));
}

#[test]
fn metadata_without_a_partition_holds_for_all_of_the_batch() {
    let materialization = serde_json::json!({
        "__dagster_pipes_version": "0.1", "method": "report_asset_materialization",
        "params": {"asset_key": "my_asset", "data_version": "v1",
                   "metadata": {"rows": {"raw_value": 3, "type": "int"}}}
    });
    let executed = judge(
        testing::shell(&["a", "b", "c"], "unused"),
        Ended::Exited(ExitStatus::from_raw(0)),
        &[materialization, partition("b", "failed")],
    );
    let rows = [("rows".to_owned(), MetadataValue::Int(3))];
    assert_eq!(executed.outcomes[0].metadata, rows);
    assert_eq!(executed.outcomes[1].metadata, []);
    assert_eq!(executed.outcomes[2].data_version.as_deref(), Some("v1"));
}

#[test]
fn an_interrupted_execution_reports_only_what_the_child_had_decided() {
    let executed = judge(
        testing::shell(&["a", "b"], "unused"),
        Ended::Stopped(Stop::Interrupt),
        &[partition("b", "succeeded")],
    );
    assert_eq!(executed.outcomes.iter().map(|outcome| outcome.ordinal).collect::<Vec<_>>(), [1]);
    assert_eq!(executed.stopped, Some(Stop::Interrupt));
}

#[test]
fn a_cancelled_execution_is_cancelled_and_an_abandoned_one_silent() {
    let cancelled = judge(testing::shell(&["a"], "unused"), Ended::Stopped(Stop::Cancel), &[]);
    assert_eq!(cancelled.outcomes[0].verdict, Verdict::Cancelled);
    let abandoned = judge(testing::shell(&["a"], "unused"), Ended::Stopped(Stop::Abandon), &[]);
    assert_eq!(abandoned.outcomes, []);
}

#[test]
fn a_timeout_says_how_long_and_what_to_do() {
    let executed = judge(testing::shell(&["a"], "unused"), Ended::TimedOut, &[]);
    let failure = failure(&executed.outcomes[0]);
    assert_eq!(failure.kind, FailureKind::Timeout);
    assert!(failure.message.contains("timeout of 1.5 s") && failure.message.contains("raise"), "{failure:?}");
}

#[test]
fn a_signal_has_its_name() {
    let ended = Ended::Exited(ExitStatus::from_raw(9));
    let executed = judge(testing::shell(&["a"], "unused"), ended, &[]);
    let failure = failure(&executed.outcomes[0]);
    assert_eq!(failure.kind, FailureKind::Signal(9));
    assert_eq!(failure.message, "command `sh` was ended by SIGKILL (9) (out of memory?)");
}
