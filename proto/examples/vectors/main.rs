//! Checks case vectors: `cargo run --release -p backstitch-proto --example vectors -- FILE.jsonl...`
//!
//! Each line of a file is one case: definitions, a question, and the answer of the reference. What kind
//! of question it is follows from its fields. Prints the id, the expected and the actual answer of every
//! failure and ends with `N passed, M failed`, whatever the files hold. Cases that we answer differently on purpose
//! stand in `deviations.txt` beside this file, each with its reason, and count as skipped.
//!
//! `tests/vectors` runs the same check as a test.

mod answer;
mod cases;
mod check;
mod deviations;
mod errata;

use std::process::ExitCode;

fn main() -> ExitCode {
    let files: Vec<_> = std::env::args_os().skip(1).collect();
    if files.is_empty() {
        eprintln!("usage: vectors FILE.jsonl...");
        return ExitCode::from(2);
    }
    let tally = check::files(&files, |line| println!("{line}"));
    println!("{tally}");
    if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
