//! Why a worker could not run.

use std::path::PathBuf;

use backstitch_broker::BrokerError;
use thiserror::Error;

/// A worker that could not start. One that has started runs until it is told to stop, whatever happens around it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WorkerError {
    /// The builder was given no broker.
    #[error("the worker has no broker: give it one with `.broker(..)`, or set BACKSTITCH_BROKER_URL")]
    NoBroker,
    /// The options make no sense.
    #[error("{0}")]
    Options(String),
    /// The project's folder cannot be used.
    #[error("opening the project folder {}", folder.display())]
    ProjectDir {
        /// The folder.
        folder: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The broker refuses the worker.
    #[error("starting to consume from the broker")]
    Broker(#[source] BrokerError),
    /// Signals cannot be received.
    #[error("listening for the signals to stop")]
    Signals(#[source] std::io::Error),
}
