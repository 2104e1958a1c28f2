//! Mappings: which upstream partitions a downstream partition needs.
//!
//! A [`PartitionMapping`] is what a user writes beside a dependency, or what [`infer`] finds when nothing
//! is written. It is checked against the two definitions by [`validate`], at definition time, and an
//! impossible pair is answered with what would work. Bound to two concrete spaces it is a [`Mapper`],
//! which answers in both directions for whole subsets by interval arithmetic.
//!
//! One law ties the directions together, for every mapping and every pair of spaces:
//!
//! > `d` is in `downstream_of({u})` exactly if `u` is in `upstream_of({d}).subset`, and both distribute
//! > over union.
//!
//! There are few ways to relate two spaces, one file each: by equal keys or an explicit table (`keyed`),
//! by windows that overlap as instants (`overlap`), dimension by dimension (`axes`). `missing` holds
//! what a mapping requires and what does not exist, `blocked` who needs that and whether time helps.

mod axes;
mod bind;
mod blocked;
mod definition;
mod error;
mod form;
mod infer;
mod keyed;
mod mapper;
mod missing;
mod overlap;
mod validate;

pub use blocked::Blocked;
pub use definition::{DimensionMapping, MissingPolicy, PartitionMapping, WINDOW_OFFSET_MAX};
pub use error::MappingError;
pub use infer::infer;
pub use mapper::{Mapper, Upstream};
pub use missing::Missing;
pub use validate::validate;
