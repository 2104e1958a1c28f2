//! Jobs: selections that select, config that fits what they select.

use super::Check;
use crate::definition::{
    config,
    limits::SELECTION_CHARS_MAX,
    name::JobName,
    problem::{FieldPath, Problem},
    project::Job,
    selection::{Selection, SelectionError},
};

impl Check<'_> {
    pub(super) fn job(&mut self, name: &JobName, job: &Job) {
        let path = FieldPath::of(&["jobs", name.as_str()]);
        self.description(&path, job.description.as_ref());
        self.tags(&path, &job.tags);
        let select = path.key("select");
        self.text(&select, &job.select, SELECTION_CHARS_MAX);
        let project = self.project;
        let selected = job.select.parse::<Selection>().and_then(|selection| selection.resolve(project));
        let selected = match selected {
            Ok(selected) => selected,
            Err(errors) => {
                for error in &errors.0 {
                    // An asset that could not be read is there all the same.
                    if matches!(error, SelectionError::NoSuchAsset { asset, .. } if self.is_cut("assets", asset))
                    {
                        continue;
                    }
                    self.say_of_field(select.clone(), error);
                }
                return;
            }
        };
        // What a job leaves unset, its launch may set: only what it does set is judged here.
        for error in config::misfits(project, &selected, &job.config) {
            let place = path.key("config").key(error.key());
            self.problems.push(Problem { path: place, ..Problem::of_field(path.clone(), &error) });
        }
    }
}
