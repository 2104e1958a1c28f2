//! What can be said about the keys of a definition without knowing the time.
//!
//! Mappings name keys and compare those of two definitions. Which partitions exist is not known where they are
//! written down; but a key that is spelled wrong never names one, and keys of different lengths are never equal.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::compile::Compiled;
use super::definition::PartitionsDefinition;
use super::dynamic::NoDynamicKeys;
use super::error::KeyError;
use super::keys::KEY_SEPARATOR;

/// What the keys of time windows look like.
pub(crate) struct KeyShape {
    /// How many bytes they can have.
    pub(crate) lengths: BTreeSet<usize>,
    /// One of them.
    pub(crate) example: String,
}

impl PartitionsDefinition {
    /// The shape of time keys; `None` of others, and of a definition that is wrong in itself.
    pub(crate) fn key_shape(&self) -> Option<KeyShape> {
        let Ok(Compiled::Time(spec)) = self.compile() else { return None };
        let lengths = spec.format.lengths(spec.sequence.rule.elapsed);
        Some(KeyShape { lengths, example: spec.format.example() })
    }

    /// Why a key never names a partition of this definition, whatever the time and the dynamic keys; `None` if it may.
    /// A definition that is wrong in itself is judged elsewhere.
    pub(crate) fn never_a_key(&self, key: &str) -> Option<KeyError> {
        if let Self::Multi(multi) = self {
            let parts: Vec<&str> = key.split(KEY_SEPARATOR).collect();
            if parts.len() != multi.dimensions.len() {
                let names: Vec<&str> = multi.dimensions.keys().map(String::as_str).collect();
                let (found, expected, dimensions) = (parts.len(), names.len(), names.join(", "));
                return Some(KeyError::Parts { key: key.to_owned(), found, expected, dimensions });
            }
            return multi.dimensions.iter().zip(parts).find_map(|((name, dimension), part)| {
                let (key, problem) = (key.to_owned(), Box::new(dimension.never_a_key(part)?));
                Some(KeyError::Dimension { key, dimension: name.clone(), problem })
            });
        }
        let space = self.resolve(DateTime::<Utc>::UNIX_EPOCH, &NoDynamicKeys).ok()?;
        let problem = space.ordinal(key).err()?;
        let may_come = match &problem {
            KeyError::BeforeStart { .. } | KeyError::AfterEnd { .. } => true,
            KeyError::Unknown { .. } => matches!(self, Self::Dynamic(_)),
            _ => false,
        };
        (!may_come).then_some(problem)
    }
}
