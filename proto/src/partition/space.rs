//! The partitions that exist at one instant, as an ordered space of ordinals.

use chrono::{DateTime, Utc};

use super::cells::restrict;
use super::compile::{Compiled, check_key_lengths};
use super::definition::PartitionsDefinition;
use super::dynamic::DynamicKeys;
use super::error::{DefinitionError, DefinitionProblem, KeyError};
use super::keys::{KEY_SEPARATOR, KeyList};
use super::product::Product;
use super::windows::Windows;
use super::{PARTITIONS_MAX, PartitionSubset, TimeWindow};

/// The partitions of one definition that exist at one instant: ordinals `0..len` in a fixed order.
///
/// Cheap to clone. An unpartitioned asset is a space of exactly one ordinal, 0, whose key is `""`.
/// As time goes on windows are added at the end, so ordinals of a time-window space keep their meaning;
/// whether those of two spaces agree is what [`Partitions::fingerprint`] tells.
#[derive(Clone, Debug)]
pub struct Partitions {
    pub(crate) space: Space,
}

#[derive(Clone, Debug)]
pub(crate) enum Space {
    One,
    Keys(KeyList),
    Windows(Windows),
    Product(Product),
}

impl PartitionsDefinition {
    /// The partitions that exist at `now`. Costs microseconds, whatever their number: nothing is listed.
    /// Call [`validate`](Self::validate) first; of several errors this reports one.
    pub fn resolve(
        &self,
        now: DateTime<Utc>,
        dynamic: &dyn DynamicKeys,
    ) -> Result<Partitions, DefinitionError> {
        let compiled = self.compile().map_err(first_of)?;
        Ok(Partitions { space: resolve(&compiled, now, dynamic)? })
    }
}

fn first_of(errors: Vec<DefinitionError>) -> DefinitionError {
    let none = || DefinitionError::new("", DefinitionProblem::NoKeys);
    errors.into_iter().next().unwrap_or_else(none)
}

pub(crate) fn resolve(
    compiled: &Compiled,
    now: DateTime<Utc>,
    dynamic: &dyn DynamicKeys,
) -> Result<Space, DefinitionError> {
    let too_many = |count| {
        DefinitionError::new("", DefinitionProblem::TooManyPartitions { count, limit: PARTITIONS_MAX })
    };
    match compiled {
        Compiled::Unpartitioned => Ok(Space::One),
        Compiled::Static(keys) => Ok(Space::Keys(keys.clone())),
        Compiled::Time(spec) => Ok(Space::Windows(Windows::at(spec, now)?)),
        Compiled::Dynamic(name) => match dynamic.keys(name) {
            // They come from elsewhere. Such a key could not be selected, and a range of it not be read.
            Some(keys) => match keys.unusable() {
                Some(invalid) => Err(DefinitionError::new("name", DefinitionProblem::Key(invalid))),
                None => Ok(Space::Keys(keys)),
            },
            None => {
                let problem = DefinitionProblem::UnknownDynamicSet { name: name.clone() };
                Err(DefinitionError::new("name", problem))
            }
        },
        Compiled::Multi(spec) => {
            let mut dimensions = Vec::with_capacity(spec.dimensions.len());
            for (name, dimension) in &spec.dimensions {
                let space =
                    resolve(dimension, now, dynamic).map_err(|e| e.under(&format!("dimensions.{name}")))?;
                if let (Compiled::Dynamic(_), Space::Keys(keys)) = (dimension, &space) {
                    check_dynamic_dimension(name, keys)?;
                }
                dimensions.push((name.clone(), Partitions { space }));
            }
            let longest = dimensions.iter().map(|(name, partitions): &(String, Partitions)| {
                (
                    name.as_str(),
                    match &partitions.space {
                        Space::Keys(keys) => keys.longest(),
                        Space::Windows(windows) => windows.spec.format.longest(),
                        Space::One | Space::Product(_) => 0,
                    },
                )
            });
            check_key_lengths(longest)?;
            // Eight dimensions of 2^32 are more than a number can count; the error names as many as it can.
            let lens = dimensions.iter().map(|(_, partitions)| u128::from(partitions.len()));
            let count = lens.fold(1, u128::saturating_mul);
            let product = Product::dense(dimensions, spec.primary).ok_or_else(|| too_many(count))?;
            restrict(product, spec).map(Space::Product)
        }
    }
}

