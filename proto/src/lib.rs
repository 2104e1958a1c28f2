//! The language that coordinator and workers speak: ids, messages and their codec; definitions; and the partition
//! algebra.
//!
//! Pure: no async runtime, no I/O, no clock. What needs one of those lives in another crate.

pub mod definition;
pub mod id;
pub mod mapping;
pub mod message;
pub mod partition;
