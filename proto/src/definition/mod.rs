//! Definitions: from `backstitch.yaml`, or from Rust, to something that can be run.
//!
//! ```text
//! text --source--> Project (as written) --check--> Definitions (holds together) --serde--> pinned JSON
//!                  ^ builder, from Rust
//! ```
//!
//! Both ways in give the same [`Definitions`]: names that exist, no cycles, every dependency with its partition
//! mapping. A run pins them as JSON, so a deploy never changes running work; [`Definitions::fingerprint`] tells
//! two versions apart.
//!
//! Everything that is wrong is told at once, as `file:line:column: sentence`. This module is pure: it takes text
//! and gives values. It opens no files (whoever reads the project's text also reads its calendar files) and looks
//! at no environment; a project means the same everywhere.

pub mod config;
pub mod limits;
pub mod selection;
pub mod template;

mod builder;
mod calendars;
mod check;
mod definitions;
mod duration;
mod graph;
mod name;
mod problem;
mod project;
mod schema;
mod source;
mod suggest;
#[cfg(test)]
mod tests;

pub use self::{
    builder::DefinitionsBuilder,
    calendars::ReadFile,
    definitions::{Definitions, Edge},
    duration::{DurationError, HumanDuration},
    name::{AssetName, CalendarName, GroupName, JobName, NameError, PartitionsName, PoolName, QueueName},
    problem::{FieldPath, Position, Problem, Problems, Step},
    project::{Asset, AssetPartitions, Backoff, Dep, Jitter, Job, PoolUse, Project, Queue, Retries},
    schema::json_schema,
};

/// The project file's name.
pub const PROJECT_FILE: &str = "backstitch.yaml";
