//! `backstitch check`: everything that is wrong with a project, or what it is.

use anyhow::Result;
use backstitch_proto::definition::{Definitions, Edge};
use backstitch_proto::partition::zone_database_version;
use chrono::Utc;
use clap::Args;

use crate::display::{Table, number, plural, print};
use crate::exit::Exit;
use crate::project::Project;
use crate::settings::{self, ProjectArgs};

/// Ranges of keys that are shown: the first and the last say enough.
const RANGES_SHOWN: usize = 2;

#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    /// Show what the project comes to: partitions, dependencies and their mappings
    #[arg(long, short)]
    verbose: bool,
    #[command(flatten)]
    project: ProjectArgs,
}

impl CheckArgs {
    pub(crate) fn run(self) -> Result<Exit> {
        let project = Project::load(&settings::project_dir(&self.project))?;
        let definitions = &project.definitions;
        if self.verbose {
            print(&format!("{}\n{}", assets(definitions)?, dependencies(definitions)))?;
            print(&format!("time zones: database {}\n", zone_database_version()))?;
        }
        let (assets, jobs) = (definitions.topological().len() as u64, definitions.jobs().count() as u64);
        print(&format!("The project holds together: {}, {}.", plural(assets, "asset"), plural(jobs, "job")))?;
        Ok(Exit::Done)
    }
}

fn assets(definitions: &Definitions) -> Result<Table> {
    let mut table = Table::new(&["asset", "kind", "#partitions", "keys"]);
    for name in definitions.topological() {
        let Some(definition) = definitions.partitions_of(name.as_str()) else { continue };
        let partitions = definitions.resolve_partitions(name.as_str(), Utc::now())?;
        let keys = match partitions.is_partitioned() {
            true => partitions.format_ranges(&partitions.all(), RANGES_SHOWN),
            false => String::new(),
        };
        table.row([name.to_string(), definition.kind().to_owned(), number(partitions.len().into()), keys]);
    }
    Ok(table)
}

fn dependencies(definitions: &Definitions) -> Table {
    let mut table = Table::new(&["asset", "needs", "by mapping"]);
    for name in definitions.topological() {
        for Edge { upstream, downstream, mapping } in definitions.upstreams(name.as_str()) {
            table.row([downstream.to_string(), upstream.to_string(), mapping.kind().to_owned()]);
        }
    }
    table
}
