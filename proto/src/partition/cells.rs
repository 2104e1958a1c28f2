//! Sparse products: which cells of a multi definition exist.
//!
//! `only` and `except` are lists of rectangles, each a selection per dimension. They are part of the
//! definition, so what they say must not move with time: windows that do not exist yet select nothing
//! until they do, nor do keys that a dynamic set does not have, and `latest` is refused.

use chrono::{DateTime, Utc};

use super::compile::{Compiled, MultiSpec};
use super::definition::Cells;
use super::dynamic::NoDynamicKeys;
use super::error::{DefinitionError, DefinitionProblem};
use super::product::Product;
use super::select::{Bounds, SelectProblem};
use super::space::resolve;
use super::{PartitionSubset, Partitions};

/// The product with the cells that the definition leaves.
pub(crate) fn restrict(product: Product, spec: &MultiSpec) -> Result<Product, DefinitionError> {
    if spec.only.is_empty() && spec.except.is_empty() {
        return Ok(product);
    }
    let chosen = |field, list: &[Cells]| {
        let mut cells = PartitionSubset::new();
        for (index, one) in list.iter().enumerate() {
            let dimensions = spec.dimensions.iter().zip(product.dimensions.iter());
            let sides: Result<Vec<_>, _> =
                dimensions.map(|((name, compiled), d)| side(name, &d.partitions, compiled, one)).collect();
            let sides =
                sides.map_err(|problem| DefinitionError::new(format!("{field}[{index}]"), problem))?;
            cells |= &product.rectangle(&sides);
        }
        Ok(cells)
    };
    let existing = if spec.only.is_empty() {
        let everything = PartitionSubset::from_range(0..product.dense_len());
        everything.difference(&chosen("except", &spec.except)?)
    } else {
        chosen("only", &spec.only)?
    };
    Ok(product.restricted(existing, &format!("{:?}{:?}", spec.only, spec.except)))
}

fn side(
    name: &str,
    partitions: &Partitions,
    compiled: &Compiled,
    cells: &Cells,
) -> Result<PartitionSubset, DefinitionProblem> {
    let Some(text) = cells.get(name) else { return Ok(partitions.all()) };
    let bounds = if matches!(compiled, Compiled::Dynamic(_)) { Bounds::AnyKeys } else { Bounds::AnyTime };
    partitions.select(text, bounds).map_err(|error| match error.problem {
        SelectProblem::Moving => DefinitionProblem::MovingCell { dimension: name.to_owned() },
        _ => DefinitionProblem::Cell { dimension: name.to_owned(), problem: Box::new(error) },
    })
}

/// Checks the cells of a definition without knowing the time: every selection must make sense.
pub(crate) fn check_cells(spec: &MultiSpec) -> Vec<DefinitionError> {
    let mut errors = Vec::new();
    for (name, compiled) in &spec.dimensions {
        let Ok(space) = resolve(compiled, DateTime::<Utc>::UNIX_EPOCH, &NoDynamicKeys) else { continue };
        let partitions = Partitions { space };
        for (field, list) in [("only", &spec.only), ("except", &spec.except)] {
            for (index, cells) in list.iter().enumerate() {
                if let Err(problem) = side(name, &partitions, compiled, cells) {
                    errors.push(DefinitionError::new(format!("{field}[{index}]"), problem));
                }
            }
        }
    }
    errors
}
