//! Keys written twice in one mapping.
//!
//! serde-saphyr can refuse the first duplicate or keep one of the two, but not list them all, so this walks the
//! parser's events once more. Both places are told: two assets of one name are usually far apart.

use std::{borrow::Cow, collections::HashMap};

use serde_saphyr::granit_parser::{BorrowedInput, Event, Parser, Span};

use super::super::problem::{FieldPath, Position, Problem, Step};

/// One open mapping or list.
enum Frame {
    Map { seen: HashMap<String, Position>, key: Option<String> },
    List { index: usize },
}

/// Every duplicate key of a text that is known to parse.
pub(super) fn find<'input, T: BorrowedInput<'input>>(events: Parser<'input, T>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut frames: Vec<Frame> = Vec::new();
    for (event, span) in events.map_while(Result::ok) {
        match event {
            Event::MappingStart(..) => frames.push(Frame::Map { seen: HashMap::new(), key: None }),
            Event::SequenceStart(..) => frames.push(Frame::List { index: 0 }),
            Event::MappingEnd | Event::SequenceEnd => {
                frames.pop();
                close_value(&mut frames);
            }
            Event::Scalar(text, ..) => scalar(&mut frames, text, &span, &mut problems),
            Event::Alias(_) => close_value(&mut frames),
            _ => {}
        }
    }
    problems
}

/// A scalar is the key of the innermost mapping if that waits for one, and a value otherwise.
fn scalar(frames: &mut [Frame], text: Cow<'_, str>, span: &Span, problems: &mut Vec<Problem>) {
    let Some(Frame::Map { seen, key: key @ None }) = frames.last_mut() else {
        close_value(frames);
        return;
    };
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    let here = Position { line: number(span.start.line()), column: number(span.start.col() + 1) };
    let text = text.into_owned();
    let first = seen.get(&text).copied();
    *key = Some(text.clone());
    // A second merge key is for the parser to judge.
    match first {
        Some(first) if text != "<<" => problems.push(duplicate(&path(frames), &text, first, here)),
        Some(_) => {}
        None => {
            // Looked up again because the first borrow ended at the push above.
            if let Some(Frame::Map { seen, .. }) = frames.last_mut() {
                seen.insert(text, here);
            }
        }
    }
}

/// A value ended: its mapping waits for the next key, its list for the next item.
fn close_value(frames: &mut [Frame]) {
    match frames.last_mut() {
        Some(Frame::Map { key, .. }) => *key = None,
        Some(Frame::List { index }) => *index += 1,
        None => {}
    }
}

fn path(frames: &[Frame]) -> FieldPath {
    let step = |frame: &Frame| match frame {
        Frame::Map { key, .. } => key.clone().map(Step::Key),
        Frame::List { index } => Some(Step::Index(*index)),
    };
    FieldPath(frames.iter().filter_map(step).collect())
}

fn duplicate(path: &FieldPath, key: &str, first: Position, here: Position) -> Problem {
    let message = match path.subject() {
        Some((subject, rest)) if rest.0.is_empty() => {
            format!("{subject} is defined twice (first at line {})", first.line)
        }
        Some((subject, _)) => format!("{subject}: {key:?} is given twice (first at line {})", first.line),
        None => format!("{key:?} is given twice (first at line {})", first.line),
    };
    Problem { path: path.clone(), position: Some(here), message }
}