/// Keys of a dynamic set come from elsewhere; one that cannot be part of a multi key would make cells
/// that no key names.
fn check_dynamic_dimension(name: &str, keys: &KeyList) -> Result<(), DefinitionError> {
    let error = |invalid| DefinitionError::new(format!("dimensions.{name}"), DefinitionProblem::Key(invalid));
    keys.unusable_in_dimension().map_or(Ok(()), |invalid| Err(error(invalid)))
}

impl Partitions {
    /// The one-partition space of an asset that is not partitioned.
    pub fn unpartitioned() -> Self {
        Self { space: Space::One }
    }

    /// How many partitions exist.
    pub fn len(&self) -> u32 {
        match &self.space {
            Space::One => 1,
            // Lists are read from definitions and tables that cannot hold 2^32 keys.
            Space::Keys(keys) => keys.len() as u32,
            Space::Windows(windows) => windows.len,
            Space::Product(product) => product.len,
        }
    }

    /// Whether there are none (yet).
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is anything to select.
    pub fn is_partitioned(&self) -> bool {
        !matches!(self.space, Space::One)
    }

    /// The key of an ordinal.
    pub fn key(&self, ordinal: u32) -> Option<String> {
        match &self.space {
            Space::One => (ordinal == 0).then(String::new),
            Space::Keys(keys) => keys.get(ordinal).map(str::to_owned),
            Space::Windows(windows) => windows.key(ordinal),
            Space::Product(product) => product.key(product.dense_of(ordinal)?),
        }
    }

    /// The ordinal that a key names, or why it names none.
    pub fn ordinal(&self, key: &str) -> Result<u32, KeyError> {
        match &self.space {
            Space::One if key.is_empty() => Ok(0),
            Space::One => Err(KeyError::Unpartitioned { key: key.to_owned() }),
            Space::Keys(keys) => keys.position(key).ok_or_else(|| {
                let nearest = keys.nearest(key).map(str::to_owned);
                KeyError::Unknown { key: key.to_owned(), nearest }
            }),
            Space::Windows(windows) => windows.ordinal(key),
            Space::Product(product) => {
                let parts: Vec<&str> = key.split(KEY_SEPARATOR).collect();
                if parts.len() != product.dimensions.len() {
                    let dimensions = self.dimension_names().join(", ");
                    let (found, expected) = (parts.len(), product.dimensions.len());
                    return Err(KeyError::Parts { key: key.to_owned(), found, expected, dimensions });
                }
                let mut dense = 0;
                for (dimension, part) in product.dimensions.iter().zip(parts) {
                    let coordinate = dimension.partitions.ordinal(part).map_err(|problem| {
                        let (key, dimension) = (key.to_owned(), dimension.name.clone());
                        KeyError::Dimension { key, dimension, problem: Box::new(problem) }
                    })?;
                    dense += coordinate * dimension.stride;
                }
                product.ordinal_of(dense).ok_or_else(|| KeyError::NoSuchCell { key: key.to_owned() })
            }
        }
    }

    /// The window of an ordinal; for a product with exactly one time dimension that dimension's window.
    pub fn window(&self, ordinal: u32) -> Option<TimeWindow> {
        match &self.space {
            Space::One | Space::Keys(_) => None,
            Space::Windows(windows) => windows.window(ordinal),
            Space::Product(product) => {
                let dense = product.dense_of(ordinal)?;
                let mut times = product.dimensions.iter().enumerate().filter(|(_, d)| d.partitions.is_time());
                let (index, dimension) = times.next()?;
                if times.next().is_some() {
                    return None;
                }
                dimension.partitions.window(product.coordinate(dense, index))
            }
        }
    }

