//! What a command is told: by flag, else by environment, else by the settings file beside the project file.
//!
//! The levels are taken one by one and not setting by setting: a flag that names a ledger wins over an environment
//! that names a coordinator. The environment is read here and not by clap, which would show passwords of URLs in
//! `--help`, and take a variable that is set to nothing for a setting.

mod file;
mod service;

use std::fmt::Display;
use std::path::{Path, PathBuf};

use anyhow::Result;
use backstitch_broker::RabbitMq;
use backstitch_coordinator::ledger::Address;
use clap::Args;

pub(crate) use file::SettingsFile;
pub(crate) use service::{HistoryArgs, ListenArgs, SlotsArgs, tasks_per_message};

use crate::exit::Invalid;

/// Folder of the embedded ledger inside the project.
const STATE_DIR: &str = ".backstitch";

/// The embedded ledger inside that folder.
const LEDGER_FILE: &str = "ledger.db";

/// Which project.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ProjectArgs {
    /// Folder of the project, which has backstitch.yaml in it [env: BACKSTITCH_PROJECT] [default: .]
    #[arg(long, value_name = "DIR", help_heading = "Where")]
    pub(crate) project: Option<PathBuf>,
}

/// Where the project's own ledger is.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct StateArgs {
    /// Folder of the project's own ledger [env: BACKSTITCH_STATE_DIR] [default: .backstitch in the project]
    #[arg(long, value_name = "DIR", help_heading = "Where")]
    state_dir: Option<PathBuf>,
}

/// Which coordinator.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ServerArgs {
    /// Coordinator to ask, such as http://localhost:3070 [env: BACKSTITCH_SERVER]
    #[arg(long, value_name = "URL", help_heading = "Where")]
    server: Option<String>,
}

/// Which ledger.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct DatabaseArgs {
    /// Ledger: postgres://USER:PASSWORD@HOST/DATABASE or sqlite:PATH [env: BACKSTITCH_DATABASE_URL]
    #[arg(long, value_name = "URL", help_heading = "Where")]
    database_url: Option<String>,
}

/// Which broker.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct BrokerArgs {
    /// RabbitMQ: amqp://USER:PASSWORD@HOST/VHOST [env: BACKSTITCH_BROKER_URL]
    #[arg(long, value_name = "URL", help_heading = "Where")]
    broker_url: Option<String>,
}

/// Everything that says where a command reads.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct PlaceArgs {
    #[command(flatten)]
    pub(crate) project: ProjectArgs,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

/// Where a command reads.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// The API of a coordinator.
    Server(String),
    /// A ledger that was named.
    Database(Address),
    /// The ledger of the project itself.
    Own,
}

/// The folder of the project, as the user names it.
pub(crate) fn project_dir(args: &ProjectArgs) -> PathBuf {
    let named = args.project.clone().or_else(|| environment("BACKSTITCH_PROJECT").map(PathBuf::from));
    let path = named.unwrap_or_else(|| PathBuf::from("."));
    // People complete the name of the file; they mean its folder.
    match path.file_name() {
        Some(name) if name == backstitch_proto::definition::PROJECT_FILE => {
            path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
        }
        _ => path,
    }
}

/// A URL as it may be shown: without the user and the password that may stand before an `@`. People mistype URLs, so
/// this asks for no valid one, and rather cuts too much.
pub(crate) fn without_userinfo(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    match rest.rsplit_once('@') {
        Some((_, place)) if scheme.is_empty() => place.to_owned(),
        Some((_, place)) => format!("{scheme}://{place}"),
        None => url.to_owned(),
    }
}

/// The address of the project's own ledger.
pub(crate) fn own_ledger(project: &ProjectArgs, state: &StateArgs) -> Result<Address> {
    let named = state.state_dir.clone().or_else(|| environment("BACKSTITCH_STATE_DIR").map(PathBuf::from));
    let state_dir = match named {
        Some(named) => named,
        // A path in the file is relative to the file.
        None => {
            let named = SettingsFile::of(project)?.state_dir;
            project_dir(project).join(named.as_deref().unwrap_or(Path::new(STATE_DIR)))
        }
    };
    Ok(Address::sqlite(state_dir.join(LEDGER_FILE)))
}

impl PlaceArgs {
    /// Flags that lead to the same place, for commands that are shown to the user to type. Not the URL of a ledger: it
    /// may hold a password. That of a coordinator is shown without.
    pub(crate) fn flags(&self) -> String {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let named = [
            ("--project", path(&self.project.project)),
            ("--state-dir", path(&self.state.state_dir)),
            ("--server", self.server.server.as_deref().map(without_userinfo)),
        ];
        named.into_iter().filter_map(|(flag, value)| Some(format!(" {flag} {}", value?))).collect()
    }

    /// Where to read.
    pub(crate) fn place(&self) -> Result<Place> {
        match (&self.server.server, &self.database.database_url) {
            (Some(_), Some(_)) => {
                return Err(Invalid::one("give either --server or --database-url, not both").into());
            }
            (Some(server), None) => return Ok(Place::Server(server.clone())),
            (None, Some(database)) => return Ok(Place::Database(address(database)?)),
            // Naming a folder of state means the ledger in it.
            (None, None) if self.state.state_dir.is_some() => {}
            (None, None) => {
                let levels = [(environment("BACKSTITCH_SERVER"), environment("BACKSTITCH_DATABASE_URL")), {
                    let file = SettingsFile::of(&self.project)?;
                    (file.server, file.database_url)
                }];
                for (server, database) in levels {
                    if let Some(server) = server {
                        return Ok(Place::Server(server));
                    }
                    if let Some(database) = database {
                        return Ok(Place::Database(address(&database)?));
                    }
                }
            }
        }
        Ok(Place::Own)
    }
}

impl DatabaseArgs {
    /// The ledger that is named; none means the project's own.
    pub(crate) fn database(&self, project: &ProjectArgs) -> Result<Option<Address>> {
        self.url(project)?.as_deref().map(address).transpose()
    }

    /// The same as it was written; it may hold a password.
    pub(crate) fn url(&self, project: &ProjectArgs) -> Result<Option<String>> {
        let named = self.database_url.clone().or_else(|| environment("BACKSTITCH_DATABASE_URL"));
        Ok(match named {
            Some(url) => Some(url),
            None => SettingsFile::of(project)?.database_url,
        })
    }
}

impl BrokerArgs {
    /// The broker's URL.
    pub(crate) fn broker(&self, project: &ProjectArgs) -> Result<Option<String>> {
        let named = self.broker_url.clone().or_else(|| environment("BACKSTITCH_BROKER_URL"));
        let url = match named {
            Some(url) => Some(url),
            None => SettingsFile::of(project)?.broker_url,
        };
        if let Some(url) = &url {
            RabbitMq::check_url(url).map_err(|error| Invalid::one(error.to_string()))?;
        }
        Ok(url)
    }
}

fn address(text: &str) -> Result<Address> {
    text.parse()
        .map_err(|error: backstitch_coordinator::ledger::LedgerError| Invalid::one(error.to_string()).into())
}

/// What a flag says, else a variable that is set to something.
pub(crate) fn flag_or_variable<T, E: Display>(
    flag: Option<T>,
    variable: &str,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<Option<T>> {
    if flag.is_some() {
        return Ok(flag);
    }
    let Some(text) = environment(variable) else { return Ok(None) };
    let value = parse(&text).map_err(|error| Invalid::one(format!("{variable} is \"{text}\": {error}")))?;
    Ok(Some(value))
}

/// A variable that is set to something.
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
