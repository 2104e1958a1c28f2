//! The project that is run: a chain of assets over the minutes since 1970, so that keys, windows and mappings cost what
//! they cost in a real backfill, and any number of partitions is exact.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};
use backstitch_proto::definition::PROJECT_FILE;
use chrono::{DateTime, SecondsFormat};

use super::options::Plan;
use crate::project::Project;

/// The worker queue of the measurement.
pub(super) const QUEUE: &str = "bench";

/// The asset of small runs beside a large one.
pub(super) const URGENT: &str = "urgent";

/// The asset whose every partition needs the one before.
pub(super) const CHAIN: &str = "chain";

/// Partitions that the two assets above have.
const FEW: u64 = 100_000;

/// The name of an asset of the large run, upstream first.
pub(super) fn asset(number: u64) -> String {
    format!("step_{number}")
}

/// Writes the project of a plan into `folder`.
pub(super) fn write(plan: &Plan, folder: &Path) -> Result<Project> {
    let path = folder.join(PROJECT_FILE);
    std::fs::write(&path, text(plan)).with_context(|| format!("writing {}", path.display()))?;
    Project::load(folder)
}

fn text(plan: &Plan) -> String {
    let mut text = String::from("partitions:\n");
    for (name, partitions) in [("many", plan.partitions()), ("few", plan.tasks.min(FEW))] {
        let end = DateTime::from_timestamp(partitions as i64 * 60, 0).unwrap_or_default();
        let end = end.to_rfc3339_opts(SecondsFormat::Secs, true);
        // Writing to a String cannot fail.
        _ = writeln!(
            text,
            "  {name}: {{kind: cron, cron: \"* * * * *\", start: \"1970-01-01T00:00:00Z\", end: \"{end}\"}}"
        );
    }
    text.push_str("assets:\n");
    for number in 0..plan.assets {
        let deps = match number.checked_sub(1) {
            Some(upstream) => format!(", deps: [{}]", asset(upstream)),
            None => String::new(),
        };
        _ = writeln!(text, "  {}: {{queue: {QUEUE}, partitions: many{deps}}}", asset(number));
    }
    _ = writeln!(text, "  {URGENT}: {{queue: {QUEUE}, partitions: few}}");
    _ = writeln!(
        text,
        "  {CHAIN}: {{queue: {QUEUE}, partitions: few, deps: [{{asset: {CHAIN}, mapping: {{kind: time_window, \
         start_offset: -1, end_offset: -1}}}}]}}"
    );
    text
}
