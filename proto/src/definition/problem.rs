//! What is wrong with a project: every problem at once, each with its place.
//!
//! A problem is found under a [`FieldPath`] (`assets.daily_temp.deps[1]`). Where the project was read from a file
//! the path is looked up there and the person sees `file:line:column`; a project built in Rust has no file, and
//! the person sees the path instead. So the checks know nothing of files.

use std::fmt;

use super::limits::PROBLEMS_MAX;

/// One step into a project: a key of a mapping or an index of a list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// A mapping's key.
    Key(String),
    /// A list's index, from 0.
    Index(usize),
}

/// Where in a project something is, as steps from its root.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldPath(pub(crate) Vec<Step>);

impl FieldPath {
    /// The path of `keys`, each a mapping's key.
    pub(crate) fn of(keys: &[&str]) -> Self {
        Self(keys.iter().map(|key| Step::Key((*key).to_owned())).collect())
    }

    /// One key further in.
    #[must_use]
    pub(crate) fn key(&self, key: &str) -> Self {
        self.then(Step::Key(key.to_owned()))
    }

    /// One list item further in.
    #[must_use]
    pub(crate) fn index(&self, index: usize) -> Self {
        self.then(Step::Index(index))
    }

    /// Further in by a written path such as `dimensions.date.exclude[2]`, as [`FieldPath`] itself is shown.
    #[must_use]
    pub(crate) fn written(&self, rest: &str) -> Self {
        rest.split('.').filter(|part| !part.is_empty()).fold(self.clone(), |path, part| {
            let (key, index) = part.split_once('[').unwrap_or((part, ""));
            match index.trim_end_matches(']').parse() {
                Ok(index) => path.key(key).index(index),
                Err(_) => path.key(key),
            }
        })
    }

    fn then(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    /// Whether this path is `other` or lies inside of it.
    pub(crate) fn is_within(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }

    /// The named thing that the path lies in, as people call it (`asset "daily_temp"`), and the rest of the path.
    pub(crate) fn subject(&self) -> Option<(String, Self)> {
        let [Step::Key(section), Step::Key(name), rest @ ..] = self.0.as_slice() else {
            return None;
        };
        let kind = match section.as_str() {
            "assets" => "asset",
            "jobs" => "job",
            "pools" => "pool",
            "queues" => "queue",
            "partitions" => "partitions",
            "calendars" => "calendar",
            _ => return None,
        };
        Some((format!("{kind} {name:?}"), Self(rest.to_vec())))
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if position == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// A place in a text: both numbers count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line.
    pub line: u32,
    /// Column.
    pub column: u32,
}

/// One thing that is wrong, in a sentence that names the thing and the mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where in the project; empty for the file as a whole.
    pub path: FieldPath,
    /// Where in the file, when there is one.
    pub position: Option<Position>,
    /// What is wrong.
    pub message: String,
}

impl Problem {
    /// A problem of the value at `path`.
    pub(crate) fn new(path: FieldPath, message: impl Into<String>) -> Self {
        Self { path, position: None, message: message.into() }
    }

    /// A problem of a field, told with the thing that the field belongs to: `asset "a": timeout: ...`.
    pub(crate) fn of_field(path: FieldPath, message: impl fmt::Display) -> Self {
        let said = match path.subject() {
            Some((subject, rest)) if rest.0.is_empty() => format!("{subject}: {message}"),
            Some((subject, rest)) => format!("{subject}: {rest}: {message}"),
            None if path.0.is_empty() => message.to_string(),
            None => format!("{path}: {message}"),
        };
        Self::new(path, said)
    }
}

/// Everything that is wrong with a project: at least one problem, in the order of the file, and no more than
/// [`PROBLEMS_MAX`] of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    file: Option<String>,
    list: Vec<Problem>,
    left_out: usize,
}

impl Problems {
    /// Puts them in order; `list` has at least one.
    pub(crate) fn new(file: Option<&str>, mut list: Vec<Problem>) -> Self {
        // Stable, so that without positions the order of the checks stays.
        list.sort_by_key(|problem| problem.position);
        list.dedup();
        let left_out = list.len().saturating_sub(PROBLEMS_MAX);
        list.truncate(PROBLEMS_MAX);
        Self { file: file.map(ToOwned::to_owned), list, left_out }
    }

    /// The problems, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (count, problem) in self.list.iter().enumerate() {
            if count > 0 {
                f.write_str("\n")?;
            }
            match (&self.file, problem.position) {
                (Some(file), Some(at)) => write!(f, "{file}:{}:{}: ", at.line, at.column)?,
                (Some(file), None) => write!(f, "{file}: ")?,
                (None, _) => {}
            }
            f.write_str(&problem.message)?;
        }
        if self.left_out > 0 {
            write!(f, "\n... and {} more", self.left_out)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
