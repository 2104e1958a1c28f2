//! Limits of what people write freely: descriptions, labels, lists.

use std::collections::BTreeMap;

use super::Check;
use crate::definition::{
    limits::{DESCRIPTION_BYTES_MAX, TAG_BYTES_MAX, TAGS_MAX},
    problem::FieldPath,
};

impl Check<'_> {
    /// A list or mapping that must not grow past `max`.
    pub(super) fn count(&mut self, path: &FieldPath, count: usize, max: usize) {
        if count > max {
            self.say_of_field(path.clone(), format!("{count} entries, more than the limit of {max}"));
        }
    }

    /// A text that must not grow past `max` bytes, nor hold what no screen shows.
    pub(super) fn text(&mut self, path: &FieldPath, text: &str, max: usize) {
        if text.len() > max {
            self.say_of_field(path.clone(), format!("{} bytes, more than the limit of {max}", text.len()));
        }
        if let Some(control) = text.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
            self.say_of_field(path.clone(), format!("has the control character {control:?}"));
        }
    }

    pub(super) fn description(&mut self, owner: &FieldPath, description: Option<&String>) {
        if let Some(description) = description {
            self.text(&owner.key("description"), description, DESCRIPTION_BYTES_MAX);
        }
    }

    pub(super) fn tags(&mut self, owner: &FieldPath, tags: &BTreeMap<String, String>) {
        let path = owner.key("tags");
        self.count(&path, tags.len(), TAGS_MAX);
        for (key, value) in tags {
            let path = path.key(key);
            if key.is_empty() || key.contains(|c: char| c.is_whitespace() || ",=".contains(c)) {
                self.say_of_field(path.clone(), "a tag key is not empty and has no spaces, `,` or `=`");
            }
            if value.contains(|c: char| c.is_whitespace() || c == ',') {
                let mend = "a tag value has no spaces and no `,`, so that `tag:key=value` can select it";
                self.say_of_field(path.clone(), mend);
            }
            self.text(&path, key, TAG_BYTES_MAX);
            self.text(&path, value, TAG_BYTES_MAX);
        }
    }
}
