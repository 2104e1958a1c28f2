//! Subsets at rest: bytes pinned to the fingerprint of the space that numbered them.
//!
//! A definition changes under stored state: a key is added in the middle, a start moves, a zone's rules are
//! corrected. Position 17 then means something else, so nothing stored is ever read by position unless the
//! fingerprints agree. If they do not, the subset is carried over by key, from the space that it was
//! stored for to the new one; keys that no longer exist are reported, not dropped in silence.
//!
//! Layout: one version byte, sixteen bytes of fingerprint, the portable roaring serialization.

use super::alike::{alike, within_reach};
use super::{Fingerprint, PartitionSubset, Partitions, SubsetBytesError};

/// The layout that is written; a reader knows all up to this one.
const LAYOUT_VERSION: u8 = 1;
const HEADER_BYTES: usize = 17;

/// A subset and the space that gives it meaning.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredSubset {
    fingerprint: Fingerprint,
    subset: PartitionSubset,
}

/// Why stored bytes cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoredSubsetError {
    /// Fewer bytes than a header.
    #[error("reading a stored partition subset: {bytes} bytes are too few")]
    Truncated {
        /// How many there are.
        bytes: usize,
    },
    /// Written by a newer program.
    #[error(
        "reading a stored partition subset: layout version {version} is not known (this program writes {LAYOUT_VERSION})"
    )]
    UnknownVersion {
        /// The version byte.
        version: u8,
    },
    /// The subset itself is broken.
    #[error("reading a stored partition subset")]
    Subset(#[source] SubsetBytesError),
    /// The subset was numbered by another space.
    #[error(
        "the stored subset belongs to another definition (fingerprint {stored}, expected {expected}); carry it over by key"
    )]
    OtherSpace {
        /// The fingerprint in the bytes.
        stored: Fingerprint,
        /// The fingerprint of the space at hand.
        expected: Fingerprint,
    },
}

/// A subset in the numbering of a new definition.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CarriedOver {
    /// What exists in the new space.
    pub subset: PartitionSubset,
    /// Old ordinals whose keys the new space does not have.
    pub lost: PartitionSubset,
}

impl StoredSubset {
    /// Pins a subset to its space.
    pub fn new(partitions: &Partitions, subset: PartitionSubset) -> Self {
        Self { fingerprint: partitions.fingerprint(), subset }
    }

    /// The space's fingerprint.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The bytes to store.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![LAYOUT_VERSION];
        bytes.extend(self.fingerprint.to_bytes());
        bytes.extend(self.subset.to_bytes());
        bytes
    }

    /// Reads stored bytes, which may be anyone's.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StoredSubsetError> {
        let truncated = StoredSubsetError::Truncated { bytes: bytes.len() };
        let Some((header, rest)) = bytes.split_at_checked(HEADER_BYTES) else { return Err(truncated) };
        let Some((&version, fingerprint)) = header.split_first() else { return Err(truncated) };
        if version != LAYOUT_VERSION {
            return Err(StoredSubsetError::UnknownVersion { version });
        }
        let Ok(fingerprint) = fingerprint.try_into().map(Fingerprint::from_bytes) else {
            return Err(truncated);
        };
        let subset = PartitionSubset::from_bytes(rest).map_err(StoredSubsetError::Subset)?;
        Ok(Self { fingerprint, subset })
    }

    /// The subset, if it was numbered by this space (or an earlier, shorter state of it).
    pub fn into_subset(self, partitions: &Partitions) -> Result<PartitionSubset, StoredSubsetError> {
        let expected = partitions.fingerprint();
        if self.fingerprint == expected {
            Ok(self.subset)
        } else {
            Err(StoredSubsetError::OtherSpace { stored: self.fingerprint, expected })
        }
    }
}

impl Partitions {
    /// Carries a subset of this space over to the space of a changed definition, by key.
    pub fn carry_over(&self, subset: &PartitionSubset, new: &Partitions) -> CarriedOver {
        if self.fingerprint() == new.fingerprint() {
            let subset_now = subset.intersection(&new.all());
            let lost = subset.difference(&subset_now);
            return CarriedOver { subset: subset_now, lost };
        }
        let (found, lost) = match (self.windows(), new.windows()) {
            (Some(old), Some(windows)) => match windows.shift_from(old) {
                Some(delta) => return carry_by_shift(subset, delta, new.len()),
                None => self.same_keys(new, subset),
            },
            _ => self.same_keys(new, subset),
        };
        CarriedOver { subset: found, lost }
    }

    /// Ordinals in another space of the keys that a subset of this one has, and what has none there.
    pub(crate) fn same_keys(
        &self,
        other: &Self,
        subset: &PartitionSubset,
    ) -> (PartitionSubset, PartitionSubset) {
        let (mut found, mut without) = (PartitionSubset::new(), PartitionSubset::new());
        let mut rest = subset.clone();
        if let (Some(own), Some(others)) = (self.windows(), other.windows()) {
            rest &= &PartitionSubset::from_range(within_reach(own, others));
            without = subset.difference(&rest);
            for run in alike(own, others) {
                let here = rest.intersection(&PartitionSubset::from_range(run.ordinals));
                let there = here.shifted(run.delta, other.len());
                without |= &here.difference(&there.shifted(-run.delta, self.len()));
                found |= &there;
                rest -= &here;
            }
        }
        for ordinal in rest.iter() {
            match self.key(ordinal).and_then(|key| other.find(&key)) {
                Some(counterpart) => found.insert(counterpart),
                None => without.insert(ordinal),
            };
        }
        (found, without)
    }
}

/// The same windows under the same keys, numbered from another start: no key need be looked at.
fn carry_by_shift(subset: &PartitionSubset, delta: i64, len: u32) -> CarriedOver {
    let carried = subset.shifted(delta, len);
    let lost = subset.difference(&carried.shifted(-delta, u32::MAX));
    CarriedOver { subset: carried, lost }
}
