//! Words and signs of a selection.

use std::ops::Range;

use super::{Located, SELECTION_BYTES_MAX, SelectProblem};
use crate::partition::keys::RANGE_SEPARATOR;

/// A sign or a word, and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) span: Range<usize>,
    pub(super) kind: TokenKind,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum TokenKind {
    Comma,
    And,
    Not,
    Equals,
    Open,
    Close,
    Ellipsis,
    Word(Word),
    End,
}

/// A key, or a pattern of keys: literal pieces with anything between them.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Word {
    /// At least one; with a wildcard between each two.
    pub(super) pieces: Vec<String>,
    /// Whether any of it was quoted, so that it is no keyword.
    pub(super) quoted: bool,
}

impl Word {
    /// The key, if there is no wildcard.
    pub(super) fn key(&self) -> Option<&str> {
        match &self.pieces[..] {
            [key] => Some(key),
            _ => None,
        }
    }

    /// As it was written, quotes aside.
    pub(super) fn text(&self) -> String {
        self.pieces.join("*")
    }
}

impl TokenKind {
    /// How an error message names it.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Comma => "a comma".to_owned(),
            Self::And => "&".to_owned(),
            Self::Not => "!".to_owned(),
            Self::Equals => "=".to_owned(),
            Self::Open => "(".to_owned(),
            Self::Close => ")".to_owned(),
            Self::Ellipsis => RANGE_SEPARATOR.to_owned(),
            Self::Word(word) => format!("{:?}", word.text()),
            Self::End => "the end".to_owned(),
        }
    }
}

/// Whether a key must be quoted to be read as itself.
pub(crate) fn needs_quotes(key: &str) -> bool {
    let keyword = key == "all" || key == "latest" || key.starts_with("latest:");
    let special =
        key.contains(['"', ',', '&', '!', '(', ')', '=', '*', '\\']) || key.contains(RANGE_SEPARATOR);
    // Beside the sign of a range, a dot at an end would be taken for a part of the sign.
    let dotted = key.starts_with('.') || key.ends_with('.');
    keyword || special || dotted || key.is_empty() || key.trim() != key
}

/// Cuts a text into tokens; the last one is `End`.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, Located> {
    if text.len() > SELECTION_BYTES_MAX {
        return Err((0..0, SelectProblem::TooLong { bytes: text.len() }));
    }
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let sign = match c {
            _ if c.is_whitespace() => {
                at += c.len_utf8();
                continue;
            }
            _ if text[at..].starts_with(RANGE_SEPARATOR) => {
                Some((TokenKind::Ellipsis, RANGE_SEPARATOR.len()))
            }
            ',' => Some((TokenKind::Comma, 1)),
            '&' => Some((TokenKind::And, 1)),
            '!' => Some((TokenKind::Not, 1)),
            '=' => Some((TokenKind::Equals, 1)),
            '(' => Some((TokenKind::Open, 1)),
            ')' => Some((TokenKind::Close, 1)),
            _ => None,
        };
        let (kind, len) = match sign {
            Some(sign) => sign,
            None => word(text, at)?,
        };
        tokens.push(Token { span: at..at + len, kind });
        at += len;
    }
    tokens.push(Token { span: text.len()..text.len(), kind: TokenKind::End });
    Ok(tokens)
}

/// Reads the word that begins at a byte, and how many bytes it takes.
fn word(text: &str, begin: usize) -> Result<(TokenKind, usize), Located> {
    let mut pieces = vec![String::new()];
    let mut quoted = false;
    let mut at = begin;
    // Blanks inside a word belong to it, blanks behind it do not.
    let mut blanks = String::new();
    let mut end = begin;
    while let Some(c) = text[at..].chars().next() {
        let stop = matches!(c, ',' | '&' | '=' | '(' | ')') || text[at..].starts_with(RANGE_SEPARATOR);
        if stop {
            break;
        }
        if c.is_whitespace() {
            blanks.push(c);
            at += c.len_utf8();
            continue;
        }
        // There is always a piece: the list begins with one and only grows.
        let mut piece = pieces.pop().unwrap_or_default();
        piece.push_str(&std::mem::take(&mut blanks));
        match c {
            '"' => {
                quoted = true;
                at = quote(text, at, &mut piece)?;
                pieces.push(piece);
            }
            '*' => {
                pieces.extend([piece, String::new()]);
                at += 1;
            }
            c => {
                piece.push(c);
                pieces.push(piece);
                at += c.len_utf8();
            }
        }
        end = at;
    }
    Ok((TokenKind::Word(Word { pieces, quoted }), end - begin))
}

/// Reads a quoted piece; returns the byte behind its closing quote.
fn quote(text: &str, open: usize, piece: &mut String) -> Result<usize, Located> {
    let mut chars = text[open + 1..].char_indices();
    while let Some((index, c)) = chars.next() {
        match c {
            '"' => return Ok(open + 1 + index + 1),
            '\\' => match chars.next() {
                Some((_, escaped)) => piece.push(escaped),
                None => break,
            },
            c => piece.push(c),
        }
    }
    Err((open..text.len(), SelectProblem::OpenQuote))
}
