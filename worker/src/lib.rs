#![doc = include_str!("../README.md")]

mod builder;
mod clock;
mod command;
mod error;
mod execution;
mod limits;
mod native;
mod options;
mod pipes;
mod service;
mod stop;
#[cfg(test)]
mod testing;
mod trace;

pub use backstitch_broker as broker;
pub use backstitch_proto::message::{MetadataValue, Severity, TraceContext};
pub use builder::{Worker, WorkerBuilder};
pub use error::WorkerError;
pub use native::{
    AssetError, BatchOutcome, Context, IntoBatchOutcome, IntoMetadata, IntoOutcome, Materialization,
    Partition,
};
pub use options::{WorkerOptions, host_name};
pub use tokio_util::sync::CancellationToken;
