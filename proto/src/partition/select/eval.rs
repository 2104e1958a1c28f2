//! What a selection selects from one space.

use super::lexer::Word;
use super::pattern::{self, matches};
use super::syntax::{Item, List, Term, What};
use super::{Located, SelectProblem};
use crate::partition::error::KeyError;
use crate::partition::keys::KEY_SEPARATOR;
use crate::partition::product::Product;
use crate::partition::space::Space;
use crate::partition::{PartitionSubset, Partitions};

/// What a selection may refer to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bounds {
    /// Only partitions that exist now; everything else is an error.
    Existing,
    /// In definitions, which hold at every time: windows that do not exist yet, or no more, select
    /// nothing, and `latest` is refused.
    AnyTime,
    /// The same for a dynamic set, whose keys come and go: one that is not there selects nothing.
    AnyKeys,
}

impl Bounds {
    /// Whether a key that names nothing now selects nothing, rather than being an error.
    fn tolerates(self, error: &KeyError) -> bool {
        match self {
            Self::Existing => false,
            Self::AnyTime => only_absent(error),
            Self::AnyKeys => matches!(error, KeyError::Unknown { .. }),
        }
    }
}

type Selected = Result<PartitionSubset, Located>;

/// Any of the terms, less the negated ones.
pub(super) fn list(space: &Partitions, list: &List, bounds: Bounds) -> Selected {
    let all_negated = list.terms.iter().all(|term| term.negated);
    let mut selected = if all_negated { space.all() } else { PartitionSubset::new() };
    for term in list.terms.iter().filter(|term| !term.negated) {
        selected |= &positive(space, &term.what, bounds)?;
    }
    for term in list.terms.iter().filter(|term| term.negated) {
        selected -= &positive(space, &term.what, bounds)?;
    }
    Ok(selected)
}

fn both(space: &Partitions, terms: &[Term], bounds: Bounds) -> Selected {
    let mut selected = space.all();
    for term in terms {
        let inner = positive(space, &term.what, bounds)?;
        if term.negated {
            selected -= &inner;
        } else {
            selected &= &inner;
        }
    }
    Ok(selected)
}

fn positive(space: &Partitions, what: &What, bounds: Bounds) -> Selected {
    match what {
        What::Both(terms) => both(space, terms, bounds),
        What::Group(group) => list(space, group, bounds),
        What::Dimension { name, span, values } => {
            let index = space.dimensions().position(|(known, _)| known == name);
            let (Some(product), Some(index)) = (space.product(), index) else {
                let names = space.dimension_names();
                let known = if names.is_empty() {
                    "there are none".to_owned()
                } else {
                    format!("there are {}", names.join(", "))
                };
                return Err((span.clone(), SelectProblem::UnknownDimension { name: name.clone(), known }));
            };
            let side = list(&product.dimensions[index].partitions, values, bounds)?;
            Ok(slab(product, index, side))
        }
        What::Item { span, item: what } => {
            item(space, what, bounds).map_err(|problem| (span.clone(), problem))
        }
    }
}

/// Every cell whose coordinate in one dimension lies in a set.
fn slab(product: &Product, index: usize, side: PartitionSubset) -> PartitionSubset {
    let mut sides: Vec<_> = product.dimensions.iter().map(|d| d.partitions.all()).collect();
    sides[index] = side;
    product.compress(&product.rectangle(&sides))
}

fn item(space: &Partitions, item: &Item, bounds: Bounds) -> Result<PartitionSubset, SelectProblem> {
    match item {
        Item::All => Ok(space.all()),
        Item::Latest(_) if bounds != Bounds::Existing => Err(SelectProblem::Moving),
        Item::Latest(count) => Ok(latest(space, *count)),
        Item::Range { start, end } => range(space, start.as_deref(), end.as_deref(), bounds),
        Item::Key(word) => match word.key() {
            Some(key) => match space.ordinal(key) {
                Ok(ordinal) => Ok(PartitionSubset::from_ordinals([ordinal])),
                Err(error) if bounds.tolerates(&error) => Ok(PartitionSubset::new()),
                Err(error) => Err(SelectProblem::Key(error)),
            },
            None => {
                let matched = matching(space, word);
                if matched.is_empty() && bounds == Bounds::Existing {
                    return Err(SelectProblem::NoMatch { pattern: word.text() });
                }
                Ok(matched)
            }
        },
    }
}

/// Whether a key is good but its window does not exist now.
fn only_absent(error: &KeyError) -> bool {
    match error {
        KeyError::BeforeStart { .. } | KeyError::AfterEnd { .. } | KeyError::Excluded { .. } => true,
        KeyError::Dimension { problem, .. } => only_absent(problem),
        _ => false,
    }
}

fn latest(space: &Partitions, count: u32) -> PartitionSubset {
    match space.product() {
        Some(product) => {
            let primary = &product.dimensions[product.primary].partitions;
            slab(product, product.primary, latest(primary, count))
        }
        None => PartitionSubset::from_range(space.len().saturating_sub(count)..space.len()),
    }
}

