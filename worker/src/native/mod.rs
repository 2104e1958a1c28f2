//! Asset code in Rust: async functions that a worker program registers under the names of its assets.
//!
//! A function is called on the task of its dispatch, without a task of its own, so a no-op costs microseconds. A
//! panic is caught and becomes the failure of its task alone. A function that is to end early sees its cancellation
//! token; after the grace its future is dropped at the next await. A function that blocks its thread cannot be
//! ended by anybody: it belongs into `tokio::task::spawn_blocking`.

mod call;
mod context;
mod error;
mod materialization;
mod metadata;
mod outcome;
mod registry;

pub use context::{Context, Partition};
pub use error::AssetError;
pub use materialization::Materialization;
pub use metadata::IntoMetadata;
pub use outcome::{BatchOutcome, IntoBatchOutcome, IntoOutcome};

pub(crate) use call::{execute, panic_message};
pub(crate) use registry::Registry;

#[cfg(test)]
#[path = "native_tests.rs"]
mod tests;
