//! Metadata and checks that a task reports, as the documents that the ledger keeps.

use backstitch_proto::message::{CheckResult, MetadataValue, Severity};
use serde_json::{Map, Value, json};

pub(super) fn metadata_json(metadata: Vec<(String, MetadataValue)>) -> Option<String> {
    (!metadata.is_empty()).then(|| metadata_object(metadata).to_string())
}

fn metadata_object(metadata: Vec<(String, MetadataValue)>) -> Value {
    Value::Object(
        metadata.into_iter().map(|(name, value)| (name, metadata_value(value))).collect::<Map<_, _>>(),
    )
}

fn metadata_value(value: MetadataValue) -> Value {
    match value {
        MetadataValue::Null => Value::Null,
        MetadataValue::Bool(value) => value.into(),
        MetadataValue::Int(value) => value.into(),
        // JSON has no NaN and no infinity.
        MetadataValue::Float(value) => value.into(),
        MetadataValue::Text(value) => value.into(),
        MetadataValue::Typed { kind, json } => {
            let raw: Value = serde_json::from_str(&json).unwrap_or(Value::String(json));
            json!({ "type": kind, "raw_value": raw })
        }
    }
}

pub(super) fn checks_json(checks: Vec<CheckResult>) -> Option<String> {
    if checks.is_empty() {
        return None;
    }
    let as_json = |check: CheckResult| {
        json!({
            "name": check.name,
            "passed": check.passed,
            "severity": match check.severity { Severity::Warn => "warn", Severity::Error => "error" },
            "metadata": metadata_object(check.metadata),
        })
    };
    Some(Value::Array(checks.into_iter().map(as_json).collect()).to_string())
}
