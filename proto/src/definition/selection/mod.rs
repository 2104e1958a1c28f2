//! Which assets: the text that people write on the command line, in jobs and in the API.
//!
//! ```text
//! selection := term { ("," | space) term }          union
//! term      := "*"                                  everything
//!            | [ "+" | "++" | "*" ] base [ "+" | "++" | "*" ]
//! base      := NAME | "group:" NAME | "tag:" KEY [ "=" VALUE ]
//! ```
//!
//! Before a base, `+` adds one level of upstreams and `++` or `*` all of them; behind it, the same for downstreams.
//! These are the forms that Dagster's users have in their fingers. There is no `not` and no `and` yet: they need
//! parentheses, and those need quoting in every shell.

use std::{
    collections::{BTreeMap, BTreeSet},
    str::FromStr,
};

use thiserror::Error;

use super::{name::AssetName, project::Project, suggest::did_you_mean};

/// A parsed selection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection(Vec<Term>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    up: Reach,
    base: Base,
    down: Reach,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Base {
    Everything,
    Asset(String),
    Group(String),
    Tag { key: String, value: Option<String> },
}

/// How far from the base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Nothing,
    OneLevel,
    All,
}

/// One thing that is wrong with a selection.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SelectionError {
    /// Nothing between the separators.
    #[error("the selection is empty (`*` selects every asset)")]
    Empty,
    /// A term of no known form.
    #[error("{term:?} is not a selection: {expected}")]
    Syntax {
        /// The term.
        term: String,
        /// What would be.
        expected: &'static str,
    },
    /// No asset of this name.
    #[error("asset {asset:?} is not defined{hint}")]
    NoSuchAsset {
        /// The name.
        asset: String,
        /// The nearest known one, or nothing.
        hint: String,
    },
    /// No asset is in this group.
    #[error("no asset is in group {group:?}{hint}")]
    NoSuchGroup {
        /// The group.
        group: String,
        /// The nearest known one, or nothing.
        hint: String,
    },
    /// No asset has this tag.
    #[error("no asset has the tag {tag:?}{hint}")]
    NoSuchTag {
        /// The tag.
        tag: String,
        /// The nearest known one, or nothing.
        hint: String,
    },
}

/// Everything that is wrong with a selection, one sentence per line.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct SelectionErrors(pub Vec<SelectionError>);

impl FromStr for Selection {
    type Err = SelectionErrors;

    fn from_str(text: &str) -> Result<Self, SelectionErrors> {
        let mut terms = Vec::new();
        let mut errors = Vec::new();
        for term in text.split(|c: char| c == ',' || c.is_whitespace()).filter(|term| !term.is_empty()) {
            match parse_term(term) {
                Ok(term) => terms.push(term),
                Err(expected) => errors.push(SelectionError::Syntax { term: term.to_owned(), expected }),
            }
        }
        if terms.is_empty() && errors.is_empty() {
            errors.push(SelectionError::Empty);
        }
        if errors.is_empty() { Ok(Self(terms)) } else { Err(SelectionErrors(errors)) }
    }
}

fn parse_term(term: &str) -> Result<Term, &'static str> {
    if term == "*" {
        return Ok(Term { up: Reach::Nothing, base: Base::Everything, down: Reach::Nothing });
    }
    let is_reach = |c: char| c == '+' || c == '*';
    let inner = term.trim_matches(is_reach);
    // `trim_matches` took as much as it could from both ends, so both halves are there.
    let (before, after) = term.split_once(inner).unwrap_or((term, ""));
    let base = match inner.split_once(':') {
        _ if inner.is_empty() => return Err("there is no asset between the `+` and `*`"),
        None if inner.contains(is_reach) => return Err("`+` and `*` stand before or behind a name"),
        None => Base::Asset(inner.to_owned()),
        Some((_, "")) => return Err("there is nothing behind the `:`"),
        Some(("group", group)) => Base::Group(group.to_owned()),
        Some(("tag", tag)) => match tag.split_once('=') {
            Some((key, value)) => Base::Tag { key: key.to_owned(), value: Some(value.to_owned()) },
            None => Base::Tag { key: tag.to_owned(), value: None },
        },
        Some(_) => return Err("before a `:` stands `group` or `tag`"),
    };
    Ok(Term { up: parse_reach(before)?, base, down: parse_reach(after)? })
}

fn parse_reach(text: &str) -> Result<Reach, &'static str> {
    match text {
        "" => Ok(Reach::Nothing),
        "+" => Ok(Reach::OneLevel),
        "++" | "*" => Ok(Reach::All),
        _ => Err("`+` is one level, `++` or `*` is every level"),
    }
}