fn range(
    space: &Partitions,
    start: Option<&str>,
    end: Option<&str>,
    bounds: Bounds,
) -> Result<PartitionSubset, SelectProblem> {
    if let Some(product) = space.product() {
        return rectangle(space, product, start, end, bounds);
    }
    if bounds == Bounds::AnyKeys && [start, end].into_iter().flatten().any(|key| space.find(key).is_none()) {
        // Nobody knows which keys lie on this side of one that is not there.
        return Ok(PartitionSubset::new());
    }
    let from = start.map(|key| end_of_range(space, key, bounds)).transpose()?;
    let to = end.map(|key| end_of_range(space, key, bounds)).transpose()?;
    if let (Some(start), Some(end), Some(from), Some(to)) = (start, end, &from, &to)
        && from.place > to.place
    {
        return Err(SelectProblem::Reversed { start: start.to_owned(), end: end.to_owned() });
    }
    let first = from.map_or(0, |from| from.first);
    let behind = to.map_or(space.len(), |to| to.behind);
    Ok(PartitionSubset::from_range(first..behind.max(first)))
}

/// Where an end of a range lies: the first ordinal at or behind it, and the first one behind it. They
/// are equal when no partition exists at the end itself.
struct RangeEnd {
    first: u32,
    behind: u32,
    /// What tells whether a range is reversed: the window's instant, or the position in a list.
    place: i64,
}

fn end_of_range(space: &Partitions, key: &str, bounds: Bounds) -> Result<RangeEnd, SelectProblem> {
    let error = match space.ordinal(key) {
        Ok(ordinal) => {
            let instant = space.windows().and_then(|windows| windows.bounds(ordinal)).map(|(start, _)| start);
            let place = instant.unwrap_or(i64::from(ordinal));
            return Ok(RangeEnd { first: ordinal, behind: ordinal + 1, place });
        }
        Err(error) => error,
    };
    let (Some(windows), true) = (space.windows(), only_absent(&error)) else {
        return Err(SelectProblem::Key(error));
    };
    // A bound may always be a window that is taken out: what is selected lies between the bounds.
    if bounds == Bounds::Existing && !matches!(error, KeyError::Excluded { .. }) {
        return Err(SelectProblem::Key(error));
    }
    let (first, place) = windows.place(key);
    Ok(RangeEnd { first, behind: first, place })
}

/// A range of a product is a rectangle: the product of one range per dimension.
fn rectangle(
    space: &Partitions,
    product: &Product,
    start: Option<&str>,
    end: Option<&str>,
    bounds: Bounds,
) -> Result<PartitionSubset, SelectProblem> {
    let count = product.dimensions.len();
    let parts = |key: Option<&str>| -> Result<Vec<Option<String>>, SelectProblem> {
        let Some(key) = key else { return Ok(vec![None; count]) };
        let parts: Vec<_> = key.split(KEY_SEPARATOR).map(|part| Some(part.to_owned())).collect();
        if parts.len() == count { Ok(parts) } else { Err(wrong_parts(space, key, parts.len())) }
    };
    let (starts, ends) = (parts(start)?, parts(end)?);
    let mut sides = Vec::with_capacity(count);
    for (dimension, (start, end)) in product.dimensions.iter().zip(starts.iter().zip(&ends)) {
        sides.push(range(&dimension.partitions, start.as_deref(), end.as_deref(), bounds)?);
    }
    Ok(product.compress(&product.rectangle(&sides)))
}

fn wrong_parts(space: &Partitions, key: &str, found: usize) -> SelectProblem {
    let names = space.dimension_names();
    let (expected, dimensions) = (names.len(), names.join(", "));
    SelectProblem::Key(KeyError::Parts { key: key.to_owned(), found, expected, dimensions })
}

fn matching(space: &Partitions, word: &Word) -> PartitionSubset {
    match &space.space {
        Space::One => PartitionSubset::new(),
        Space::Keys(keys) => (0u32..)
            .zip(keys.iter())
            .filter(|(_, key)| matches(&word.pieces, key))
            .map(|(at, _)| at)
            .collect(),
        Space::Windows(windows) => {
            let Some((walls, _)) = windows.spec.format.read_prefix(&word.pieces[0]) else {
                return PartitionSubset::new();
            };
            pattern::matching_windows(windows, &walls, word)
        }
        Space::Product(product) => {
            let parts = split(word);
            if parts.len() == 1 && parts[0].pieces.iter().all(String::is_empty) {
                return space.all();
            }
            if parts.len() != product.dimensions.len() {
                return PartitionSubset::new();
            }
            let sides: Vec<_> = product
                .dimensions
                .iter()
                .zip(&parts)
                .map(|(d, part)| one_dimension(&d.partitions, part))
                .collect();
            product.compress(&product.rectangle(&sides))
        }
    }
}

fn one_dimension(space: &Partitions, part: &Word) -> PartitionSubset {
    match part.key() {
        Some(key) => space.ordinal(key).ok().into_iter().collect(),
        None => matching(space, part),
    }
}

/// A pattern of a product, cut at the separators: `2024-*|us` is a pattern and a key.
fn split(word: &Word) -> Vec<Word> {
    let mut parts = vec![Word { pieces: Vec::new(), quoted: word.quoted }];
    for piece in &word.pieces {
        for (index, text) in piece.split(KEY_SEPARATOR).enumerate() {
            if index > 0 {
                parts.push(Word { pieces: Vec::new(), quoted: word.quoted });
            }
            if let Some(part) = parts.last_mut() {
                part.pieces.push(text.to_owned());
            }
        }
    }
    parts
}
