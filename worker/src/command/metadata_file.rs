//! Metadata for programs that speak no protocol: lines `name=value` in the file `BACKSTITCH_METADATA`.

use backstitch_proto::message::MetadataValue;
use serde_json::Value;

use crate::limits::METADATA_BYTES;
use crate::pipes::metadata::inferred;

/// Bytes of the file that are read: twice what is kept, so that the limit on metadata is the one that people meet.
pub(crate) const FILE_BYTES: u64 = 2 * METADATA_BYTES as u64;

/// The entries, and a warning for each line that is none. A value that is a JSON number or truth value has that
/// type, everything else is text. The last line of a name wins.
pub(crate) fn parse(text: &str) -> (Vec<(String, MetadataValue)>, Vec<String>) {
    let mut entries: Vec<(String, MetadataValue)> = Vec::new();
    let mut warnings = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let Some((name, value)) = line.split_once('=').filter(|(name, _)| !name.trim().is_empty()) else {
            warnings.push(format!("BACKSTITCH_METADATA:{}: expected `name=value`", number + 1));
            continue;
        };
        let (name, value) = (name.trim(), typed(value.trim()));
        match entries.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value,
            None => entries.push((name.to_owned(), value)),
        }
    }
    (entries, warnings)
}

fn typed(text: &str) -> MetadataValue {
    match serde_json::from_str(text) {
        Ok(value @ (Value::Number(_) | Value::Bool(_))) => inferred(value),
        _ => MetadataValue::Text(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_truth_values_are_typed_and_the_rest_is_text() {
        let (entries, warnings) = parse("rows=24\nmean_f = 51.25\nok=true\nnote=a=b\nnull=null\n\nrows=25\n");
        let expected = [
            ("rows", MetadataValue::Int(25)),
            ("mean_f", MetadataValue::Float(51.25)),
            ("ok", MetadataValue::Bool(true)),
            ("note", MetadataValue::Text("a=b".into())),
            ("null", MetadataValue::Text("null".into())),
        ];
        assert_eq!(entries, expected.map(|(name, value)| (name.to_owned(), value)));
        assert_eq!(warnings, Vec::<String>::new());
    }

    #[test]
    fn a_line_that_is_no_entry_is_named() {
        let (entries, warnings) = parse("rows=1\nnonsense\n=3\n");
        assert_eq!(entries.len(), 1);
        assert_eq!(warnings.len(), 2);
        assert!(warnings[0].starts_with("BACKSTITCH_METADATA:2:"), "{}", warnings[0]);
    }
}