impl Selection {
    /// The assets of `project` that are selected.
    ///
    /// # Errors
    /// Every term that selects nothing.
    pub fn resolve(&self, project: &Project) -> Result<BTreeSet<AssetName>, SelectionErrors> {
        let neighbours = Neighbours::of(project);
        let mut selected = BTreeSet::new();
        let mut errors = Vec::new();
        for term in &self.0 {
            match term.base.resolve(project) {
                Ok(base) => {
                    selected.extend(reach(&base, &neighbours.upstreams, term.up));
                    selected.extend(reach(&base, &neighbours.downstreams, term.down));
                }
                Err(error) => errors.push(error),
            }
        }
        if !errors.is_empty() {
            return Err(SelectionErrors(errors));
        }
        Ok(project.assets.keys().filter(|name| selected.contains(name.as_str())).cloned().collect())
    }
}

impl Base {
    fn resolve<'a>(&self, project: &'a Project) -> Result<BTreeSet<&'a str>, SelectionError> {
        let assets = || project.assets.iter().map(|(name, asset)| (name.as_str(), asset));
        let found: BTreeSet<&str> = match self {
            Self::Everything => return Ok(assets().map(|(name, _)| name).collect()),
            Self::Asset(wanted) => {
                assets().filter(|(name, _)| name == wanted).map(|(name, _)| name).collect()
            }
            Self::Group(wanted) => assets()
                .filter(|(_, asset)| asset.group.as_ref().is_some_and(|group| group.as_str() == wanted))
                .map(|(name, _)| name)
                .collect(),
            Self::Tag { key, value } => assets()
                .filter(|(_, asset)| {
                    asset.tags.get(key).is_some_and(|tag| value.as_ref().is_none_or(|wanted| tag == wanted))
                })
                .map(|(name, _)| name)
                .collect(),
        };
        if found.is_empty() { Err(self.nothing_found(project)) } else { Ok(found) }
    }

    fn nothing_found(&self, project: &Project) -> SelectionError {
        let assets = project.assets.values();
        match self {
            Self::Everything => SelectionError::Empty,
            Self::Asset(asset) => {
                let hint = did_you_mean(asset, project.assets.keys().map(AssetName::as_str));
                SelectionError::NoSuchAsset { asset: asset.clone(), hint }
            }
            Self::Group(group) => {
                let known = assets.filter_map(|asset| asset.group.as_ref()).map(|group| group.as_str());
                SelectionError::NoSuchGroup { group: group.clone(), hint: did_you_mean(group, known) }
            }
            Self::Tag { key, value } => {
                let written = |key: &String, value: &String| format!("{key}={value}");
                let known: BTreeSet<String> = assets
                    .flat_map(|asset| &asset.tags)
                    .map(|(key, tag)| if value.is_some() { written(key, tag) } else { key.clone() })
                    .collect();
                let tag = value.as_ref().map_or_else(|| key.clone(), |value| written(key, value));
                let hint = did_you_mean(&tag, known.iter().map(String::as_str));
                SelectionError::NoSuchTag { tag, hint }
            }
        }
    }
}

/// Who is next to whom, both ways.
#[derive(Default)]
struct Neighbours<'a> {
    upstreams: BTreeMap<&'a str, Vec<&'a str>>,
    downstreams: BTreeMap<&'a str, Vec<&'a str>>,
}

impl<'a> Neighbours<'a> {
    fn of(project: &'a Project) -> Self {
        let mut neighbours = Self::default();
        for (name, asset) in &project.assets {
            for dep in &asset.deps {
                neighbours.upstreams.entry(name.as_str()).or_default().push(dep.asset.as_str());
                neighbours.downstreams.entry(dep.asset.as_str()).or_default().push(name.as_str());
            }
        }
        neighbours
    }
}

/// `base` and what is within `far` of it.
fn reach<'a>(
    base: &BTreeSet<&'a str>,
    next: &BTreeMap<&'a str, Vec<&'a str>>,
    far: Reach,
) -> BTreeSet<&'a str> {
    let mut reached = base.clone();
    let mut frontier: Vec<&str> = match far {
        Reach::Nothing => Vec::new(),
        Reach::OneLevel | Reach::All => base.iter().copied().collect(),
    };
    while let Some(asset) = frontier.pop() {
        for &neighbour in next.get(asset).into_iter().flatten() {
            if reached.insert(neighbour) && far == Reach::All {
                frontier.push(neighbour);
            }
        }
    }
    reached
}

#[cfg(test)]
mod tests;
