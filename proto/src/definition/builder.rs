//! Definitions in Rust, for programs on the worker SDK.
//!
//! The same checks as for a file: names are checked when the definitions are built, together with everything else,
//! so a program's author sees all problems at once too.

use std::num::NonZeroU32;

use super::{
    definitions::Definitions,
    name::{AssetName, CalendarName, JobName, NameError, PartitionsName, PoolName},
    problem::{FieldPath, Problem, Problems},
    project::{Asset, Job, Project},
};
use crate::partition::{Calendar, PartitionsDefinition};

/// Collects the parts of a project; [`DefinitionsBuilder::build`] checks them.
#[derive(Clone, Debug, Default)]
pub struct DefinitionsBuilder {
    project: Project,
    problems: Vec<Problem>,
}

impl DefinitionsBuilder {
    /// Adds a partitions definition that assets may name.
    #[must_use]
    pub fn partitions(mut self, name: &str, definition: PartitionsDefinition) -> Self {
        if let Some(name) = self.name("partitions", name, PartitionsName::new(name)) {
            let replaced = self.project.partitions.insert(name.clone(), definition).is_some();
            self.note_twice("partitions", name.as_str(), replaced);
        }
        self
    }

    /// Adds a calendar that partitions definitions may name. One in a file is given its text with
    /// [`Calendar::with_file_text`]; nothing is opened here.
    #[must_use]
    pub fn calendar(mut self, name: &str, calendar: Calendar) -> Self {
        if let Some(name) = self.name("calendars", name, CalendarName::new(name)) {
            let replaced = self.project.calendars.insert(name.clone(), calendar).is_some();
            self.note_twice("calendars", name.as_str(), replaced);
        }
        self
    }

    /// Adds an asset.
    #[must_use]
    pub fn asset(mut self, name: &str, asset: Asset) -> Self {
        if let Some(name) = self.name("assets", name, AssetName::new(name)) {
            let replaced = self.project.assets.insert(name.clone(), asset).is_some();
            self.note_twice("assets", name.as_str(), replaced);
        }
        self
    }

    /// Adds a job.
    #[must_use]
    pub fn job(mut self, name: &str, job: Job) -> Self {
        if let Some(name) = self.name("jobs", name, JobName::new(name)) {
            let replaced = self.project.jobs.insert(name.clone(), job).is_some();
            self.note_twice("jobs", name.as_str(), replaced);
        }
        self
    }

    /// Adds a pool with its number of slots.
    #[must_use]
    pub fn pool(mut self, name: &str, slots: NonZeroU32) -> Self {
        if let Some(name) = self.name("pools", name, PoolName::new(name)) {
            let replaced = self.project.pools.insert(name.clone(), slots).is_some();
            self.note_twice("pools", name.as_str(), replaced);
        }
        self
    }

    /// Checks everything.
    ///
    /// # Errors
    /// Everything that is wrong with the parts.
    pub fn build(self) -> Result<Definitions, Problems> {
        if !self.problems.is_empty() {
            return Err(Problems::new(None, self.problems));
        }
        Definitions::new(self.project)
    }

    fn name<N>(&mut self, section: &str, text: &str, name: Result<N, NameError>) -> Option<N> {
        match name {
            Ok(name) => Some(name),
            Err(error) => {
                self.problems.push(Problem::new(FieldPath::of(&[section, text]), error.to_string()));
                None
            }
        }
    }

    fn note_twice(&mut self, section: &str, name: &str, replaced: bool) {
        if replaced {
            let path = FieldPath::of(&[section, name]);
            let subject = path.subject().map_or_else(String::new, |(subject, _)| subject);
            self.problems.push(Problem::new(path, format!("{subject} is defined twice")));
        }
    }
}
