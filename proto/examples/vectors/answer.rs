//! Lists of keys as the vectors write them: whole, or as a count, both ends and a digest.

use serde::Deserialize;
use sha2::{Digest, Sha256};

/// How many keys stand at either end of a shortened list.
const ENDS: usize = 3;

/// An expected list of keys.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyAnswer {
    count: usize,
    keys: Option<Vec<String>>,
    first: Option<Vec<String>>,
    last: Option<Vec<String>>,
    sha256: Option<String>,
}

impl KeyAnswer {
    /// The keys, if they are all given.
    pub(crate) fn whole(&self) -> Option<&[String]> {
        self.keys.as_deref()
    }

    /// Compares with what we answer.
    pub(crate) fn matches(&self, actual: &[String]) -> bool {
        self.count == actual.len()
            && self.keys.as_ref().is_none_or(|keys| keys == actual)
            && self.first.as_ref().is_none_or(|first| first[..] == actual[..ENDS.min(actual.len())])
            && self.last.as_ref().is_none_or(|last| last[..] == actual[actual.len().saturating_sub(ENDS)..])
            && self.sha256.as_ref().is_none_or(|digest| *digest == sha256(actual))
    }
}

/// A list as a failure shows it.
pub(crate) fn shown(keys: &[String]) -> String {
    const WHOLE: usize = 40;
    if keys.len() <= WHOLE {
        return format!("{} keys {keys:?}", keys.len());
    }
    format!("{} keys {:?} ... {:?}", keys.len(), &keys[..ENDS], &keys[keys.len() - ENDS..])
}

fn sha256(keys: &[String]) -> String {
    Sha256::digest(keys.join("\n")).iter().map(|byte| format!("{byte:02x}")).collect()
}
