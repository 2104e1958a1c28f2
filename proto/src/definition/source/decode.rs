//! Types out of nodes, with every misfit and not only the first.
//!
//! Derived `Deserialize` stops at the first mistake. [`decode`] notes it, cuts the offending entry out of the tree
//! and tries again until the rest fits: the types stay plain serde types, and the checks that follow still see
//! everything that was right. Each round removes at least one node and the rounds are bounded, so it ends.

use serde::Deserialize;

use super::{
    super::{
        limits::PROBLEMS_MAX,
        problem::{FieldPath, Problem, Step},
    },
    de::MisfitKind,
    node::{Content, Node},
};

/// What came out of a tree.
pub(crate) struct Decoded<T> {
    /// The value made of everything that fitted; none if the root itself did not.
    pub(crate) value: Option<T>,
    /// What did not fit.
    pub(crate) problems: Vec<Problem>,
    /// What was cut out, so that later checks do not blame others for its absence.
    pub(crate) cut: Vec<FieldPath>,
}

/// Decodes `tree`, leaving in it only what fitted: paths into the value are paths into the tree.
pub(crate) fn decode<T: for<'de> Deserialize<'de>>(tree: &mut Node) -> Decoded<T> {
    let mut decoded = Decoded { value: None, problems: Vec::new(), cut: Vec::new() };
    while decoded.problems.len() < PROBLEMS_MAX {
        let misfit = match T::deserialize(&*tree) {
            Ok(value) => {
                decoded.value = Some(value);
                break;
            }
            Err(misfit) => misfit,
        };
        let mut path = FieldPath(misfit.path_inwards.into_iter().rev().collect());
        let mut known_cause = false;
        match misfit.kind {
            MisfitKind::Value => {
                // What does not fit after something was cut out of it mostly does not fit for that reason.
                known_cause = decoded.cut.iter().any(|cut| cut.is_within(&path));
                if !known_cause {
                    decoded.problems.push(placed(tree, &path, &path, &misfit.message));
                }
            }
            MisfitKind::Key => {
                let mut problem = Problem::new(path.clone(), misfit.message);
                problem.position = tree.key_position(&path);
                decoded.problems.push(problem);
            }
            MisfitKind::UnknownField { field, meant } => {
                let owner = path.clone();
                path = locate(tree, &path, &field);
                // What was meant is not missing too.
                decoded.cut.extend(meant.map(|meant| owner.key(meant)));
                let mut problem = placed(tree, &path, &owner, &misfit.message);
                problem.position = tree.key_position(&path).or(problem.position);
                decoded.problems.push(problem);
            }
            MisfitKind::MissingField(field) => {
                known_cause = decoded.cut.contains(&path.key(field));
                if !known_cause {
                    decoded.problems.push(placed(tree, &path, &path, &misfit.message));
                }
            }
        }
        let removed = tree.remove(&path);
        // The next item of a list takes the place of a cut one, and is judged afresh.
        decoded.cut.retain(|cut| !cut.is_within(&path));
        decoded.cut.push(path);
        if !removed {
            debug_assert!(known_cause || !decoded.problems.is_empty(), "a failed decoding has a reason");
            break;
        }
    }
    decoded
}

/// A problem at `path`, told as one of the field `owner`.
fn placed(tree: &Node, path: &FieldPath, owner: &FieldPath, message: &str) -> Problem {
    let mut problem = Problem::of_field(owner.clone(), message);
    problem.path = path.clone();
    problem.position = Some(tree.position(path));
    problem
}

/// The key `field` at `path`, or, where serde buffered the value and lost the steps, inside of it.
fn locate(tree: &Node, path: &FieldPath, field: &str) -> FieldPath {
    let direct = path.key(field);
    if tree.key_position(&direct).is_some() {
        return direct;
    }
    let Some(node) = path.0.iter().try_fold(tree, |node, step| node.child(step)) else {
        return path.clone();
    };
    let mut open = vec![(path.clone(), node)];
    while let Some((path, node)) = open.pop() {
        match &node.content {
            Content::Map(entries) => {
                if entries.iter().any(|entry| entry.key == field) {
                    return path.key(field);
                }
                open.extend(entries.iter().map(|entry| (path.key(&entry.key), &entry.value)));
            }
            Content::List(items) => {
                open.extend(items.iter().enumerate().map(|(index, item)| (path.index(index), item)));
            }
            Content::Null | Content::Scalar { .. } => {}
        }
    }
    path.clone()
}

impl Node {
    /// Cuts out what `path` names; false if there is nothing to cut, as for the root.
    fn remove(&mut self, path: &FieldPath) -> bool {
        let Some((last, parents)) = path.0.split_last() else { return false };
        let mut node = self;
        for step in parents {
            node = match (&mut node.content, step) {
                (Content::Map(entries), Step::Key(key)) => {
                    match entries.iter_mut().find(|entry| entry.key == *key) {
                        Some(entry) => &mut entry.value,
                        None => return false,
                    }
                }
                (Content::List(items), Step::Index(index)) => match items.get_mut(*index) {
                    Some(item) => item,
                    None => return false,
                },
                _ => return false,
            };
        }
        match (&mut node.content, last) {
            (Content::Map(entries), Step::Key(key)) => {
                let before = entries.len();
                entries.retain(|entry| entry.key != *key);
                entries.len() < before
            }
            (Content::List(items), Step::Index(index)) if *index < items.len() => {
                items.remove(*index);
                true
            }
            _ => false,
        }
    }
}
