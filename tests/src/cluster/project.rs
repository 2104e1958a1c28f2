//! A project whose tasks leave a trace outside of the ledger: the journal of what really ran.

use std::path::PathBuf;

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::journal::Journal;

/// What every task runs.
const TASK: &str = include_str!("task.sh");

/// A folder with a project in it.
#[derive(Debug)]
pub struct Project {
    folder: TempDir,
    /// Tasks of a run of everything.
    pub tasks: u64,
    /// Pairs of assets of which the second needs the same partition of the first.
    edges: Vec<(&'static str, &'static str)>,
}

impl Project {
    /// `assets` is the YAML of the assets, of which `count` have the partitions `slices`; there are `slices` of them.
    /// More top-level YAML may follow the assets.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn new(slices: u32, count: u32, assets: &str) -> Result<Self> {
        let keys: Vec<String> = (0..slices).map(key).collect();
        let text = format!(
            "partitions:\n  slices: {{kind: static, keys: [{}]}}\nassets:\n{assets}",
            keys.join(", ")
        );
        let folder = tempfile::Builder::new().prefix("backstitch-project-").tempdir()?;
        std::fs::write(folder.path().join("backstitch.yaml"), text)?;
        std::fs::write(folder.path().join("task.sh"), TASK)?;
        Ok(Self { folder, tasks: u64::from(slices) * u64::from(count), edges: Vec::new() })
    }

    /// Two assets of `slices` partitions; the second needs the first. Each task takes `seconds`.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn chain(slices: u32, seconds: &str) -> Result<Self> {
        let asset = |name: &str, more: &str| {
            format!("  {name}: {{partitions: slices, command: [sh, task.sh, sleep, \"{seconds}\"]{more}}}\n")
        };
        let project = Self::new(slices, 2, &(asset("first", "") + &asset("second", ", deps: [first]")))?;
        Ok(project.with_edge("first", "second"))
    }

    /// Says that `downstream` needs the same partition of `upstream`; the audit holds the journal to it.
    #[must_use]
    pub fn with_edge(mut self, upstream: &'static str, downstream: &'static str) -> Self {
        self.edges.push((upstream, downstream));
        self
    }

    /// What has been said so with [`with_edge`](Self::with_edge).
    pub(super) fn edges(&self) -> &[(&'static str, &'static str)] {
        &self.edges
    }

    /// One asset of `slices` partitions whose tasks end when the gate is opened.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn gated(slices: u32) -> Result<Self> {
        Self::new(slices, 1, "  held: {partitions: slices, command: [sh, task.sh, gate]}\n")
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &str {
        // The path of a temporary folder is text.
        self.folder.path().to_str().unwrap_or_default()
    }

    /// Lets gated tasks end.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn open_gate(&self) -> Result<()> {
        std::fs::write(self.folder.path().join("gate"), "").context("opening the gate")
    }

    /// Makes gated tasks wait again.
    ///
    /// # Errors
    /// When the gate is not open.
    pub fn close_gate(&self) -> Result<()> {
        std::fs::remove_file(self.folder.path().join("gate")).context("closing the gate")
    }

    /// What has run so far.
    ///
    /// # Errors
    /// When a line is not ours.
    pub fn journal(&self) -> Result<Journal> {
        let path: PathBuf = self.folder.path().join("journal");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        Journal::read(&text)
    }
}

/// The partition key with this ordinal.
#[must_use]
pub fn key(ordinal: u32) -> String {
    format!("p{ordinal:05}")
}
