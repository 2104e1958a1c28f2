//! What the child is told: the context file and the two bootstrap variables.
//!
//! Clients index the context's keys directly, so every key is present, `null` where it does not apply. A batch of
//! several partitions has no `partition_key`; it has the range and the window of the whole, and under `extras` the
//! list of its keys and of their windows, in the order of execution.

use std::io::Write;
use std::path::Path;

use backstitch_proto::message::{Dispatch, TaskSpec, Window};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat};
use flate2::Compression;
use flate2::write::ZlibEncoder;
use serde_json::{Value, json};

/// Variable that holds the parameters for reading the context.
pub(crate) const CONTEXT_VARIABLE: &str = "DAGSTER_PIPES_CONTEXT";

/// Variable that holds the parameters for writing messages.
pub(crate) const MESSAGES_VARIABLE: &str = "DAGSTER_PIPES_MESSAGES";

/// Value of [`CONTEXT_VARIABLE`] for a context in a file.
pub(crate) fn context_param(file: &Path) -> String {
    encode(&json!({ "path": file.to_string_lossy() }))
}

/// Value of [`MESSAGES_VARIABLE`] for messages to a file. The child's own streams are captured by the worker, so it
/// is asked not to send them a second time.
pub(crate) fn messages_param(file: &Path) -> String {
    encode(&json!({ "path": file.to_string_lossy(), "include_stdio_in_messages": false }))
}

/// The context of one execution of `tasks`.
pub(crate) fn context(dispatch: &Dispatch, tasks: &[TaskSpec]) -> Value {
    let invocation = &dispatch.invocation;
    let asset = &dispatch.asset;
    let partitioned = invocation.partitioned;
    let config: Value = serde_json::from_str(&invocation.config_json).unwrap_or(Value::Null);
    let mut extras = json!({
        "config": config,
        "dispatch": dispatch.id.to_string(),
        "partition_keys": null,
        "partition_time_windows": null,
    });
    if partitioned {
        extras["partition_keys"] = tasks.iter().map(|task| json!(task.key)).collect();
        extras["partition_time_windows"] = tasks.iter().map(|task| window(task.window)).collect();
    }
    json!({
        "asset_keys": [asset],
        "code_version_by_asset_key": { asset: invocation.code_version },
        "provenance_by_asset_key": { asset: null },
        "partition_key": match tasks {
            [task] if partitioned => json!(task.key),
            _ => Value::Null,
        },
        "partition_key_range": match (tasks.first(), tasks.last()) {
            (Some(first), Some(last)) if partitioned => json!({ "start": first.key, "end": last.key }),
            _ => Value::Null,
        },
        "partition_time_window": window(covering(tasks)),
        "run_id": dispatch.run.to_string(),
        "job_name": invocation.job,
        "retry_number": dispatch.attempt.saturating_sub(1),
        "extras": extras,
    })
}

/// The window from the first start to the last end; `None` when a task has none.
pub(crate) fn covering(tasks: &[TaskSpec]) -> Option<Window> {
    let windows: Option<Vec<Window>> = tasks.iter().map(|task| task.window).collect();
    let windows = windows?;
    Some(Window {
        start_us: windows.iter().map(|window| window.start_us).min()?,
        end_us: windows.iter().map(|window| window.end_us).max()?,
    })
}

/// RFC 3339 with an explicit offset, `2024-01-02T00:00:00+00:00`; fractions only where there are any.
pub(crate) fn rfc3339(us: i64) -> String {
    DateTime::from_timestamp_micros(us)
        .map_or_else(|| us.to_string(), |time| time.to_rfc3339_opts(SecondsFormat::AutoSi, false))
}

fn window(window: Option<Window>) -> Value {
    window.map_or(
        Value::Null,
        |Window { start_us, end_us }| json!({ "start": rfc3339(start_us), "end": rfc3339(end_us) }),
    )
}

/// `base64(zlib(json))`, the protocol's form of a parameter.
fn encode(params: &Value) -> String {
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
    // Writing to a Vec cannot fail.
    let compressed = zlib.write_all(params.to_string().as_bytes()).and_then(|()| zlib.finish());
    STANDARD.encode(compressed.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::testing;

    const DAY_US: i64 = 86_400_000_000;

    #[test]
    fn a_parameter_is_json_in_zlib_in_base64() {
        let bytes = STANDARD.decode(context_param(Path::new("/run/pipes/context"))).unwrap();
        let mut text = String::new();
        flate2::read::ZlibDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
        assert_eq!(text, r#"{"path":"/run/pipes/context"}"#);
    }

    #[test]
    fn one_partition_has_a_key_a_range_of_one_and_its_window() {
        let dispatch = testing::dispatch("my_asset", &["1970-01-01"]);
        let context = context(&dispatch, &dispatch.tasks);
        assert_eq!(context["asset_keys"], json!(["my_asset"]));
        assert_eq!(context["partition_key"], "1970-01-01");
        assert_eq!(context["partition_key_range"], json!({"start": "1970-01-01", "end": "1970-01-01"}));
        assert_eq!(context["provenance_by_asset_key"], json!({"my_asset": null}));
        assert_eq!(context["retry_number"], 0);
        assert_eq!(
            context["partition_time_window"],
            json!({"start": "1970-01-01T00:00:00+00:00", "end": "1970-01-02T00:00:00+00:00"})
        );
    }

    #[test]
    fn a_batch_is_told_in_full() {
        let dispatch = testing::dispatch("my_asset", &["1970-01-01", "1970-01-02", "1970-01-03"]);
        let context = context(&dispatch, &dispatch.tasks);
        assert_eq!(context["partition_key"], Value::Null);
        assert_eq!(context["partition_key_range"], json!({"start": "1970-01-01", "end": "1970-01-03"}));
        assert_eq!(context["partition_time_window"]["end"], "1970-01-04T00:00:00+00:00");
        assert_eq!(context["extras"]["partition_keys"], json!(["1970-01-01", "1970-01-02", "1970-01-03"]));
        assert_eq!(context["extras"]["partition_time_windows"][1]["start"], "1970-01-02T00:00:00+00:00");
    }

    #[test]
    fn an_unpartitioned_asset_has_every_key_and_no_partition() {
        let dispatch = testing::unpartitioned("my_asset");
        let context = context(&dispatch, &dispatch.tasks);
        let keys = ["partition_key", "partition_key_range", "partition_time_window", "job_name"];
        for key in keys {
            assert_eq!(context.get(key), Some(&Value::Null), "{key}");
        }
        assert_eq!(context["extras"]["partition_keys"], Value::Null);
    }

    #[test]
    fn a_fraction_of_a_second_is_kept() {
        assert_eq!(rfc3339(DAY_US + 500_000), "1970-01-02T00:00:00.500+00:00");
    }
}
