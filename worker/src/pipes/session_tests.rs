use serde_json::json;

use super::*;

fn session(lines: &[Value]) -> (Session, String) {
    let text: Vec<String> = lines.iter().map(Value::to_string).collect();
    raw(&text.iter().map(String::as_str).collect::<Vec<_>>())
}

fn raw(lines: &[&str]) -> (Session, String) {
    let capture = Capture::default();
    let mut session = Session::new("my_asset", capture.clone());
    for line in lines {
        session.line(Line::Whole(line.as_bytes()));
    }
    session.finish();
    (session, capture.output().map(|output| output.text).unwrap_or_default())
}

fn message(method: &str, params: impl Into<Value>) -> Value {
    json!({"__dagster_pipes_version": "0.1", "method": method, "params": params.into()})
}

#[test]
fn a_materialization_gives_metadata_and_data_version() {
    let (session, output) = session(&[
        message("opened", json!({"extras": {}})),
        message(
            "report_asset_materialization",
            json!({"asset_key": "my_asset", "data_version": "v1",
                   "metadata": {"rows": {"raw_value": 3, "type": "int"}}}),
        ),
        message("closed", json!({})),
    ]);
    assert_eq!(session.reported.metadata, [("rows".to_owned(), MetadataValue::Int(3))]);
    assert_eq!(session.reported.data_version.as_deref(), Some("v1"));
    assert_eq!(output, "");
}

#[test]
fn a_line_that_is_no_message_costs_nothing_but_a_warning() {
    let good = message("log", json!({"message": "still here", "level": "INFO"})).to_string();
    let (_, output) = raw(&["{not json", "[1, 2]", "{\"method\": \"log\"}", &good]);
    assert_eq!(output.matches("WARNING").count(), 3, "{output}");
    assert!(output.ends_with("INFO still here\n"), "{output}");
}

#[test]
fn an_unknown_method_is_a_warning() {
    let (_, output) = session(&[message("report_weather", json!({}))]);
    assert!(output.contains("message `report_weather` is unknown"), "{output}");
}

#[test]
fn warnings_do_not_flood_the_output() {
    let (_, output) = raw(&["garbage"; 1_000]);
    assert_eq!(output.lines().count(), WARNINGS as usize + 1);
    assert!(output.ends_with("980 more warnings about messages\n"), "{output}");
}

#[test]
fn a_report_about_another_asset_is_skipped() {
    let (session, output) = session(&[message(
        "report_asset_materialization",
        json!({"asset_key": "other", "data_version": "v1", "metadata": null}),
    )]);
    assert_eq!(session.reported, Reported::default());
    assert!(output.contains("\"other\""), "{output}");
}

#[test]
fn an_exception_is_told_with_what_led_to_it() {
    let (session, _) = session(&[
        message("opened", json!({})),
        message(
            "closed",
            json!({"exception": {
                "message": "ValueError: bad\n", "stack": ["  File b\n"], "name": "ValueError", "cause": null,
                "context": {"message": "KeyError: 'k'\n", "stack": ["  File a\n"], "name": "KeyError",
                            "cause": null, "context": null}}}),
        ),
    ]);
    let error = session.exception.unwrap();
    assert_eq!(error.message, "ValueError: bad");
    let expected =
        "  File a\nKeyError: 'k'\n\nDuring handling of the above exception:\n\n  File b\nValueError: bad\n";
    assert_eq!(error.stack, expected);
}

#[test]
fn a_closed_message_may_have_no_params() {
    let (session, output) = session(&[message("opened", json!({})), message("closed", Value::Null)]);
    assert_eq!(session.exception, None);
    assert_eq!(output, "");
}

#[test]
fn a_child_that_opened_and_never_closed_is_noticed() {
    let (_, output) = session(&[message("opened", json!({}))]);
    assert!(output.contains("never closed"), "{output}");
}

#[test]
fn a_partition_of_a_batch_has_its_own_outcome() {
    let custom = |payload: Value| message("report_custom_message", json!({ "payload": payload }));
    let (session, output) = session(&[
        custom(json!({"backstitch": {"partition": "a", "status": "failed", "message": "no rows"}})),
        custom(json!({"backstitch": {"partition": "b", "status": "succeeded", "data_version": "2",
                      "metadata": {"rows": 5}}})),
        custom(json!({"backstitch": {"partition": "c", "status": "perhaps"}})),
        custom(json!({"progress": 0.5})),
    ]);
    assert_eq!(session.partitions["a"].result, Err("no rows".to_owned()));
    assert_eq!(session.partitions["b"].metadata, [("rows".to_owned(), MetadataValue::Int(5))]);
    assert!(!session.partitions.contains_key("c"));
    assert!(output.contains("perhaps"), "{output}");
    assert!(output.contains("custom message {\"progress\":0.5}"), "{output}");
}

#[test]
fn a_check_has_a_severity_of_error_unless_it_says_otherwise() {
    let check = |severity: Value| {
        message(
            "report_asset_check",
            json!({"asset_key": "my_asset", "check_name": "no_nulls", "passed": false,
                   "metadata": null, "severity": severity}),
        )
    };
    let (session, _) = session(&[check(json!("WARN")), check(Value::Null)]);
    let severities: Vec<Severity> = session.reported.checks.iter().map(|check| check.severity).collect();
    assert_eq!(severities, [Severity::Warn, Severity::Error]);
}
