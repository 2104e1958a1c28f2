//! A project whose tasks leave a trace outside of the ledger: the journal of what really ran.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

/// What every task runs.
const TASK: &str = include_str!("task.sh");

/// A folder with a project in it.
#[derive(Debug)]
pub struct Project {
    folder: TempDir,
    /// Tasks of a run of everything.
    pub tasks: u64,
}

/// What happened to one execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Begin,
    End,
    /// It was told to stop before its end.
    Stop,
}

/// One execution of a task: asset, partition and dispatch.
type Execution = (String, String, u64);

/// What really ran, in the order in which it happened.
#[derive(Debug, Default)]
pub struct Journal(Vec<(Event, Execution)>);

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
        Ok(Self { folder, tasks: u64::from(slices) * u64::from(count) })
    }

    /// Two assets of `slices` partitions; the second needs the first. Each task takes `seconds`.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn chain(slices: u32, seconds: &str) -> Result<Self> {
        let asset = |name: &str, more: &str| {
            format!("  {name}: {{partitions: slices, command: [sh, task.sh, sleep, \"{seconds}\"]{more}}}\n")
        };
        Self::new(slices, 2, &(asset("first", "") + &asset("second", ", deps: [first]")))
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
        let lines = text.lines().map(|line| {
            let [event, asset, partition, _attempt, dispatch] = *line.split(' ').collect::<Vec<_>>() else {
                bail!("a strange line in the journal: {line:?}");
            };
            let event = match event {
                "begin" => Event::Begin,
                "end" => Event::End,
                _ => Event::Stop,
            };
            // An asset without partitions has one task, whose key is empty.
            let partition = if partition == "-" { "" } else { partition };
            Ok((event, (asset.to_owned(), partition.to_owned(), dispatch.parse()?)))
        });
        Ok(Journal(lines.collect::<Result<_>>()?))
    }
}

/// The partition key with this ordinal.
#[must_use]
pub fn key(ordinal: u32) -> String {
    format!("p{ordinal:05}")
}

impl Journal {
    /// Executions that have begun.
    #[must_use]
    pub fn begun(&self) -> usize {
        self.0.iter().filter(|(event, _)| *event == Event::Begin).count()
    }

    /// Executions that have come to their end.
    #[must_use]
    pub fn ended(&self) -> BTreeSet<&Execution> {
        self.0.iter().filter(|(event, _)| *event == Event::End).map(|(_, execution)| execution).collect()
    }

    /// The most executions of `asset` that ran at the same instant. For tests that kill no worker: a task that is
    /// killed with its worker leaves no end.
    #[must_use]
    pub fn most_at_once(&self, asset: &str) -> usize {
        let (mut running, mut most) = (0_usize, 0);
        for (event, _) in self.0.iter().filter(|(_, (of, _, _))| of == asset) {
            match event {
                Event::Begin => running += 1,
                Event::End | Event::Stop => running = running.saturating_sub(1),
            }
            most = most.max(running);
        }
        most
    }
}
