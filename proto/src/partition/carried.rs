//! Carrying cells over from one product to another, line by line.
//!
//! A line is a run of cells that differ in the innermost dimension only. Where that dimension is numbered alike in
//! both products, or shifted by some ticks, a piece of a line moves as a whole, and the keys of the other dimensions
//! are looked up once for each of their values. So a day that is added to `customer x date` costs a step for each
//! customer, not one for each cell.

use super::product::Product;
use super::stored::CarriedOver;
use super::{PartitionSubset, Partitions};

impl Product {
    /// The cells of `subset` in `new`. `None`: sparse, of other dimensions, or with an innermost dimension of another
    /// kind; keys decide then.
    pub(super) fn carry_lines(&self, new: &Self, subset: &PartitionSubset) -> Option<CarriedOver> {
        let ((inner, outer), (new_inner, new_outer)) =
            (self.dimensions.split_last()?, new.dimensions.split_last()?);
        let same_names = self.dimensions.iter().map(|d| &d.name).eq(new.dimensions.iter().map(|d| &d.name));
        if self.existing.is_some() || new.existing.is_some() || !same_names {
            return None;
        }
        let shift = shift(&inner.partitions, &new_inner.partitions)?;
        // Where each value of the outer dimensions begins in the new product.
        let offsets: Vec<Vec<Option<u32>>> = outer
            .iter()
            .zip(new_outer)
            .map(|(old, new)| values(&old.partitions, &new.partitions, new.stride))
            .collect();
        let (len, new_len) = (inner.partitions.len(), i64::from(new_inner.partitions.len()));
        let mut carried = CarriedOver::default();
        for range in subset.ranges() {
            let (mut from, to) = (*range.start(), *range.end());
            while from <= to {
                let last = to.min(from - from % len + (len - 1));
                let mut starts = offsets.iter().zip(outer).map(|(offsets, dimension)| {
                    offsets[(from / dimension.stride % dimension.partitions.len()) as usize]
                });
                let line = starts.try_fold(0, |sum, start| Some(sum + start?));
                let (first, end) = (i64::from(from % len) + shift, i64::from(last % len) + shift + 1);
                // What lies within the new line; nothing, if there is no such line.
                let (kept, kept_end) = match line {
                    Some(_) => {
                        let kept = first.max(0).min(end);
                        (kept, end.min(new_len).max(kept))
                    }
                    None => (first, first),
                };
                let line = line.unwrap_or(0);
                // Both are within the new line, which is within the new product.
                carried.subset.insert_range(line + kept.max(0) as u32..line + kept_end.max(0) as u32);
                let old = |inner: i64| (i64::from(from) + inner - first) as u32;
                carried.lost.insert_range(from..old(kept));
                carried.lost.insert_range(old(kept_end)..last + 1);
                let Some(next) = last.checked_add(1) else { return Some(carried) };
                from = next;
            }
        }
        Some(carried)
    }
}

/// By how much the numbers of the same keys differ, if it is the same for all of them.
fn shift(old: &Partitions, new: &Partitions) -> Option<i64> {
    if old.fingerprint() == new.fingerprint() {
        return Some(0);
    }
    new.windows()?.shift_from(old.windows()?)
}

/// For each value of a dimension, its share of the new number.
fn values(old: &Partitions, new: &Partitions, stride: u32) -> Vec<Option<u32>> {
    let len = i64::from(new.len());
    let shift = shift(old, new);
    let value = |ordinal: u32| match shift {
        Some(shift) => {
            let moved = i64::from(ordinal) + shift;
            // Within 32 bits, because it is within the new dimension.
            (0..len).contains(&moved).then_some(moved as u32)
        }
        None => old.key(ordinal).and_then(|key| new.find(&key)),
    };
    (0..old.len()).map(|ordinal| value(ordinal).map(|value| value * stride)).collect()
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};

    use super::*;
    use crate::partition::{NoDynamicKeys, PartitionsDefinition};

    fn space(customers: &str, start: &str, now: &str) -> Partitions {
        let yaml = format!(
            "{{kind: multi, dimensions: {{customer: {{kind: static, keys: [{customers}]}}, \
             date: {{kind: daily, start: {start}}}}}}}"
        );
        let definition: PartitionsDefinition = serde_saphyr::from_str(&yaml).expect("a definition");
        let now: DateTime<Utc> = now.parse().expect("an instant");
        definition.resolve(now, &NoDynamicKeys).expect("a space")
    }

    #[test]
    fn lines_carry_over_what_keys_do() {
        let old = space("a, b, c, d", "2024-01-10", "2024-01-20T00:00:00Z");
        let everything = old.all();
        let scattered = PartitionSubset::from_ordinals((0..old.len()).filter(|ordinal| ordinal % 7 % 3 != 1));
        for new in [
            space("a, b, c, d", "2024-01-10", "2024-01-25T00:00:00Z"),
            space("a, b, c, d", "2024-01-05", "2024-01-20T00:00:00Z"),
            space("a, b, c, d", "2024-01-13", "2024-01-18T00:00:00Z"),
            space("x, d, b, y, a", "2024-01-12", "2024-01-22T00:00:00Z"),
            space("x, y", "2024-01-10", "2024-01-20T00:00:00Z"),
            space("a, b, c, d", "2024-03-01", "2024-04-01T00:00:00Z"),
        ] {
            for subset in [&everything, &scattered, &PartitionSubset::new()] {
                let (subset_by_key, lost_by_key) = old.same_keys(&new, subset);
                let carried = old.carry_over(subset, &new);
                assert_eq!((carried.subset, carried.lost), (subset_by_key, lost_by_key));
            }
        }
    }

    #[test]
    fn another_day_of_ten_million_cells_is_no_work_per_cell() {
        let customers = (0..10_000).map(|number| format!("c{number}")).collect::<Vec<_>>().join(", ");
        let old = space(&customers, "2020-01-01", "2022-09-27T00:00:00Z");
        let new = space(&customers, "2020-01-01", "2022-09-28T00:00:00Z");
        assert_eq!((old.len(), new.len()), (10_000_000, 10_010_000));
        let carried = old.carry_over(&old.all(), &new);
        assert_eq!((carried.subset.len(), carried.lost.len()), (10_000_000, 0));
        assert_eq!(new.key(carried.subset.last().expect("a cell")), old.key(old.len() - 1));
    }
}
