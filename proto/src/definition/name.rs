//! Names: one rule for everything that a person names.
//!
//! A name turns up in URLs, broker queue names, environment variables, metric labels, selections and file
//! names, so it is ASCII, starts with a letter or `_`, and goes on with letters, digits and `_ . / -`. `/` and
//! `.` give room for prefixes (`sales/daily.orders`); they are never read as a path, and segments that a URL or
//! a file system would fold away (empty, `.`, `..`) are refused. `+ * , :` and spaces stay free for the
//! selection grammar. A leading `__` is kept for Backstitch itself, and `all` and `none` because a selection of
//! that name would read as something else.

use std::{borrow::Borrow, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, de};
use thiserror::Error;

use super::limits::NAME_CHARS_MAX;

/// The rule as the pattern of the JSON Schema (reserved words are told apart by [`AssetName::new`] and its kin).
const NAME_PATTERN: &str = "^[A-Za-z_][A-Za-z0-9_./-]{0,127}$";
/// Words that no asset, job, pool, queue, calendar or partitions definition may have as its name.
const RESERVED: [&str; 2] = ["all", "none"];

/// Why a text is not a name.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NameError {
    /// Nothing there.
    #[error("{kind} name is empty")]
    Empty {
        /// What was being named.
        kind: &'static str,
    },
    /// Longer than [`NAME_CHARS_MAX`].
    #[error("{kind} name {given:?}... is longer than {NAME_CHARS_MAX} characters")]
    TooLong {
        /// What was being named.
        kind: &'static str,
        /// How it begins.
        given: String,
    },
    /// A character outside the rule.
    #[error(
        "{kind} name {given:?} must start with a letter or `_` and have only letters, digits and `_ . / -` \
         (found {found:?})"
    )]
    Character {
        /// What was being named.
        kind: &'static str,
        /// The whole text.
        given: String,
        /// The first character that breaks the rule.
        found: char,
    },
    /// A segment between `/` that a URL would fold away.
    #[error("{kind} name {given:?} has an empty, `.` or `..` segment between its `/`")]
    Segment {
        /// What was being named.
        kind: &'static str,
        /// The whole text.
        given: String,
    },
    /// Kept for Backstitch.
    #[error("{kind} name {given:?} is reserved")]
    Reserved {
        /// What was being named.
        kind: &'static str,
        /// The whole text.
        given: String,
    },
}

fn check(kind: &'static str, text: &str) -> Result<(), NameError> {
    let given = || text.to_owned();
    let Some(first) = text.chars().next() else {
        return Err(NameError::Empty { kind });
    };
    if text.chars().count() > NAME_CHARS_MAX {
        return Err(NameError::TooLong { kind, given: text.chars().take(32).collect() });
    }
    if !(first.is_ascii_alphabetic() || first == '_') {
        return Err(NameError::Character { kind, given: given(), found: first });
    }
    if let Some(found) = text.chars().find(|c| !(c.is_ascii_alphanumeric() || "_./-".contains(*c))) {
        return Err(NameError::Character { kind, given: given(), found });
    }
    if text.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
        return Err(NameError::Segment { kind, given: given() });
    }
    if text.starts_with("__") || RESERVED.contains(&text) {
        return Err(NameError::Reserved { kind, given: given() });
    }
    Ok(())
}

/// Declares a newtype over a checked name, so that a pool is never passed where an asset is meant.
macro_rules! name_type {
    ($(#[$doc:meta])* $type:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $type(String);

        impl $type {
            /// Checks the rule of this module.
            ///
            /// # Errors
            /// [`NameError`] says which part of the rule the text breaks.
            pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
                let text = text.into();
                check($kind, &text)?;
                Ok(Self(text))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl TryFrom<&str> for $type {
            type Error = NameError;

            fn try_from(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::new(String::deserialize(deserializer)?).map_err(de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "pattern": NAME_PATTERN })
            }
        }
    };
}

name_type!(
    /// The name of an asset.
    AssetName, "asset"
);
name_type!(
    /// The name of a job.
    JobName, "job"
);
name_type!(
    /// The name of a pool.
    PoolName, "pool"
);
name_type!(
    /// The name of a worker queue.
    QueueName, "queue"
);
name_type!(
    /// The name of a partitions definition that assets share.
    PartitionsName, "partitions"
);
name_type!(
    /// The name of a calendar.
    CalendarName, "calendar"
);
name_type!(
    /// The name of a group of assets.
    GroupName, "group"
);

impl QueueName {
    /// The queue of assets that name none: `default`.
    pub fn default_queue() -> Self {
        Self("default".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_prefixes_are_accepted() {
        for name in ["a", "_x", "daily_temp", "sales/daily.orders", "a-b", &"n".repeat(128)] {
            assert!(AssetName::new(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn each_broken_name_says_what_is_wrong_with_it() {
        let said = |text: &str| AssetName::new(text).unwrap_err().to_string();
        assert_eq!(said(""), "asset name is empty");
        assert_eq!(
            said("1st"),
            "asset name \"1st\" must start with a letter or `_` and have only letters, digits and `_ . / -` \
             (found '1')"
        );
        assert!(said("día").ends_with("(found 'í')"));
        assert!(said("a b").ends_with("(found ' ')"));
        assert_eq!(said("a//b"), "asset name \"a//b\" has an empty, `.` or `..` segment between its `/`");
        assert_eq!(said("a/../b"), "asset name \"a/../b\" has an empty, `.` or `..` segment between its `/`");
        assert_eq!(said("__runs"), "asset name \"__runs\" is reserved");
        assert_eq!(PoolName::new("all").unwrap_err().to_string(), "pool name \"all\" is reserved");
        assert!(said(&"n".repeat(129)).ends_with("is longer than 128 characters"));
    }
}
