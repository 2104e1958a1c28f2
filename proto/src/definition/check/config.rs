//! Config schemas: fields whose defaults and values fit their own type.

use std::collections::BTreeMap;

use super::Check;
use crate::definition::{
    limits::{CONFIG_FIELDS_MAX, CONFIG_VALUES_MAX},
    problem::FieldPath,
    project::Asset,
};

/// Characters of a field's name.
const FIELD_CHARS_MAX: usize = 64;

impl Check<'_> {
    pub(super) fn config(&mut self, path: &FieldPath, asset: &Asset) {
        self.count(path, asset.config.len(), CONFIG_FIELDS_MAX);
        let mut variables: BTreeMap<String, &str> = BTreeMap::new();
        for (name, field) in &asset.config {
            let path = path.key(name);
            if !is_field_name(name) {
                let rule = "a config field's name has at most 64 letters, digits and `_`, and no digit first";
                self.say_of_field(path.clone(), rule);
            }
            // Each field is handed to commands as BACKSTITCH_CONFIG_<NAME>.
            if let Some(other) = variables.insert(name.to_uppercase(), name) {
                self.say_of_field(
                    path.clone(),
                    format!("differs from {other:?} only in upper and lower case"),
                );
            }
            self.description(&path, field.description.as_ref());
            if let Some(values) = &field.values {
                let values_path = path.key("values");
                self.count(&values_path, values.len(), CONFIG_VALUES_MAX);
                if values.is_empty() {
                    self.say_of_field(values_path.clone(), "is empty: no value would be allowed");
                }
                for (index, value) in values.iter().enumerate() {
                    if field.kind.hold(value).is_none() {
                        let message = format!("expected {}, found {value}", field.kind.words());
                        self.say_of_field(values_path.index(index), message);
                    }
                }
            }
            if let (Some(default), Some(Err(expected))) = (&field.default, field.accept_default()) {
                self.say_of_field(path.key("default"), format!("expected {expected}, found {default}"));
            }
        }
    }
}

fn is_field_name(name: &str) -> bool {
    name.len() <= FIELD_CHARS_MAX
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
