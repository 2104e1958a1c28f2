//! The answers of the reference, as a test: what `cargo run --example vectors` checks.
//!
//! All cases lie beside the repository, in `../shared/vectors`. Where they do not, a sample of every kind is checked,
//! which is beside this file.

#[path = "../../examples/vectors/answer.rs"]
mod answer;
#[path = "../../examples/vectors/cases.rs"]
mod cases;
#[path = "../../examples/vectors/check.rs"]
mod check;
#[path = "../../examples/vectors/deviations.rs"]
mod deviations;
#[path = "../../examples/vectors/errata.rs"]
mod errata;

use std::path::{Path, PathBuf};

use check::Tally;

/// The files of a folder, in order; none if there is no such folder.
fn files_in(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> =
        entries.map(|entry| entry.expect("a folder that can be read").path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    files
}

fn sample() -> Vec<PathBuf> {
    files_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors"))
}

/// Checks files and returns what was said beside the counts.
fn checked(files: &[PathBuf]) -> (Tally, Vec<String>) {
    let mut said = Vec::new();
    let tally = check::files(files, |line| said.push(line));
    (tally, said)
}

fn failures(said: &[String]) -> String {
    said.iter().filter(|line| line.starts_with("FAILED")).cloned().collect::<Vec<_>>().join("\n")
}

#[test]
fn every_answer_of_the_reference_is_ours_or_a_deviation_on_purpose() {
    let all = files_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors"));
    let files = if all.is_empty() { sample() } else { all };
    let (tally, said) = checked(&files);
    assert_eq!(tally.failed, 0, "{}", failures(&said));
    assert!(tally.passed >= 50, "{tally}");
}

#[test]
fn the_sample_has_cases_of_every_kind_and_deviations() {
    let files = sample();
    let names: Vec<_> = files.iter().filter_map(|file| file.file_stem()?.to_str()).collect();
    assert_eq!(names, ["cron", "keys", "mappings", "windows"]);
    for file in files {
        let (tally, said) = checked(std::slice::from_ref(&file));
        assert_eq!(tally.failed, 0, "{}", failures(&said));
        assert!(tally.passed >= 10, "{}: {tally}", file.display());
        assert_eq!(tally.skipped > 0, file.ends_with("keys.jsonl"), "{}: {said:?}", file.display());
    }
}

#[test]
fn what_cannot_be_read_is_a_failure_and_the_counts_still_come() {
    let folder = std::env::temp_dir().join(format!("backstitch-vectors-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for a broken file");
    let broken = folder.join("broken.jsonl");
    let good = r#"{"id": "good", "cron": "0 0 * * *", "timezone": "UTC", "from_inclusive": "2024-01-01T00:00:00Z", "expect": ["2024-01-01T00:00:00Z"]}"#;
    let wrong = good.replace("\"good\"", "\"wrong\"").replace("[\"2024-01-01", "[\"2024-01-02");
    let mut bytes = format!("{good}\n\n{wrong}\nno case\n{{\"id\": \"half\"").into_bytes();
    bytes.extend([b'\n', 0xff, 0xfe, b'\n']);
    std::fs::write(&broken, bytes).expect("a broken file");
    let (tally, said) = checked(&[folder.join("absent.jsonl"), broken]);
    std::fs::remove_dir_all(&folder).expect("our own folder");
    assert_eq!(tally, Tally { passed: 1, failed: 5, skipped: 0 });
    assert!(said[0].contains("absent.jsonl: reading it:"), "{said:?}");
    assert!(
        said[1].starts_with("FAILED wrong\n  expected 2024-01-02T00:00:00Z\n  actual   2024-01-01"),
        "{said:?}"
    );
    assert!(
        said[2..].iter().all(|line| line.contains("broken.jsonl:") && line.contains("not a case")),
        "{said:?}"
    );
    assert_eq!(tally.to_string(), "1 passed, 5 failed");
}
