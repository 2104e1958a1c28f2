//! Checks files of cases, one after the other, and counts. Nothing stops it: a file that cannot be read and a line
//! that is no case are failures like a wrong answer.

use std::fmt;
use std::path::Path;

use crate::cases::Case;
use crate::deviations::Deviations;

const DEVIATIONS: &str = include_str!("deviations.txt");

/// Outcomes so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    /// Deviations on purpose.
    pub(crate) skipped: u64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.skipped > 0 {
            writeln!(f, "{} skipped: deviations on purpose", self.skipped)?;
        }
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// Checks every case of some files; `say` is told of each that did not pass.
pub(crate) fn files<P: AsRef<Path>>(
    files: impl IntoIterator<Item = P>,
    mut say: impl FnMut(String),
) -> Tally {
    let deviations = Deviations::read(DEVIATIONS);
    let mut tally = Tally::default();
    for file in files {
        let name = file.as_ref().display().to_string();
        match std::fs::read(&file) {
            Ok(bytes) => lines(&name, &bytes, &deviations, &mut tally, &mut say),
            Err(error) => {
                say(format!("FAILED {name}: reading it: {error}"));
                tally.failed += 1;
            }
        }
    }
    tally
}

/// Checks every line of a file, whose bytes may be anyone's.
fn lines(
    name: &str,
    bytes: &[u8],
    deviations: &Deviations<'_>,
    tally: &mut Tally,
    say: &mut impl FnMut(String),
) {
    for (number, line) in (1..).zip(bytes.split(|&byte| byte == b'\n')) {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let case: Case = match serde_json::from_slice(line) {
            Ok(case) => case,
            Err(error) => {
                say(format!("FAILED {name}:{number}: not a case: {error}"));
                tally.failed += 1;
                continue;
            }
        };
        let Err(difference) = case.check() else {
            tally.passed += 1;
            continue;
        };
        if let Some(reason) = deviations.reason(&case, &difference) {
            say(format!("skipped {}: {reason}", case.id));
            tally.skipped += 1;
            continue;
        }
        tally.failed += 1;
        say(format!(
            "FAILED {}\n  expected {}\n  actual   {}",
            case.id, difference.expected, difference.actual
        ));
    }
}
