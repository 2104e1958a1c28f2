//! The settings file: the lowest of the three levels, for what is the same on every day.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use anyhow::{Context, Result};
use backstitch_proto::definition::{HumanDuration, QueueName};
use serde::{Deserialize, Deserializer, de};

use super::service::TASKS_PER_MESSAGE;
use super::{ProjectArgs, project_dir};
use crate::exit::Invalid;

/// The settings file, beside the project file.
const SETTINGS_FILE: &str = "backstitch.settings.yaml";

/// What it may say, for people.
const FIELDS: &str = "a text for each of server, database_url, broker_url, state_dir, advertise, name; an address for \
                      listen; a number from 1 for each of slots, keep_history; 1 to 1000 for tasks_per_message; a \
                      list of names for queues; a time such as 30s for drain_grace";

/// What the settings file may say: the name of each flag, with `_` for `-`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SettingsFile {
    pub(crate) server: Option<String>,
    pub(crate) database_url: Option<String>,
    pub(crate) broker_url: Option<String>,
    /// Relative to the file.
    pub(crate) state_dir: Option<PathBuf>,
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) advertise: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) slots: Option<NonZeroU32>,
    /// Days.
    pub(crate) keep_history: Option<NonZeroU32>,
    #[serde(deserialize_with = "tasks_per_message")]
    pub(crate) tasks_per_message: Option<u32>,
    pub(crate) queues: Vec<QueueName>,
    pub(crate) drain_grace: Option<HumanDuration>,
}

impl SettingsFile {
    /// Reads the file of a project; says nothing if there is none.
    pub(crate) fn of(project: &ProjectArgs) -> Result<Self> {
        let path = project_dir(project).join(SETTINGS_FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        };
        serde_saphyr::from_str(&text).map_err(|error| {
            // The parser shows the lines around a mistake, and those may hold a password.
            let place =
                error.location().map_or(String::new(), |at| format!(":{}:{}", at.line(), at.column()));
            let problem = format!("{}{place}: not a settings file; it takes {FIELDS}", path.display());
            Invalid::one(problem).into()
        })
    }
}

fn tasks_per_message<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let number = i64::deserialize(deserializer)?;
    match u32::try_from(number) {
        Ok(tasks) if TASKS_PER_MESSAGE.contains(&number) => Ok(Some(tasks)),
        _ => Err(de::Error::custom("out of range")),
    }
}
