//! Sets of ordinals.

use backstitch_proto::partition::{PartitionSubset, SUBSET_BYTES_MAX, SubsetBytesError};
use proptest::collection::btree_set;
use proptest::prelude::*;

fn ordinals() -> impl Strategy<Value = PartitionSubset> {
    let scattered = btree_set(0u32..300_000, 0..200).prop_map(PartitionSubset::from_ordinals);
    let ranges = proptest::collection::vec((0u32..300_000, 0u32..70_000), 0..6).prop_map(|ranges| {
        let mut subset = PartitionSubset::new();
        ranges.into_iter().for_each(|(from, len)| subset.insert_range(from..from + len));
        subset
    });
    (scattered, ranges).prop_map(|(a, b)| a.union(&b))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn subsets_obey_the_laws_of_sets(a in ordinals(), b in ordinals(), c in ordinals()) {
        prop_assert_eq!(a.union(&b), b.union(&a));
        prop_assert_eq!(a.intersection(&b.union(&c)), a.intersection(&b).union(&a.intersection(&c)));
        prop_assert_eq!(a.difference(&b.union(&c)), a.difference(&b).intersection(&a.difference(&c)));
        prop_assert_eq!(&a.union(&a.intersection(&b)), &a);
        prop_assert_eq!(a.len() + b.len(), a.union(&b).len() + a.intersection(&b).len());
        prop_assert!(a.contains_all(&a.intersection(&b)));
        prop_assert_eq!(a.intersects(&b), !a.intersection(&b).is_empty());
        let mut in_place = a.clone();
        in_place |= &b;
        in_place -= &c;
        in_place &= &b;
        prop_assert_eq!(in_place, a.union(&b).difference(&c).intersection(&b));
    }

    #[test]
    fn ranges_are_maximal_ascending_and_complete(a in ordinals()) {
        let mut rebuilt = PartitionSubset::new();
        let mut last_end = None;
        for range in a.ranges() {
            prop_assert!(last_end.is_none_or(|end: u32| end + 1 < *range.start()));
            last_end = Some(*range.end());
            rebuilt.insert_range(*range.start()..range.end() + 1);
        }
        prop_assert_eq!(rebuilt, a);
    }

    #[test]
    fn positions_and_ranks_are_inverse(a in ordinals(), position in 0u32..100_000) {
        match a.nth(position) {
            Some(ordinal) => {
                prop_assert_eq!(a.rank(ordinal), u64::from(position));
                prop_assert!(a.contains(ordinal));
            }
            None => prop_assert!(a.len() <= u64::from(position)),
        }
    }

    #[test]
    fn pages_put_together_are_the_subset(a in ordinals(), limit in 1usize..5_000) {
        let (mut all, mut cursor) = (Vec::new(), None);
        loop {
            let page = a.page(cursor, limit);
            prop_assert!(page.ordinals.len() <= limit);
            all.extend(page.ordinals);
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        prop_assert_eq!(&PartitionSubset::from_ordinals(all.iter().copied()), &a);
        prop_assert_eq!(all.len() as u64, a.len());
    }

    #[test]
    fn take_first_splits_without_loss(a in ordinals(), n in 0u64..100_000) {
        let mut rest = a.clone();
        let taken = rest.take_first(n);
        prop_assert_eq!(taken.len(), n.min(a.len()));
        prop_assert!(taken.last().zip(rest.first()).is_none_or(|(last, first)| last < first));
        prop_assert_eq!(&taken.union(&rest), &a);
        prop_assert_eq!(a.last_n(n).len(), n.min(a.len()));
        prop_assert_eq!(a.last_n(n).last(), if n == 0 { None } else { a.last() });
    }

    #[test]
    fn bytes_read_back(a in ordinals()) {
        prop_assert_eq!(PartitionSubset::from_bytes(&a.to_bytes()).expect("our own bytes"), a);
    }

    #[test]
    fn foreign_bytes_are_refused_or_a_subset(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(subset) = PartitionSubset::from_bytes(&bytes) {
            prop_assert_eq!(PartitionSubset::from_bytes(&subset.to_bytes()).expect("our own bytes"), subset);
        }
    }
}

#[test]
fn bytes_behind_the_bitmap_are_refused() {
    let mut bytes = PartitionSubset::from_range(0..10).to_bytes();
    bytes.push(0);
    assert!(matches!(PartitionSubset::from_bytes(&bytes), Err(SubsetBytesError::TrailingBytes { bytes: 1 })));
    let huge = vec![0; SUBSET_BYTES_MAX + 1];
    assert!(matches!(PartitionSubset::from_bytes(&huge), Err(SubsetBytesError::TooLarge { .. })));
}

#[test]
fn the_largest_bytes_that_are_written_are_read() {
    // Every second ordinal of so many containers that the bytes are over 64 MiB, in the portable format: a cookie,
    // the number of containers, a key and a count less one for each, where each begins, and the bitmaps.
    let containers = 8_200u32;
    let mut bytes = [12_346, containers].map(u32::to_le_bytes).concat();
    (0..containers).for_each(|key| bytes.extend([key as u16, 32_767].map(u16::to_le_bytes).concat()));
    (0..containers).for_each(|at| bytes.extend((8 + containers * 8 + at * 8_192).to_le_bytes()));
    bytes.resize(bytes.len() + 8_192 * containers as usize, 0b0101_0101);
    let subset = PartitionSubset::from_bytes(&bytes).expect("a bitmap");
    assert_eq!((subset.len(), subset.nth(1)), (u64::from(containers) * 32_768, Some(2)));
    assert!(subset.to_bytes() == bytes);
    // All ordinals need 65,536 containers.
    assert_eq!(SUBSET_BYTES_MAX, 8 + (bytes.len() - 8) / containers as usize * 65_536);
}

#[test]
fn ten_million_in_a_row_are_a_few_bytes() {
    assert!(PartitionSubset::from_range(0..10_000_000).to_bytes().len() < 3_000);
}
