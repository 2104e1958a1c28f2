//! Checks case vectors: `cargo run --release -p backstitch-proto --example vectors -- FILE.jsonl...`
//!
//! Each line of a file is one case: definitions, a question, and the answer of the reference. What kind
//! of question it is follows from its fields. Prints the id, the expected and the actual answer of every
//! failure and ends with `N passed, M failed`. Cases that we answer differently on purpose stand in
//! `deviations.txt` beside this file, each with its reason, and count as skipped.

mod answer;
mod cases;
mod deviations;
mod errata;

use std::process::ExitCode;

use cases::Case;
use deviations::Deviations;

const DEVIATIONS: &str = include_str!("deviations.txt");

fn main() -> ExitCode {
    let files: Vec<String> = std::env::args().skip(1).collect();
    if files.is_empty() {
        eprintln!("usage: vectors FILE.jsonl...");
        return ExitCode::from(2);
    }
    let deviations = Deviations::read(DEVIATIONS);
    let (mut passed, mut failed, mut skipped) = (0u64, 0u64, 0u64);
    for file in &files {
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) => {
                eprintln!("reading {file}: {error}");
                return ExitCode::from(2);
            }
        };
        for (line, text) in (1..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty()) {
            let case: Case = match serde_json::from_str(text) {
                Ok(case) => case,
                Err(error) => {
                    println!("FAILED {file}:{line}: not a case: {error}");
                    failed += 1;
                    continue;
                }
            };
            let Err(difference) = case.check() else {
                passed += 1;
                continue;
            };
            if let Some(reason) = deviations.reason(&case, &difference) {
                println!("skipped {}: {reason}", case.id);
                skipped += 1;
                continue;
            }
            failed += 1;
            println!(
                "FAILED {}\n  expected {}\n  actual   {}",
                case.id, difference.expected, difference.actual
            );
        }
    }
    if skipped > 0 {
        println!("{skipped} skipped: deviations on purpose");
    }
    println!("{passed} passed, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
