//! Calendars: from names and files to days.
//!
//! A partitions definition may say `calendar: nyse`, and the project's `calendars` may say that those days stand
//! in a file. Neither may outlive the reading of a project: a pinned run must mean the same when the file has
//! changed. So the days are put where the names stand, in two steps:
//!
//! ```text
//! calendars: {nyse: {file: F}} --read_files--> {nyse: {days}} --bind--> partitions: {calendar: {days}}
//! ```
//!
//! Afterwards `calendars` has nothing left to say and is dropped. Definitions that differ only in the name of a
//! calendar are equal; if one of its days differs, they are not.
//!
//! Only a calendar with a name may have a file: it is read once, however many definitions use it, and what is
//! wrong in it is told once. The days are copied for each use, which [`CALENDAR_DAYS_BOUND_MAX`] bounds.

use std::collections::BTreeMap;

use super::{
    limits::CALENDAR_DAYS_BOUND_MAX,
    name::CalendarName,
    problem::{FieldPath, Problem},
    project::{AssetPartitions, Project},
};
use crate::partition::{
    Cadence, Calendar, CalendarError, CalendarRef, DefinitionError, DefinitionProblem, Exclude,
    PartitionsDefinition,
};

/// Gives the text of a file, by its name as written, or the reason why not.
pub type ReadFile<'a> = &'a mut dyn FnMut(&str) -> Result<String, String>;

pub(super) fn path_of(name: &CalendarName) -> FieldPath {
    FieldPath::of(&["calendars", name.as_str()])
}

/// Reads the files of the project's calendars. A calendar whose file is of no use is taken out, and told.
pub(super) fn read_files(project: &mut Project, read: ReadFile<'_>) -> Vec<(CalendarName, Problem)> {
    let mut unread = Vec::new();
    for (name, calendar) in &mut project.calendars {
        let Some(file) = &calendar.file else { continue };
        match read_dates(file, &mut *read) {
            Ok(text) => *calendar = std::mem::take(calendar).with_file_text(&text),
            Err(message) => {
                let problem = Problem::of_field(path_of(name).key("file"), message);
                unread.push((name.clone(), problem));
            }
        }
    }
    for (name, _) in &unread {
        project.calendars.remove(name);
    }
    unread
}

/// The text of a file in which every line is a date, a comment or blank.
fn read_dates(file: &str, read: ReadFile<'_>) -> Result<String, String> {
    let text = read(file).map_err(|reason| format!("reading {file:?}: {reason}"))?;
    match Calendar::default().with_file_text(&text).compile() {
        Ok(_) => Ok(text),
        Err(CalendarError::Empty) => Err(format!("{file:?} has no dates; write one a line")),
        Err(CalendarError::Date { text: wrong }) => {
            let lines = || text.lines().zip(1..);
            // Read alone, a line has the same one date that it has among the others.
            let is_it = |line: &str| Calendar::default().with_file_text(line).days.contains(&wrong);
            let number = lines().find(|(line, _)| is_it(line)).map_or(1, |(_, number)| number);
            Err(format!("{file}:{number}: {}", CalendarError::Date { text: wrong }))
        }
        Err(error) => Err(format!("{file:?}: {error}")),
    }
}

/// A name that stayed a name.
pub(super) struct Unbound {
    /// Where it stands.
    pub(super) path: FieldPath,
    pub(super) name: String,
}

/// Puts the calendars that are right where the partitions definitions name them, and gives the names that are left.
/// If the days would be too many, all names are left, and that is the problem.
pub(super) fn bind(project: &mut Project) -> (Vec<Unbound>, Option<Problem>) {
    let right = project.calendars.iter().filter(|(_, calendar)| calendar.compile().is_ok());
    let right: BTreeMap<String, Calendar> =
        right.map(|(name, calendar)| (name.to_string(), calendar.clone())).collect();
    let mut definitions = definitions(project);
    let used = definitions.iter().flat_map(|(_, definition)| names(definition));
    let days_of = |calendar: &Calendar| calendar.days.len() + calendar.except.len();
    let days_count: usize = used.filter_map(|name| right.get(name)).map(days_of).sum();
    let (right, problem) = if days_count > CALENDAR_DAYS_BOUND_MAX {
        let message = format!(
            "calendars: the partitions definitions use {days_count} days of calendars in all, more than the limit of \
             {CALENDAR_DAYS_BOUND_MAX}; define them once under partitions for assets to share, or by weekdays"
        );
        (BTreeMap::new(), Some(Problem::new(FieldPath::of(&["calendars"]), message)))
    } else {
        (right, None)
    };
    let mut unbound = Vec::new();
    for (path, definition) in &mut definitions {
        let errors = definition.bind_calendars(&right).err().into_iter().flatten();
        unbound.extend(errors.filter_map(|error| still_named(path, error)));
    }
    (unbound, problem)
}

/// Every partitions definition of a project, shared or an asset's own, with its place.
fn definitions(project: &mut Project) -> Vec<(FieldPath, &mut PartitionsDefinition)> {
    let shared = project.partitions.iter_mut();
    let shared = shared.map(|(name, definition)| (FieldPath::of(&["partitions", name.as_str()]), definition));
    let own = project.assets.iter_mut().filter_map(|(name, asset)| match &mut asset.partitions {
        Some(AssetPartitions::Inline(definition)) => {
            Some((FieldPath::of(&["assets", name.as_str(), "partitions"]), &mut **definition))
        }
        Some(AssetPartitions::Named(_)) | None => None,
    });
    shared.chain(own).collect()
}

fn still_named(definition: &FieldPath, error: DefinitionError) -> Option<Unbound> {
    match *error.problem {
        DefinitionProblem::Calendar(CalendarError::Unknown { name }) => {
            Some(Unbound { path: definition.written(&error.path), name })
        }
        _ => None,
    }
}

/// The calendars that a definition names, as often as it names them.
fn names<'a>(definition: &'a PartitionsDefinition) -> Vec<&'a str> {
    match definition {
        PartitionsDefinition::TimeWindow(windows) => {
            let boundaries = match &windows.cadence {
                Cadence::Calendar { calendar, .. } => Some(calendar),
                _ => None,
            };
            let excluded = windows.exclude.iter().filter_map(|exclude| match exclude {
                Exclude::On(days) => Some(&days.calendar),
                Exclude::When(_) => None,
            });
            let named = |reference: &'a CalendarRef| match reference {
                CalendarRef::Named(name) => Some(name.as_str()),
                CalendarRef::Inline(_) => None,
            };
            boundaries.into_iter().chain(excluded).filter_map(named).collect()
        }
        PartitionsDefinition::Multi(multi) => multi.dimensions.values().flat_map(names).collect(),
        PartitionsDefinition::Unpartitioned
        | PartitionsDefinition::Static(_)
        | PartitionsDefinition::Dynamic(_) => Vec::new(),
    }
}
