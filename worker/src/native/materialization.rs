//! What a native function says when it succeeds.

use backstitch_proto::message::{CheckResult, MetadataValue, Severity};

use super::metadata::IntoMetadata;

/// A materialized partition: what is worth knowing of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Materialization {
    pub(super) metadata: Vec<(String, MetadataValue)>,
    pub(super) data_version: Option<String>,
    pub(super) checks: Vec<CheckResult>,
}

impl Materialization {
    /// One of which nothing is known but that it is there.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an entry of metadata.
    #[must_use]
    pub fn metadata(mut self, name: impl Into<String>, value: impl IntoMetadata) -> Self {
        self.metadata.push((name.into(), value.into_metadata()));
        self
    }

    /// Sets the version of the data: equal versions mean equal data.
    #[must_use]
    pub fn data_version(mut self, version: impl Into<String>) -> Self {
        self.data_version = Some(version.into());
        self
    }

    /// Adds the result of a check of the data.
    #[must_use]
    pub fn check(mut self, name: impl Into<String>, passed: bool, severity: Severity) -> Self {
        self.checks.push(CheckResult { name: name.into(), passed, severity, metadata: Vec::new() });
        self
    }
}
