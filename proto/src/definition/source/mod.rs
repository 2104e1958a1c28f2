//! A YAML text as a tree that remembers where everything stood.
//!
//! Typed decoding straight from YAML stops at the first mistake, and people mend a file faster when they see all
//! of them. So reading has two steps: serde-saphyr parses the text into [`Node`]s (with its budget against
//! hostile input, its anchors and merge keys), and [`decode`] turns the nodes into types, cutting out what does
//! not fit and going on. Scalars keep their spelling: `code_version: 1.10` is the text `1.10` where a text is
//! wanted, a number where a number is.
//!
//! A text that is not YAML at all has one problem: the place where it stops being YAML.

mod de;
mod decode;
mod duplicates;
mod node;

pub(crate) use decode::decode;
pub(crate) use node::parse;
