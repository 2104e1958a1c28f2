//! Where the keys of dynamic definitions come from.

use std::collections::BTreeMap;

use super::keys::KeyList;

/// The sets of dynamic keys, as they are at one instant. Storage implements this; so does a plain map.
///
/// The keys of a set are in the order in which they were added. Check each with
/// [`check_dimension_key`](super::check_dimension_key) before it is added: a set may become a dimension.
pub trait DynamicKeys {
    /// The keys of a set, or `None` when nobody made such a set.
    fn keys(&self, name: &str) -> Option<KeyList>;
}

/// Every set is empty: what is used until keys are stored.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoDynamicKeys;

impl DynamicKeys for NoDynamicKeys {
    fn keys(&self, _name: &str) -> Option<KeyList> {
        Some(KeyList::default())
    }
}

impl DynamicKeys for BTreeMap<String, KeyList> {
    fn keys(&self, name: &str) -> Option<KeyList> {
        self.get(name).cloned()
    }
}
