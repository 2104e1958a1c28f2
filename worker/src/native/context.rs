//! What a native function knows of its task.

use std::fmt::Display;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use backstitch_proto::id::RunId;
use backstitch_proto::message::{Dispatch, MetadataValue, TaskSpec, TraceContext, Window};
use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use super::{AssetError, IntoMetadata};
use crate::command::capture::Capture;
use crate::execution::Execution;

/// What a function is told, and where it reports while it runs. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Context(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dispatch: Arc<Dispatch>,
    project_dir: Arc<Path>,
    /// Index of the first task of this call in the dispatch, and how many there are.
    first: usize,
    count: usize,
    trace: Option<TraceContext>,
    cancellation: CancellationToken,
    capture: Capture,
    metadata: Mutex<Vec<(String, MetadataValue)>>,
}

/// One partition of a call.
#[derive(Clone, Copy, Debug)]
pub struct Partition<'a>(&'a TaskSpec);

impl<'a> Partition<'a> {
    /// The partition key; empty for an unpartitioned asset.
    pub fn key(&self) -> &'a str {
        &self.0.key
    }

    /// The time window `[start, end)`, if the partition has one.
    pub fn window(&self) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        let Window { start_us, end_us } = self.0.window?;
        Some((DateTime::from_timestamp_micros(start_us)?, DateTime::from_timestamp_micros(end_us)?))
    }
}

impl Context {
    /// The context of a call for `count` tasks of `execution` from its task `offset` on.
    pub(super) fn new(execution: &Execution<'_>, offset: usize, count: usize) -> Self {
        Self(Arc::new(Inner {
            dispatch: Arc::clone(execution.dispatch),
            project_dir: Arc::clone(execution.project_dir),
            first: execution.first + offset,
            count,
            trace: execution.trace,
            cancellation: CancellationToken::new(),
            capture: Capture::default(),
            metadata: Mutex::default(),
        }))
    }

    /// The asset that is computed.
    pub fn asset(&self) -> &str {
        &self.0.dispatch.asset
    }

    /// The run that the task belongs to.
    pub fn run_id(&self) -> RunId {
        self.0.dispatch.run
    }

    /// Number of this attempt, from 1.
    pub fn attempt(&self) -> u16 {
        self.0.dispatch.attempt
    }

    /// Grows with every dispatch of the system. A sink that refuses a token smaller than the greatest one it has
    /// seen is safe from a worker that was believed dead and is not.
    pub fn fencing_token(&self) -> u64 {
        self.0.dispatch.id.0
    }

    /// The partition key; of a batch the first, of an unpartitioned asset the empty text.
    pub fn partition_key(&self) -> &str {
        self.tasks().first().map_or("", |task| &task.key)
    }

    /// The time window `[start, end)` of the partition; of a batch that of the whole.
    pub fn window(&self) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        let Window { start_us, end_us } = crate::pipes::context::covering(self.tasks())?;
        Some((DateTime::from_timestamp_micros(start_us)?, DateTime::from_timestamp_micros(end_us)?))
    }

    /// The part of the partition key in the dimension `name`, of an asset that has several.
    pub fn dimension(&self, name: &str) -> Option<&str> {
        let place = self.0.dispatch.invocation.dimensions.iter().position(|known| known == name)?;
        self.partition_key().split('|').nth(place)
    }

    /// Every partition of this call, in order.
    pub fn partitions(&self) -> impl ExactSizeIterator<Item = Partition<'_>> {
        self.tasks().iter().map(Partition)
    }

    /// The asset's config.
    ///
    /// # Errors
    /// When it does not have the form of `T`; a retry would not help.
    pub fn config<T: DeserializeOwned>(&self) -> Result<T, AssetError> {
        serde_json::from_str(&self.0.dispatch.invocation.config_json).map_err(|error| {
            AssetError::new(format!(
                "the config of asset \"{}\" is not as its code expects: {error}",
                self.asset()
            ))
            .permanent()
        })
    }

    /// The folder of the project.
    pub fn project_dir(&self) -> &Path {
        &self.0.project_dir
    }

    /// Where this call stands in the trace.
    pub fn trace(&self) -> Option<TraceContext> {
        self.0.trace
    }

    /// Cancelled when the function is to end: its run was cancelled, it ran past its timeout, or the worker shuts
    /// down. What it returns then does not matter; it has the asset's grace for cleaning up.
    pub fn cancellation(&self) -> &CancellationToken {
        &self.0.cancellation
    }

    /// Adds a line to the attempt's output.
    pub fn log(&self, message: impl Display) {
        self.0.capture.line(&message.to_string());
    }

    /// Adds an entry of metadata to the materialization; of a batch, to each.
    pub fn metadata(&self, name: impl Into<String>, value: impl IntoMetadata) {
        let entry = (name.into(), value.into_metadata());
        self.0.metadata.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
    }

    pub(super) fn tasks(&self) -> &[TaskSpec] {
        // The range was one of the dispatch's tasks when the context was made, and a dispatch does not change.
        &self.0.dispatch.tasks[self.0.first..self.0.first + self.0.count]
    }

    pub(super) fn capture(&self) -> &Capture {
        &self.0.capture
    }

    pub(super) fn take_metadata(&self) -> Vec<(String, MetadataValue)> {
        std::mem::take(&mut self.0.metadata.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
