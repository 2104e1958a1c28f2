//! Whether the parts of a project fit together.
//!
//! Every check runs, whatever the others found, and looks only at what it can know: where a part was cut out
//! because it could not even be read, nobody else is blamed for its absence. Checks say what is wrong at which
//! path; lines and columns are looked up by the caller.

mod asset;
mod calendar;
mod command;
mod config;
mod deps;
mod job;
mod text;

use std::collections::BTreeSet;

use super::{
    calendars,
    definitions::Definitions,
    limits::{ASSETS_MAX, JOBS_MAX, NAMED_MAX, PROBLEMS_MAX},
    problem::{FieldPath, Problem},
    project::Project,
    suggest::did_you_mean,
};

/// Checks a project of which the paths in `cut` could not be read.
///
/// # Errors
/// Every problem that was found.
pub(super) fn check(mut project: Project, cut: &[FieldPath]) -> Result<Definitions, Vec<Problem>> {
    let (unbound, too_many_days) = calendars::bind(&mut project);
    let problems = Vec::from_iter(too_many_days);
    let mut check = Check { project: &project, cut, problems, invalid: BTreeSet::new() };
    check.sizes();
    check.calendars(unbound);
    check.shared_parts();
    for (name, asset) in &project.assets {
        check.asset(name, asset);
    }
    let order = check.order();
    let edges = check.edges();
    for (name, job) in &project.jobs {
        check.job(name, job);
    }
    let problems = check.problems;
    if problems.is_empty() { Ok(Definitions::assemble(project, order, edges)) } else { Err(problems) }
}

/// A check under way.
struct Check<'a> {
    project: &'a Project,
    cut: &'a [FieldPath],
    problems: Vec<Problem>,
    /// Partitions definitions that were found to be wrong: nothing can be said about what is sliced by them.
    invalid: BTreeSet<FieldPath>,
}

impl Check<'_> {
    /// Notes a problem that names its subject itself.
    fn say(&mut self, path: FieldPath, message: impl Into<String>) {
        self.problems.push(Problem::new(path, message));
    }

    /// Notes a problem of a field, to be told with its subject.
    fn say_of_field(&mut self, path: FieldPath, message: impl std::fmt::Display) {
        self.problems.push(Problem::of_field(path, message));
    }

    /// Whether nothing was cut out at `path` or inside of it.
    fn is_sound(&self, path: &FieldPath) -> bool {
        !self.cut.iter().any(|cut| cut.is_within(path))
    }

    /// Whether `name` was there under `section`, but could not be read.
    fn is_cut(&self, section: &str, name: &str) -> bool {
        let path = FieldPath::of(&[section, name]);
        self.cut.iter().any(|cut| path.is_within(cut))
    }

    /// "Did you mean", as long as somebody will read it: in a large project every hint is a long search.
    fn hint<'n>(&self, given: &str, known: impl Iterator<Item = &'n str>) -> String {
        if self.problems.len() < PROBLEMS_MAX { did_you_mean(given, known) } else { String::new() }
    }

    /// Notes that `path` names something that `section` does not have.
    fn reference<'n>(
        &mut self,
        path: FieldPath,
        kind: &str,
        section: &str,
        name: &str,
        known: impl Iterator<Item = &'n str> + Clone,
    ) {
        if known.clone().any(|word| word == name) || self.is_cut(section, name) {
            return;
        }
        let hint = self.hint(name, known);
        self.say_of_field(path, format!("{kind} {name:?} is not defined{hint}"));
    }

    fn sizes(&mut self) {
        for (section, count, max) in [
            ("assets", self.project.assets.len(), ASSETS_MAX),
            ("jobs", self.project.jobs.len(), JOBS_MAX),
            ("calendars", self.project.calendars.len(), NAMED_MAX),
            ("partitions", self.project.partitions.len(), NAMED_MAX),
            ("pools", self.project.pools.len(), NAMED_MAX),
            ("queues", self.project.queues.len(), NAMED_MAX),
        ] {
            if count > max {
                let message = format!("the project has {count} {section}, more than the limit of {max}");
                self.say(FieldPath::of(&[section]), message);
            }
        }
    }
}
