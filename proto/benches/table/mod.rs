//! What was measured, beside its target and Dagster's figure.
//!
//! Criterion keeps its estimates in files and gives them to nobody else, so the files that this run has written are read
//! back. Dagster's figures were measured before.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::Value;

const DAGSTER_FIGURES: &str = include_str!("../dagster-figures.txt");

/// Group and name of a benchmark, its target, and the name of Dagster's figure; `""` where there is none.
pub(crate) struct Row(
    pub(crate) &'static str,
    pub(crate) &'static str,
    pub(crate) &'static str,
    pub(crate) &'static str,
);

/// Prints the rows that were measured since an instant, if there are any.
pub(crate) fn print(rows: &[Row], since: SystemTime) {
    let measured = criterion_folder().map(|folder| measured(&folder, since)).unwrap_or_default();
    let dagster = dagster();
    let line = |work: &str, target: &str, ours: &str, dagster: &str| {
        println!("{work:<84} {target:>8} {ours:>12}   {dagster}");
    };
    let mut shown = rows.iter().filter_map(|row| {
        let nanoseconds = measured.get(&(row.0.to_owned(), row.1.to_owned()))?;
        Some((row, duration(*nanoseconds)))
    });
    let Some(first) = shown.next() else { return };
    println!("\n{}", DAGSTER_FIGURES.lines().take(2).collect::<Vec<_>>().join("\n"));
    line("work", "target", "backstitch", "dagster");
    for (Row(group, name, target, like), ours) in std::iter::once(first).chain(shown) {
        // The target has a column of its own.
        let group = group.split(" (<").next().unwrap_or(group);
        let target = if target.is_empty() { "-" } else { target };
        let theirs = match dagster.get(like) {
            // The same work can have another size there, which its name tells.
            Some(figure) => format!("{figure} ({like})"),
            None => "-".to_owned(),
        };
        line(&format!("{group}: {name}"), target, &ours, &theirs);
    }
}

/// Dagster's figures by name.
fn dagster() -> BTreeMap<&'static str, &'static str> {
    // A line is two spaces, the name, at least one more space than any name has, and the figure.
    let figure = |line: &'static str| {
        let (name, figure) = line.strip_prefix("  ")?.split_once("  ")?;
        Some((name.trim(), figure.trim()))
    };
    DAGSTER_FIGURES.lines().filter_map(figure).collect()
}

/// Where criterion writes: the folder that it is told, else the one of the target directory.
fn criterion_folder() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("CRITERION_HOME") {
        return Some(PathBuf::from(folder));
    }
    if let Some(target) = std::env::var_os("CARGO_TARGET_DIR") {
        return Some(PathBuf::from(target).join("criterion"));
    }
    let program = std::env::current_exe().ok()?;
    program.ancestors().map(|folder| folder.join("criterion")).find(|folder| folder.is_dir())
}

/// Nanoseconds by group and name, of everything under a folder that was written since an instant.
fn measured(folder: &Path, since: SystemTime) -> BTreeMap<(String, String), f64> {
    let mut found = BTreeMap::new();
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()).filter(|path| path.is_dir()) {
        if path.ends_with("new") {
            found.extend(estimate(&path, since));
        } else {
            found.extend(measured(&path, since));
        }
    }
    found
}

fn estimate(folder: &Path, since: SystemTime) -> Option<((String, String), f64)> {
    let read = |name: &str| -> Option<Value> {
        let file = folder.join(name);
        let fresh = file.metadata().ok()?.modified().ok()? >= since;
        fresh.then(|| serde_json::from_slice(&std::fs::read(file).ok()?).ok())?
    };
    let (benchmark, estimates) = (read("benchmark.json")?, read("estimates.json")?);
    let text = |field: &str| benchmark[field].as_str().map(str::to_owned);
    // The slope is what criterion itself shows, where it has one.
    let time = ["slope", "mean"].iter().find_map(|kind| estimates[kind]["point_estimate"].as_f64())?;
    Some(((text("group_id")?, text("function_id")?), time))
}

fn duration(nanoseconds: f64) -> String {
    match nanoseconds {
        ns if ns < 1e3 => format!("{ns:.0} ns"),
        ns if ns < 1e6 => format!("{:.2} us", ns / 1e3),
        ns if ns < 1e9 => format!("{:.2} ms", ns / 1e6),
        ns => format!("{:.2} s", ns / 1e9),
    }
}
