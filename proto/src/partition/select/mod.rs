//! The text in which people name partitions, the same in CLI, API and UI.
//!
//! ```text
//! 2024-01-05                        one partition
//! 2024-01-01...2024-03-31           a range, both ends included; either end may be left out
//! 2024-01-*                         every key of that shape
//! us, eu                            any of a list
//! latest   latest:7   all           the newest, the newest seven, everything
//! date=2024-01-*  &  region=us,eu   by dimension; & means both
//! 2024-01-*, !2024-01-05            ! takes out, wherever it stands in the list
//! (us, eu) & !latest                brackets group
//! "quoted, key"                     a key with special characters; \" and \\ inside
//! ```
//!
//! A list in which everything is taken out begins with everything: `!eu` is all but `eu`. Behind
//! `name=`, commas continue that dimension's list until the next `name=`. Reading has two steps:
//! `syntax` knows no definition, `eval` turns what it read into a subset of one space. Nothing is
//! guessed: a reversed range, an end that does not exist, an unknown key are errors with their position.

mod eval;
mod lexer;
mod pattern;
mod syntax;

use std::fmt;
use std::ops::Range;

use super::error::KeyError;
use super::{PartitionSubset, Partitions};

pub(crate) use eval::Bounds;
pub(crate) use lexer::needs_quotes;

/// Longest selection that is read: a hundred thousand keys of ten characters.
pub const SELECTION_BYTES_MAX: usize = 1 << 20;

/// How deeply brackets and `!` may nest.
pub const SELECTION_DEPTH_MAX: usize = 32;

/// Why a selection selects nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct SelectError {
    /// The bytes of the text that are to blame.
    pub span: Range<usize>,
    /// The same place as people count: characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub problem: SelectProblem,
}

/// What is wrong with a selection.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SelectProblem {
    /// Nothing to read.
    #[error("the selection is empty; write all to select everything")]
    Empty,
    /// More text than is read.
    #[error("the selection has {bytes} bytes; the limit is {SELECTION_BYTES_MAX}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Brackets in brackets in brackets.
    #[error("nested more than {SELECTION_DEPTH_MAX} deep")]
    TooDeep,
    /// A quote that does not end.
    #[error("the quote is not closed")]
    OpenQuote,
    /// A bracket that does not end.
    #[error("the bracket is not closed")]
    OpenBracket,
    /// Something else should stand here.
    #[error("expected {expected}, found {found}")]
    Expected {
        /// What should.
        expected: &'static str,
        /// What does.
        found: String,
    },
    /// `latest:` without a sensible number.
    #[error("latest takes a number from 1 on, as in latest:7")]
    LatestCount,
    /// A wildcard as an end of a range.
    #[error("an end of a range is one key; a * cannot stand there")]
    WildcardInRange,
    /// A wildcard that nothing matches.
    #[error("no partition matches {pattern:?}")]
    NoMatch {
        /// As written.
        pattern: String,
    },
    /// A range whose end lies before its start.
    #[error("the range is reversed: {start:?} comes after {end:?}")]
    Reversed {
        /// As written.
        start: String,
        /// As written.
        end: String,
    },
    /// A dimension that does not exist.
    #[error("there is no dimension {name:?}; {known}")]
    UnknownDimension {
        /// As written.
        name: String,
        /// What there is.
        known: String,
    },
    /// A key that names nothing.
    #[error("{0}")]
    Key(KeyError),
    /// `latest` in a place that must mean the same tomorrow.
    #[error("latest changes with time and cannot stand here")]
    Moving,
}

impl fmt::Display for SelectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at character {}: {}", self.column, self.problem)
    }
}

impl std::error::Error for SelectError {}

impl SelectError {
    fn at(text: &str, span: Range<usize>, problem: SelectProblem) -> Self {
        let column = text.get(..span.start).map_or(1, |before| before.chars().count() + 1);
        Self { span, column, problem }
    }
}

impl Partitions {
    /// The partitions that a text names.
    pub fn parse(&self, text: &str) -> Result<PartitionSubset, SelectError> {
        self.select(text, Bounds::Existing)
    }

    pub(crate) fn select(&self, text: &str, bounds: Bounds) -> Result<PartitionSubset, SelectError> {
        let selection = syntax::read(text).map_err(|(span, problem)| SelectError::at(text, span, problem))?;
        eval::list(self, &selection, bounds).map_err(|(span, problem)| SelectError::at(text, span, problem))
    }
}

/// A problem and the bytes that are to blame, before the text is at hand.
type Located = (Range<usize>, SelectProblem);
