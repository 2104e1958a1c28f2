//! A set of partitions of one space, as a compressed bitmap of ordinals.
//!
//! Everything the engine does with partitions is set algebra on these. A contiguous million costs a
//! few bytes, a fragmented million a few hundred kilobytes, and every operation works on whole
//! containers, never on keys. A subset knows nothing about the space it belongs to: that pairing is
//! the caller's (in memory) or the [`Fingerprint`](super::Fingerprint)'s (at rest).

use std::fmt;
use std::ops::{BitAndAssign, BitOrAssign, Range, RangeInclusive, SubAssign};

use roaring::RoaringBitmap;

use super::Partitions;

/// Largest serialized subset that [`PartitionSubset::from_bytes`] reads and the largest that
/// [`PartitionSubset::to_bytes`] can write: every second one of all 2^32 ordinals, in 65,536 containers of 8 KiB with
/// 8 bytes of header each. 10 million fully fragmented partitions need 1.3 MB. What is larger than this was not
/// written by us.
pub const SUBSET_BYTES_MAX: usize = 8 + 65_536 * (8 + 8_192);

/// A set of partition ordinals.
#[derive(Clone, Default, PartialEq)]
pub struct PartitionSubset {
    bits: RoaringBitmap,
}

/// Why stored bytes are not a subset.
#[derive(Debug, thiserror::Error)]
pub enum SubsetBytesError {
    /// More bytes than any subset of ours has.
    #[error("reading a partition subset: {bytes} bytes is over the limit of {SUBSET_BYTES_MAX}")]
    TooLarge {
        /// The length that was offered.
        bytes: usize,
    },
    /// The bytes do not have the portable roaring format.
    #[error("reading a partition subset: the bytes are not a roaring bitmap")]
    Malformed(#[source] std::io::Error),
    /// A valid bitmap with something behind it.
    #[error("reading a partition subset: {bytes} bytes follow the bitmap")]
    TrailingBytes {
        /// How many.
        bytes: usize,
    },
}

/// One page of a subset: see [`PartitionSubset::page`].
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// At most `limit` ordinals, ascending.
    pub ordinals: Vec<u32>,
    /// Pass this to get the next page; `None` when this was the last.
    pub next_cursor: Option<u32>,
}

impl PartitionSubset {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// The empty set, where that reads better.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Every ordinal of a half-open range.
    pub fn from_range(range: Range<u32>) -> Self {
        let mut subset = Self::default();
        subset.insert_range(range);
        subset
    }

    /// Any ordinals, in any order, repeated or not.
    pub fn from_ordinals(ordinals: impl IntoIterator<Item = u32>) -> Self {
        Self { bits: ordinals.into_iter().collect() }
    }

    /// What is in either.
    pub fn union(&self, other: &Self) -> Self {
        Self { bits: &self.bits | &other.bits }
    }

    /// What is in both.
    pub fn intersection(&self, other: &Self) -> Self {
        Self { bits: &self.bits & &other.bits }
    }

    /// What is in this one and not in the other.
    pub fn difference(&self, other: &Self) -> Self {
        Self { bits: &self.bits - &other.bits }
    }

    /// What exists in the space and is not in this set.
    pub fn complement(&self, partitions: &Partitions) -> Self {
        partitions.all().difference(self)
    }

    /// How many ordinals.
    pub fn len(&self) -> u64 {
        self.bits.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bits.is_empty()
    }

    /// Whether this ordinal is in the set.
    pub fn contains(&self, ordinal: u32) -> bool {
        self.bits.contains(ordinal)
    }

    /// Whether every ordinal of the other set is in this one.
    pub fn contains_all(&self, other: &Self) -> bool {
        other.bits.is_subset(&self.bits)
    }

    /// Whether the two have an ordinal in common.
    pub fn intersects(&self, other: &Self) -> bool {
        !self.bits.is_disjoint(&other.bits)
    }

    /// Adds an ordinal; true if it was not there.
    pub fn insert(&mut self, ordinal: u32) -> bool {
        self.bits.insert(ordinal)
    }

    /// Adds a half-open range.
    pub fn insert_range(&mut self, range: Range<u32>) {
        self.bits.insert_range(range);
    }

    /// Takes an ordinal out; true if it was there.
    pub fn remove(&mut self, ordinal: u32) -> bool {
        self.bits.remove(ordinal)
    }

