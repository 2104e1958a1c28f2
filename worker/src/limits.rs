//! Every bound of a worker, with its reason.
//!
//! Asset code is a stranger: it prints without end, reports megabytes, writes bytes that are no text. What leaves
//! the worker is bounded and is valid text here, once, so that no report outgrows a message
//! (`proto::message::codec::BODY_BYTES_MAX`) and no ledger meets a character that it cannot store.

use backstitch_proto::message::{CheckResult, Failure, MetadataValue, Outcome, Output};

/// Beginning of what an execution prints that is kept: the command line errors and the versions are there.
pub(crate) const OUTPUT_HEAD_BYTES: usize = 16 << 10;

/// End of what an execution prints that is kept: the error is there.
pub(crate) const OUTPUT_TAIL_BYTES: usize = 48 << 10;

/// Longest failure message, as promised in `proto::message::Failure`.
pub(crate) const MESSAGE_BYTES: usize = 4 << 10;

/// Longest failure detail: a deep stack trace fits.
pub(crate) const DETAIL_BYTES: usize = 32 << 10;

/// Most metadata entries of one materialization or check: more is data, not metadata.
pub(crate) const METADATA_ENTRIES: usize = 256;

/// Most bytes of metadata of one materialization or check: a table of a hundred rows fits.
pub(crate) const METADATA_BYTES: usize = 64 << 10;

/// Most checks that one task reports.
pub(crate) const CHECKS: usize = 64;

/// Longest name of a metadata entry or check, and longest data version.
pub(crate) const NAME_BYTES: usize = 1 << 10;

/// Longest line of the Pipes message channel; a longer one is skipped with a warning.
pub(crate) const PIPES_LINE_BYTES: usize = 1 << 20;

/// Stands at the end of a text that was cut, within its bound.
const CUT: &str = " … (cut)";

/// `text` cut to `max` bytes at a character boundary, without NUL characters, which Postgres cannot store.
pub(crate) fn bounded(mut text: String, max: usize) -> String {
    if text.contains('\0') {
        text = text.replace('\0', "\u{fffd}");
    }
    if text.len() > max {
        let mut end = max.saturating_sub(CUT.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str(CUT);
    }
    text
}

/// A failure within bounds.
pub(crate) fn bounded_failure(failure: Failure) -> Failure {
    Failure {
        message: bounded(failure.message, MESSAGE_BYTES),
        detail: failure.detail.map(|detail| bounded(detail, DETAIL_BYTES)),
        ..failure
    }
}

/// Metadata within bounds: what is over is left out, the first entries stay. Also says how many were left out.
pub(crate) fn bounded_metadata(
    metadata: Vec<(String, MetadataValue)>,
) -> (Vec<(String, MetadataValue)>, usize) {
    let offered = metadata.len();
    let mut bytes = 0;
    let kept: Vec<_> = metadata
        .into_iter()
        .take(METADATA_ENTRIES)
        .filter_map(|(name, value)| {
            let size = name.len() + value_bytes(&value);
            // A value that was cut would be another value: it is kept whole or not at all.
            (bytes + size <= METADATA_BYTES && name.len() <= NAME_BYTES).then(|| {
                bytes += size;
                (bounded(name, NAME_BYTES), storable(value))
            })
        })
        .collect();
    let left_out = offered - kept.len();
    (kept, left_out)
}

/// Checks within bounds: their metadata together is no more than that of one materialization.
pub(crate) fn bounded_checks(checks: Vec<CheckResult>) -> Vec<CheckResult> {
    let mut room = METADATA_BYTES;
    checks
        .into_iter()
        .take(CHECKS)
        .map(|check| CheckResult {
            name: bounded(check.name, NAME_BYTES),
            metadata: bounded_metadata(check.metadata)
                .0
                .into_iter()
                .filter(|(name, value)| {
                    let size = name.len() + value_bytes(value);
                    let fits = size <= room;
                    room -= if fits { size } else { 0 };
                    fits
                })
                .collect(),
            ..check
        })
        .collect()
}

/// An upper bound of the bytes that `outcome` takes in a report.
pub(crate) fn outcome_bytes(outcome: &Outcome) -> usize {
    /// Ordinal, times, tags and length prefixes of one outcome, each at its longest.
    const FIXED: usize = 96;
    /// Tags and length prefixes of one entry of metadata.
    const ENTRY: usize = 32;
    let metadata = |entries: &[(String, MetadataValue)]| -> usize {
        entries.iter().map(|(name, value)| ENTRY + name.len() + value_bytes(value)).sum()
    };
    let verdict = match &outcome.verdict {
        backstitch_proto::message::Verdict::Failed(failure) => {
            failure.message.len() + failure.detail.as_ref().map_or(0, String::len)
        }
        _ => 0,
    };
    FIXED
        + verdict
        + metadata(&outcome.metadata)
        + outcome.data_version.as_ref().map_or(0, String::len)
        + outcome.checks.iter().map(|c| ENTRY + c.name.len() + metadata(&c.metadata)).sum::<usize>()
        + outcome.output.as_ref().map_or(0, |Output { text, .. }| text.len())
}

fn value_bytes(value: &MetadataValue) -> usize {
    match value {
        MetadataValue::Text(text) => text.len(),
        MetadataValue::Typed { kind, json } => kind.len() + json.len(),
        _ => 8,
    }
}

fn storable(value: MetadataValue) -> MetadataValue {
    match value {
        MetadataValue::Text(text) => MetadataValue::Text(bounded(text, METADATA_BYTES)),
        MetadataValue::Typed { kind, json } => {
            MetadataValue::Typed { kind: bounded(kind, NAME_BYTES), json: bounded(json, METADATA_BYTES) }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters_and_says_so() {
        let cut = bounded("ä".repeat(100), 51);
        assert!(cut.len() <= 51 && cut.ends_with("(cut)"), "{cut}");
        assert_eq!(bounded("short".into(), 51), "short");
    }

    #[test]
    fn a_nul_character_never_reaches_the_ledger() {
        assert_eq!(bounded("a\0b".into(), 10), "a\u{fffd}b");
        let cut = bounded("\0".repeat(51), 51);
        assert!(cut.len() <= 51 && cut.ends_with("(cut)"), "what stands for it is longer: {cut}");
    }

    #[test]
    fn a_metadata_value_that_is_too_large_is_left_out_and_its_neighbours_stay() {
        let large = ("large".to_owned(), MetadataValue::Text("x".repeat(METADATA_BYTES)));
        let small = ("rows".to_owned(), MetadataValue::Int(3));
        let (kept, left_out) = bounded_metadata(vec![large, small.clone()]);
        assert_eq!((kept, left_out), (vec![small], 1));
    }
}
