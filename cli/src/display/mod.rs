//! How things look: text for people, JSON for programs, progress for whoever waits.

mod pace;
mod progress;
mod table;
mod text;

pub(crate) use progress::{AroundProgress, Progress};
pub(crate) use table::Table;
pub(crate) use text::{elapsed, instant, number, one_line, plural};

use std::io::{ErrorKind, Write};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use serde::Serialize;

/// How results are printed.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct OutputArgs {
    /// How results are printed: text or json. Progress and messages go to standard error
    #[arg(long, value_enum, default_value_t, hide_possible_values = true, value_name = "FORMAT")]
    output: Format,
}

/// A way to print results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Tables for people.
    #[default]
    Text,
    /// JSON for programs.
    Json,
}

impl OutputArgs {
    /// Programs read the results.
    pub(crate) fn json(self) -> bool {
        self.output == Format::Json
    }
}

/// Prints a text.
pub(crate) fn print(text: &str) -> Result<()> {
    written(writeln!(std::io::stdout().lock(), "{}", text.trim_end_matches('\n')))
}

/// Prints a value as JSON.
pub(crate) fn print_json(value: &impl Serialize) -> Result<()> {
    print(&serde_json::to_string_pretty(value).context("writing JSON")?)
}

/// Prints a JSON array of which only a part is in memory at a time.
pub(crate) struct JsonList {
    first: bool,
}

impl JsonList {
    /// Begins the array.
    pub(crate) fn begin() -> Self {
        Self { first: true }
    }

    /// Prints one element on a line of its own.
    pub(crate) fn push(&mut self, value: &impl Serialize) -> Result<()> {
        let json = serde_json::to_string(value).context("writing JSON")?;
        let before = if std::mem::take(&mut self.first) { "[\n" } else { ",\n" };
        written(write!(std::io::stdout().lock(), "{before}{json}"))
    }

    /// Ends the array.
    pub(crate) fn end(self) -> Result<()> {
        print(if self.first { "[]" } else { "\n]" })
    }
}

/// A reader that has seen enough (`| head`) is no failure: the command ends.
fn written(result: std::io::Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        other => other.context("writing to standard output"),
    }
}
