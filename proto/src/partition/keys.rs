//! Partition keys as people name them: what a key may be, and ordered lists of keys with an index.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// Longest key of a static or dynamic definition, in bytes. Keys travel in messages, environment variables and index
/// rows.
pub const KEY_BYTES_MAX: usize = 255;

/// Longest key of a multi definition, in bytes: its parts and what joins them. PostgreSQL refuses index rows over
/// 2,700 bytes, and a ledger row has other columns in its index.
pub const MULTI_KEY_BYTES_MAX: usize = 1_024;

/// What separates the parts of a multi partition key.
pub const KEY_SEPARATOR: char = '|';

/// What separates the ends of a range, in text that people write.
pub const RANGE_SEPARATOR: &str = "...";

/// Keys in their order, found by position or by name.
#[derive(Clone, Default)]
pub struct KeyList {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    keys: Vec<Arc<str>>,
    positions: HashMap<Arc<str>, u32>,
    /// Bytes of the longest key.
    longest: usize,
    /// Position of the first key that is none. Looked for once: lists are read once and resolved often.
    unusable: Option<u32>,
    /// Position of the first key that cannot be a part of a multi key.
    unusable_in_dimension: Option<u32>,
}

/// Why a text cannot be a partition key.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum InvalidKey {
    /// `""`.
    #[error("a partition key must not be empty")]
    Empty,
    /// Over the length limit.
    #[error("partition key {start:?}... has {bytes} bytes; the limit is {KEY_BYTES_MAX}")]
    TooLong {
        /// Its beginning.
        start: String,
        /// Its length.
        bytes: usize,
    },
    /// A control character or a range separator.
    #[error("partition key {key:?} contains {what}, which no partition key may contain")]
    Forbidden {
        /// The key.
        key: String,
        /// What is wrong in it.
        what: String,
    },
    /// A separator inside a key of a dimension.
    #[error("partition key {key:?} contains '|', which separates the dimensions of a multi partition key")]
    Separator {
        /// The key.
        key: String,
    },
    /// Blank space at an end, which no one sees in a list.
    #[error("partition key {key:?} begins or ends with a space")]
    Padded {
        /// The key.
        key: String,
    },
}

/// What in a text keeps it from being (part of) a key.
pub(crate) fn forbidden_in_key(text: &str) -> Option<String> {
    if text.contains(RANGE_SEPARATOR) {
        return Some("\"...\" (it separates the ends of a range)".to_owned());
    }
    let control = text.chars().find(|c| c.is_control())?;
    Some(format!("the control character {control:?}"))
}

/// Checks a key of a static or dynamic definition.
pub fn check_key(key: &str) -> Result<(), InvalidKey> {
    if key.is_empty() {
        return Err(InvalidKey::Empty);
    }
    if key.len() > KEY_BYTES_MAX {
        let start = key.chars().take(32).collect();
        return Err(InvalidKey::TooLong { start, bytes: key.len() });
    }
    if let Some(what) = forbidden_in_key(key) {
        return Err(InvalidKey::Forbidden { key: key.to_owned(), what });
    }
    if key.trim() != key {
        return Err(InvalidKey::Padded { key: key.to_owned() });
    }
    Ok(())
}

/// Checks a key of a dimension of a multi definition.
pub fn check_dimension_key(key: &str) -> Result<(), InvalidKey> {
    check_key(key)?;
    if key.contains(KEY_SEPARATOR) {
        return Err(InvalidKey::Separator { key: key.to_owned() });
    }
    Ok(())
}

impl KeyList {
    /// The keys in this order. A key that repeats keeps its first position; `validate` reports it.
    pub fn new<K: Into<Arc<str>>>(keys: impl IntoIterator<Item = K>) -> Self {
        let keys: Vec<Arc<str>> = keys.into_iter().map(Into::into).collect();
        let mut positions = HashMap::with_capacity(keys.len());
        for (position, key) in (0u32..).zip(&keys) {
            positions.entry(Arc::clone(key)).or_insert(position);
        }
        let longest = keys.iter().map(|key| key.len()).max().unwrap_or(0);
        let mut numbered = (0u32..).zip(&keys);
        let unusable_in_dimension = numbered.find(|(_, key)| check_dimension_key(key).is_err());
        // What cannot be a key cannot be a part of one either.
        let unusable =
            unusable_in_dimension.into_iter().chain(numbered).find(|(_, key)| check_key(key).is_err());
        let (unusable, unusable_in_dimension) =
            (unusable.map(|(at, _)| at), unusable_in_dimension.map(|(at, _)| at));
        Self { inner: Arc::new(Inner { keys, positions, longest, unusable, unusable_in_dimension }) }
    }

    /// How many keys.
    pub fn len(&self) -> usize {
        self.inner.keys.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.inner.keys.is_empty()
    }

    /// The key at a position.
    pub fn get(&self, position: u32) -> Option<&str> {
        self.inner.keys.get(position as usize).map(AsRef::as_ref)
    }

    /// The position of a key.
    pub fn position(&self, key: &str) -> Option<u32> {
        self.inner.positions.get(key).copied()
    }

    /// Bytes of the longest key.
    pub(crate) fn longest(&self) -> usize {
        self.inner.longest
    }

    /// What is wrong with the first key that is none.
    pub(crate) fn unusable(&self) -> Option<InvalidKey> {
        check_key(self.get(self.inner.unusable?)?).err()
    }

    /// What is wrong with the first key that cannot be a part of a multi key.
    pub(crate) fn unusable_in_dimension(&self) -> Option<InvalidKey> {
        check_dimension_key(self.get(self.inner.unusable_in_dimension?)?).err()
    }

    /// The keys in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.inner.keys.iter().map(AsRef::as_ref)
    }

    /// Keys that stand in the list more than once.
    pub(crate) fn duplicates(&self) -> impl Iterator<Item = &str> {
        (0u32..).zip(self.iter()).filter(|(at, key)| self.position(key) != Some(*at)).map(|(_, key)| key)
    }

    /// The key most like this one, if one is close enough to be meant.
    pub(crate) fn nearest(&self, key: &str) -> Option<&str> {
        // Comparing with more than this many keys takes longer than the suggestion is worth.
        const COMPARED: usize = 10_000;
        let near = self.iter().take(COMPARED).map(|known| (strsim::damerau_levenshtein(known, key), known));
        near.min_by_key(|(distance, _)| *distance).filter(|(d, _)| *d <= key.len().max(3) / 3).map(|(_, k)| k)
    }
}

impl fmt::Debug for KeyList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl PartialEq for KeyList {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner) || self.inner.keys == other.inner.keys
    }
}
