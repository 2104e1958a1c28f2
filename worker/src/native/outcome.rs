//! What native functions may return.

use std::collections::HashMap;
use std::fmt::Display;

use super::{AssetError, Materialization};

/// Return value of a function for one partition: nothing, a [`Materialization`], or a `Result` of either with any
/// error that can be displayed.
pub trait IntoOutcome {
    /// The outcome.
    ///
    /// # Errors
    /// When the partition is not materialized.
    fn into_outcome(self) -> Result<Materialization, AssetError>;
}

impl IntoOutcome for () {
    fn into_outcome(self) -> Result<Materialization, AssetError> {
        Ok(Materialization::new())
    }
}

impl IntoOutcome for Materialization {
    fn into_outcome(self) -> Result<Materialization, AssetError> {
        Ok(self)
    }
}

impl<T: IntoOutcome, E: Display + Send + 'static> IntoOutcome for Result<T, E> {
    fn into_outcome(self) -> Result<Materialization, AssetError> {
        self.map_err(AssetError::of)?.into_outcome()
    }
}

/// What became of each partition of a batch. A partition that is not named shares the fate of the call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BatchOutcome {
    pub(super) partitions: HashMap<String, Result<Materialization, AssetError>>,
}

impl BatchOutcome {
    /// Every partition is materialized.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets what became of the partition `key`.
    #[must_use]
    pub fn partition(mut self, key: impl Into<String>, outcome: impl IntoOutcome) -> Self {
        self.partitions.insert(key.into(), outcome.into_outcome());
        self
    }
}

/// Return value of a function for a batch: nothing, a [`BatchOutcome`], or a `Result` of either.
pub trait IntoBatchOutcome {
    /// The outcome.
    ///
    /// # Errors
    /// When no partition of the batch is materialized.
    fn into_batch_outcome(self) -> Result<BatchOutcome, AssetError>;
}

impl IntoBatchOutcome for () {
    fn into_batch_outcome(self) -> Result<BatchOutcome, AssetError> {
        Ok(BatchOutcome::new())
    }
}

impl IntoBatchOutcome for BatchOutcome {
    fn into_batch_outcome(self) -> Result<BatchOutcome, AssetError> {
        Ok(self)
    }
}

impl<T: IntoBatchOutcome, E: Display + Send + 'static> IntoBatchOutcome for Result<T, E> {
    fn into_batch_outcome(self) -> Result<BatchOutcome, AssetError> {
        self.map_err(AssetError::of)?.into_batch_outcome()
    }
}
