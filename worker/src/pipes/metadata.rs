//! Metadata of the protocol to metadata of the ledger.

use backstitch_proto::message::MetadataValue;
use serde_json::{Map, Value};

/// `{"name": {"raw_value": ..., "type": ...}}`, or a bare value where a child leaves the wrapping out.
pub(crate) fn entries(metadata: Map<String, Value>) -> Vec<(String, MetadataValue)> {
    metadata.into_iter().map(|(name, value)| (name, entry(value))).collect()
}

/// A plain JSON value: its own type decides.
pub(crate) fn inferred(value: Value) -> MetadataValue {
    match value {
        Value::Null => MetadataValue::Null,
        Value::Bool(value) => MetadataValue::Bool(value),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => MetadataValue::Int(whole),
            (None, Some(value)) => MetadataValue::Float(value),
            (None, None) => MetadataValue::Text(number.to_string()),
        },
        Value::String(text) => MetadataValue::Text(text),
        Value::Array(_) | Value::Object(_) => typed("json", &value),
    }
}

fn entry(value: Value) -> MetadataValue {
    let Value::Object(mut fields) = value else {
        return inferred(value);
    };
    let (Some(raw), Some(Value::String(kind))) = (fields.get("raw_value"), fields.get("type")) else {
        return typed("json", &Value::Object(fields));
    };
    match (kind.as_str(), raw) {
        ("__infer__", _)
        | ("text", Value::String(_))
        | ("int", Value::Number(_))
        | ("bool", Value::Bool(_))
        | ("null", Value::Null) => inferred(fields.remove("raw_value").unwrap_or(Value::Null)),
        // A float stays one when its value is whole: 20 is written as 20 by some clients.
        ("float", Value::Number(number)) => MetadataValue::Float(number.as_f64().unwrap_or(f64::NAN)),
        (kind, raw) => typed(kind, raw),
    }
}

fn typed(kind: &str, value: &Value) -> MetadataValue {
    MetadataValue::Typed { kind: kind.to_owned(), json: value.to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_type_of_the_protocol_has_a_value() {
        let table: &[(Value, MetadataValue)] = &[
            (json!({"raw_value": 3, "type": "__infer__"}), MetadataValue::Int(3)),
            (json!({"raw_value": 2.5, "type": "__infer__"}), MetadataValue::Float(2.5)),
            (json!({"raw_value": 20, "type": "float"}), MetadataValue::Float(20.0)),
            (json!({"raw_value": "x", "type": "text"}), MetadataValue::Text("x".into())),
            (json!({"raw_value": true, "type": "bool"}), MetadataValue::Bool(true)),
            (json!({"raw_value": null, "type": "null"}), MetadataValue::Null),
            (
                json!({"raw_value": "https://a.example", "type": "url"}),
                MetadataValue::Typed { kind: "url".into(), json: "\"https://a.example\"".into() },
            ),
            (
                json!({"raw_value": {"records": [], "schema": null}, "type": "table"}),
                MetadataValue::Typed { kind: "table".into(), json: r#"{"records":[],"schema":null}"#.into() },
            ),
            (
                json!({"raw_value": [1, 2], "type": "__infer__"}),
                MetadataValue::Typed { kind: "json".into(), json: "[1,2]".into() },
            ),
            (json!(7), MetadataValue::Int(7)),
        ];
        for (input, expected) in table {
            assert_eq!(&entry(input.clone()), expected, "{input}");
        }
    }

    #[test]
    fn a_whole_number_beyond_64_bits_becomes_a_float() {
        assert!(matches!(inferred(json!(u64::MAX)), MetadataValue::Float(_)));
    }
}
