//! The tree, and how serde-saphyr's events become one.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::{
    DuplicateKeyPolicy, Location, MessageFormatter, Spanned, UserMessageFormatter, granit_parser,
};

use super::{
    super::{
        limits::FILE_BYTES_MAX,
        problem::{FieldPath, Position, Problem, Step},
    },
    duplicates,
};

/// Deepest nesting of a project file; the deepest field has eight levels.
const DEPTH_MAX: usize = 64;
/// Nodes of one file: twice what 10,000 assets with every field have.
const NODES_MAX: usize = 1_000_000;
/// Parser events that aliases may replay: sharing is for a few settings, and a bomb goes off early.
const REPLAYED_EVENTS_MAX: usize = 100_000;

/// A value with its place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(super) at: Position,
    pub(super) content: Content,
}

/// What a node holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Content {
    Null,
    Scalar { text: String, kind: ScalarKind },
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// What a scalar is where no type says what it should be (quoted and block scalars are always text).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum ScalarKind {
    Text,
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
}

/// A key and its value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_at: Position,
    pub(super) value: Node,
}

impl Node {
    /// The entry or item one step in.
    pub(super) fn child(&self, step: &Step) -> Option<&Self> {
        match (&self.content, step) {
            (Content::Map(entries), Step::Key(key)) => {
                entries.iter().find(|entry| entry.key == *key).map(|entry| &entry.value)
            }
            (Content::List(items), Step::Index(index)) => items.get(*index),
            _ => None,
        }
    }

    /// Where `path` stands, or the nearest place around it that is written down.
    pub(crate) fn position(&self, path: &FieldPath) -> Position {
        let mut node = self;
        let mut position = self.at;
        for step in &path.0 {
            let Some(child) = node.child(step) else { break };
            // A mapping is best shown at its key: its own place is the first key inside of it.
            position = match (&node.content, &child.content, step) {
                (Content::Map(entries), Content::Map(_) | Content::Null, Step::Key(key)) => {
                    entries.iter().find(|entry| entry.key == *key).map_or(child.at, |entry| entry.key_at)
                }
                _ => child.at,
            };
            node = child;
        }
        position
    }

    /// Where the key that `path` ends with stands.
    pub(super) fn key_position(&self, path: &FieldPath) -> Option<Position> {
        let (last, parents) = path.0.split_last()?;
        let parent = parents.iter().try_fold(self, |node, step| node.child(step))?;
        match (&parent.content, last) {
            (Content::Map(entries), Step::Key(key)) => {
                entries.iter().find(|entry| entry.key == *key).map(|entry| entry.key_at)
            }
            _ => None,
        }
    }
}

/// Parses a text into a tree, together with the duplicate keys in it (the first of each is kept).
///
/// # Errors
/// The one problem of a text that is too large or no YAML.
pub(crate) fn parse(text: &str) -> Result<(Node, Vec<Problem>), Problem> {
    if text.len() > FILE_BYTES_MAX {
        let size = text.len();
        let message = format!("the file has {size} bytes, more than the limit of {FILE_BYTES_MAX}");
        return Err(Problem::new(FieldPath::default(), message));
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_depth: DEPTH_MAX, max_nodes: NODES_MAX, max_documents: 1 },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: REPLAYED_EVENTS_MAX },
        duplicate_keys: DuplicateKeyPolicy::FirstWins,
        strict_booleans: true,
        with_snippet: false,
    };
    let raw: Spanned<Raw> = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let message = UserMessageFormatter.format_message(error.without_snippet()).into_owned();
        let position = error.location().map(position_of);
        Problem { path: FieldPath::default(), position, message: format!("not valid YAML: {message}") }
    })?;
    let events = granit_parser::Parser::new_from_str(text);
    Ok((node(raw, text), duplicates::find(events)))
}

fn position_of(location: Location) -> Position {
    let number = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    Position { line: number(location.line()), column: number(location.column()) }
}

/// What serde-saphyr says about a value before its spelling is looked up.
enum Raw {
    Null,
    Scalar(ScalarKind, Option<String>),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

/// Attaches places and spellings.
fn node(raw: Spanned<Raw>, text: &str) -> Node {
    let content = match raw.value {
        Raw::Null => Content::Null,
        Raw::Scalar(kind, Some(text)) => Content::Scalar { text, kind },
        // Only plain scalars on one line are anything but text, so the span of the source is the spelling.
        Raw::Scalar(kind, None) => Content::Scalar { text: spelling(raw.defined, text), kind },
        Raw::List(items) => Content::List(items.into_iter().map(|item| node(item, text)).collect()),
        Raw::Map(entries) => Content::Map(
            entries
                .into_iter()
                .map(|(key, value)| Entry {
                    key_at: position_of(key.referenced),
                    key: key.value,
                    value: node(value, text),
                })
                .collect(),
        ),
    };
    Node { at: position_of(raw.referenced), content }
}

fn spelling(location: Location, text: &str) -> String {
    let span = location.span();
    let bytes = span.byte_offset().zip(span.byte_len());
    let range = bytes.and_then(|(start, len)| {
        let start = usize::try_from(start).ok()?;
        Some(start..start + usize::try_from(len).ok()?)
    });
    range.and_then(|range| text.get(range)).unwrap_or_default().trim().to_owned()
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Scalar(ScalarKind::Bool(value), None))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Scalar(ScalarKind::Signed(value), None))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Scalar(ScalarKind::Unsigned(value), None))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Scalar(ScalarKind::Float(value), None))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Scalar(ScalarKind::Text, Some(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}
