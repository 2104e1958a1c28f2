//! What an execution prints, in bounded memory: the beginning and the end, the middle counted and dropped.
//!
//! Standard output, standard error, log messages and warnings of the worker share one capture in the order in
//! which they arrive, as a person at a terminal would see them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use backstitch_proto::message::Output;

use crate::limits::{OUTPUT_HEAD_BYTES, OUTPUT_TAIL_BYTES};

/// A capture that several streams write to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Capture(Arc<Mutex<HeadTail>>);

impl Capture {
    /// Adds bytes that a stream printed.
    pub(crate) fn push(&self, bytes: &[u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(bytes);
    }

    /// Adds a line of the worker's own, on a line of its own.
    pub(crate) fn line(&self, line: &str) {
        let mut buffer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !buffer.at_line_start() {
            buffer.push(b"\n");
        }
        buffer.push(line.as_bytes());
        buffer.push(b"\n");
    }

    /// What was printed so far; `None` for nothing.
    pub(crate) fn output(&self) -> Option<Output> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).output()
    }
}

#[derive(Debug, Default)]
struct HeadTail {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    omitted: u64,
}

impl HeadTail {
    fn push(&mut self, mut bytes: &[u8]) {
        let room = OUTPUT_HEAD_BYTES - self.head.len();
        let (first, rest) = bytes.split_at(room.min(bytes.len()));
        self.head.extend_from_slice(first);
        bytes = rest;
        if bytes.len() > OUTPUT_TAIL_BYTES {
            let skipped = bytes.len() - OUTPUT_TAIL_BYTES;
            self.omitted += skipped as u64;
            bytes = &bytes[skipped..];
        }
        let overflow = (self.tail.len() + bytes.len()).saturating_sub(OUTPUT_TAIL_BYTES);
        self.tail.drain(..overflow);
        self.omitted += overflow as u64;
        self.tail.extend(bytes);
    }

    fn at_line_start(&self) -> bool {
        self.tail.back().or(self.head.last()).is_none_or(|&byte| byte == b'\n')
    }

    fn output(&self) -> Option<Output> {
        if self.head.is_empty() {
            return None;
        }
        let tail: Vec<u8> = self.tail.iter().copied().collect();
        let text = if self.omitted == 0 {
            // The seam may lie inside a character.
            text(&[self.head.as_slice(), tail.as_slice()].concat())
        } else {
            format!("{}\n… {} bytes left out …\n{}", text(&self.head), self.omitted, text(&tail))
        };
        Some(Output { text, omitted_bytes: self.omitted })
    }
}

/// Invalid bytes become U+FFFD, at most three bytes for one; so does NUL, which Postgres cannot store.
fn text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text.into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_output_is_kept_whole_across_the_seam() {
        let capture = Capture::default();
        let printed = "ä".repeat(OUTPUT_HEAD_BYTES);
        for chunk in printed.as_bytes().chunks(7) {
            capture.push(chunk);
        }
        assert_eq!(capture.output(), Some(Output { text: printed, omitted_bytes: 0 }));
    }

    #[test]
    fn a_long_output_keeps_both_ends_and_counts_the_rest() {
        let capture = Capture::default();
        capture.push(b"first");
        for _ in 0..1_000 {
            capture.push(&[b'x'; 1_000]);
        }
        capture.push(b"last");
        let output = capture.output().unwrap();
        assert!(output.text.starts_with("first") && output.text.ends_with("last"));
        let kept = (OUTPUT_HEAD_BYTES + OUTPUT_TAIL_BYTES) as u64;
        assert_eq!(output.omitted_bytes, 1_000_009 - kept);
        assert!(output.text.len() as u64 <= kept + 64);
    }

    #[test]
    fn one_huge_chunk_is_as_many_small_ones() {
        let capture = Capture::default();
        capture.push(&vec![b'y'; 10 << 20]);
        assert_eq!(
            capture.output().unwrap().omitted_bytes,
            (10 << 20) - (OUTPUT_HEAD_BYTES + OUTPUT_TAIL_BYTES) as u64
        );
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        let capture = Capture::default();
        capture.push(b"a\xff\0b");
        assert_eq!(capture.output().unwrap().text, "a\u{fffd}\u{fffd}b");
    }

    #[test]
    fn a_line_of_the_worker_starts_on_its_own_line() {
        let capture = Capture::default();
        capture.push(b"half");
        capture.line("warning");
        assert_eq!(capture.output().unwrap().text, "half\nwarning\n");
    }
}