    /// Whether every partition is a window of time.
    pub fn is_time(&self) -> bool {
        matches!(self.space, Space::Windows(_))
    }

    /// The names of the dimensions in the order in which keys join their parts; empty unless multi.
    pub fn dimension_names(&self) -> Vec<String> {
        self.dimensions().map(|(name, _)| name.to_owned()).collect()
    }

    /// The dimensions in the order of the key's parts; none unless multi.
    pub fn dimensions(&self) -> impl Iterator<Item = (&str, &Partitions)> {
        let product = match &self.space {
            Space::Product(product) => &product.dimensions[..],
            _ => &[],
        };
        product.iter().map(|dimension| (dimension.name.as_str(), &dimension.partitions))
    }

    /// The parts of a multi key, by dimension; none unless multi.
    pub fn key_parts(&self, ordinal: u32) -> Vec<(String, String)> {
        let Space::Product(product) = &self.space else { return Vec::new() };
        let Some(dense) = product.dense_of(ordinal) else { return Vec::new() };
        let parts = product.dimensions.iter().enumerate();
        parts
            .filter_map(|(index, d)| {
                Some((d.name.clone(), d.partitions.key(product.coordinate(dense, index))?))
            })
            .collect()
    }

    /// The name of the dimension that ranges run along; `None` unless multi.
    pub fn primary_dimension(&self) -> Option<&str> {
        match &self.space {
            Space::Product(product) => Some(&product.dimensions[product.primary].name),
            _ => None,
        }
    }

    /// Every partition.
    pub fn all(&self) -> PartitionSubset {
        PartitionSubset::from_range(0..self.len())
    }

    /// The keys of a subset, in order, one at a time.
    pub fn keys<'a>(&'a self, subset: &'a PartitionSubset) -> impl Iterator<Item = String> + 'a {
        subset.iter().filter_map(|ordinal| self.key(ordinal))
    }

    /// The ordinal of a key, without the reasons why there is none.
    pub(crate) fn find(&self, key: &str) -> Option<u32> {
        match &self.space {
            Space::Keys(keys) => keys.position(key),
            Space::Windows(windows) => windows.find(key),
            Space::One | Space::Product(_) => self.ordinal(key).ok(),
        }
    }

    /// From which instant on the partition with this key exists, in seconds since the epoch: one far behind for
    /// those that do, `None` for those that no time brings.
    pub(crate) fn exists_from(&self, key: &str) -> Option<i64> {
        match &self.space {
            Space::Windows(windows) => windows.exists_from(key),
            Space::Product(product) => {
                let parts = key.split(KEY_SEPARATOR);
                let mut instants =
                    product.dimensions.iter().zip(parts).map(|(d, part)| d.partitions.exists_from(part));
                // The last of its parts decides.
                instants.try_fold(i64::MIN, |latest, instant| Some(latest.max(instant?)))
            }
            Space::One | Space::Keys(_) => self.find(key).map(|_| i64::MIN),
        }
    }

    /// A word for what the partitions are.
    pub(crate) fn nature(&self) -> &'static str {
        match &self.space {
            Space::One => "unpartitioned",
            Space::Keys(_) => "static or dynamic",
            Space::Windows(_) => "time-window",
            Space::Product(_) => "multi",
        }
    }

    pub(crate) fn product(&self) -> Option<&Product> {
        match &self.space {
            Space::Product(product) => Some(product),
            _ => None,
        }
    }

    pub(crate) fn windows(&self) -> Option<&Windows> {
        match &self.space {
            Space::Windows(windows) => Some(windows),
            _ => None,
        }
    }

    pub(crate) fn key_list(&self) -> Option<&KeyList> {
        match &self.space {
            Space::Keys(keys) => Some(keys),
            _ => None,
        }
    }
}