    /// The ordinals, ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = u32> + '_ {
        self.bits.iter()
    }

    /// The ordinals that lie in a half-open range, ascending.
    pub fn iter_range(&self, range: Range<u32>) -> impl Iterator<Item = u32> + '_ {
        self.bits.range(range)
    }

    /// The maximal runs of consecutive ordinals, ascending.
    pub fn ranges(&self) -> impl Iterator<Item = RangeInclusive<u32>> + '_ {
        self.ranges_from(0)
    }

    /// The same for the ordinals from one on.
    pub(crate) fn ranges_from(&self, first: u32) -> impl Iterator<Item = RangeInclusive<u32>> + '_ {
        let mut iter = self.bits.range(first..);
        let mut pending: Option<RangeInclusive<u32>> = None;
        // The bitmap's own runs stop at container borders (every 65,536); join them again.
        std::iter::from_fn(move || {
            loop {
                match (pending.take(), iter.next_range()) {
                    (None, None) => return None,
                    (None, Some(run)) => pending = Some(run),
                    (Some(open), None) => return Some(open),
                    (Some(open), Some(run)) if open.end() + 1 == *run.start() => {
                        pending = Some(*open.start()..=*run.end());
                    }
                    (Some(open), Some(run)) => {
                        pending = Some(run);
                        return Some(open);
                    }
                }
            }
        })
    }

    /// The lowest ordinal.
    pub fn first(&self) -> Option<u32> {
        self.bits.min()
    }

    /// The highest ordinal.
    pub fn last(&self) -> Option<u32> {
        self.bits.max()
    }

    /// The ordinal at a position, counted from 0.
    pub fn nth(&self, position: u32) -> Option<u32> {
        self.bits.select(position)
    }

    /// How many ordinals of the set are smaller than this one.
    pub fn rank(&self, ordinal: u32) -> u64 {
        ordinal.checked_sub(1).map_or(0, |below| self.bits.rank(below))
    }

    /// How many ordinals of the set lie in a half-open range.
    pub fn count_in(&self, range: Range<u32>) -> u64 {
        self.bits.range_cardinality(range)
    }

    /// Removes the lowest `n` ordinals and returns them.
    pub fn take_first(&mut self, n: u64) -> Self {
        // By ranges, and without a copy: the cost follows what is taken, not what is there.
        let mut taken = Self::default();
        let mut left = n;
        let mut end = None;
        for range in self.ranges() {
            let Some(more) = left.min(u64::from(range.end() - range.start()) + 1).checked_sub(1) else {
                break;
            };
            // A range is no longer than the numbers that count it.
            let last = range.start() + more as u32;
            taken.bits.insert_range(*range.start()..=last);
            left -= more + 1;
            end = Some(last);
        }
        if let Some(end) = end {
            self.bits.remove_range(..=end);
        }
        taken
    }

    /// The `n` highest ordinals.
    pub fn last_n(&self, n: u64) -> Self {
        let mut bits = self.bits.clone();
        bits.remove_smallest(self.len().saturating_sub(n));
        Self { bits }
    }

    /// Every ordinal moved by `delta`; what leaves `0..len` falls out.
    pub(crate) fn shifted(&self, delta: i64, len: u32) -> Self {
        if delta == 0 {
            return self.intersection(&Self::from_range(0..len));
        }
        // Clamped to 0..=len, a u32.
        let clamp = |ordinal: i64| ordinal.clamp(0, i64::from(len)) as u32;
        let mut moved = Self::new();
        for range in self.ranges() {
            let (from, to) = (i64::from(*range.start()) + delta, i64::from(*range.end()) + 1 + delta);
            moved.insert_range(clamp(from)..clamp(to));
        }
        moved
    }

    /// Up to `limit` ordinals, from `cursor` on (from the start without one).
    pub fn page(&self, cursor: Option<u32>, limit: usize) -> Page {
        let mut rest = self.bits.range(cursor.unwrap_or(0)..);
        let ordinals: Vec<u32> = rest.by_ref().take(limit).collect();
        Page { ordinals, next_cursor: rest.next() }
    }

    /// The portable roaring serialization, the same on every machine and in every language.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut compact = self.bits.clone();
        compact.optimize();
        let mut bytes = Vec::with_capacity(compact.serialized_size());
        // Writing into a Vec cannot fail: its Write implementation has no error path.
        compact.serialize_into(&mut bytes).expect("a Vec takes every byte");
        bytes
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote. Checks everything: the bytes may be anyone's.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SubsetBytesError> {
        if bytes.len() > SUBSET_BYTES_MAX {
            return Err(SubsetBytesError::TooLarge { bytes: bytes.len() });
        }
        let mut rest = bytes;
        let bits = RoaringBitmap::deserialize_from(&mut rest).map_err(SubsetBytesError::Malformed)?;
        if !rest.is_empty() {
            return Err(SubsetBytesError::TrailingBytes { bytes: rest.len() });
        }
        Ok(Self { bits })
    }
}

impl FromIterator<u32> for PartitionSubset {
    fn from_iter<I: IntoIterator<Item = u32>>(ordinals: I) -> Self {
        Self::from_ordinals(ordinals)
    }
}

impl BitOrAssign<&PartitionSubset> for PartitionSubset {
    fn bitor_assign(&mut self, other: &PartitionSubset) {
        self.bits |= &other.bits;
    }
}

impl BitAndAssign<&PartitionSubset> for PartitionSubset {
    fn bitand_assign(&mut self, other: &PartitionSubset) {
        self.bits &= &other.bits;
    }
}

impl SubAssign<&PartitionSubset> for PartitionSubset {
    fn sub_assign(&mut self, other: &PartitionSubset) {
        self.bits -= &other.bits;
    }
}

impl fmt::Debug for PartitionSubset {
    /// Ranges, not ordinals: a failing test over a million partitions stays readable.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 16;
        let mut list = f.debug_set();
        list.entries(self.ranges().take(SHOWN));
        if self.ranges().nth(SHOWN).is_some() {
            list.entry(&format_args!("... {} in all", self.len()));
        }
        list.finish()
    }
}
