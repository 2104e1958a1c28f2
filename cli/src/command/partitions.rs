//! `backstitch partitions list`.

use anyhow::Result;
use backstitch_coordinator::service::{AssetStatusView, PartitionStatus, StatusRange};
use backstitch_proto::partition::Partitions;
use chrono::Utc;
use clap::{Args, Subcommand};
use serde_json::json;

use crate::display::{JsonList, OutputArgs, Table, number, plural, print, print_json};
use crate::exit::{Exit, Invalid};
use crate::project::Project;
use crate::settings::{self, PlaceArgs};
use crate::source;

#[derive(Args, Debug)]
pub(crate) struct PartitionsArgs {
    #[command(subcommand)]
    command: PartitionsCommand,
}

#[derive(Debug, Subcommand)]
enum PartitionsCommand {
    /// List the partitions of an asset as ranges of the same state
    List(ListArgs),
}

#[derive(Args, Debug)]
struct ListArgs {
    /// The asset
    asset: String,
    /// One line per partition instead of ranges
    #[arg(long)]
    keys: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    place: PlaceArgs,
}

impl PartitionsArgs {
    pub(crate) async fn run(self) -> Result<Exit> {
        let PartitionsCommand::List(args) = self.command;
        let status = source::look(&args.place).await?.partitions(&args.asset).await?;
        match (args.keys, args.output.json()) {
            (true, json) => keys(&args, &status, json)?,
            (false, true) => print_json(&status.ranges)?,
            (false, false) => ranges(&status)?,
        }
        Ok(Exit::Done)
    }
}

fn ranges(status: &AssetStatusView) -> Result<()> {
    let mut table = Table::new(&["status", "#count", "partitions"]);
    for range in &status.ranges {
        let keys = if status.partitioned { range.selection.clone() } else { "the whole asset".to_owned() };
        table.row([words(range.status), number(range.count.into()), keys]);
    }
    let counts = status.counts;
    let all = [
        (counts.materialized, PartitionStatus::Materialized),
        (counts.failed, PartitionStatus::Failed),
        (counts.in_progress, PartitionStatus::InProgress),
        (counts.missing, PartitionStatus::Missing),
    ];
    let said: Vec<String> = all
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, status)| format!("{} {}", number(*count), words(*status)))
        .collect();
    print(&format!("{table}\n{}: {}", plural(counts.total, "partition"), said.join(", ")))
}

/// Ranges are told by their ends; what lies between them the definitions know.
fn keys(args: &ListArgs, status: &AssetStatusView, json: bool) -> Result<()> {
    let project = Project::load(&settings::project_dir(&args.place.project))?;
    if project.definitions.asset(&args.asset).is_none() {
        return Err(Invalid::one(format!(
            "asset \"{}\" is not defined in {}",
            args.asset,
            project.dir.display()
        ))
        .into());
    }
    let partitions = project.definitions.resolve_partitions(&args.asset, Utc::now())?;
    let mut list = JsonList::begin();
    for range in &status.ranges {
        for key in between(&partitions, range)? {
            if json {
                list.push(&json!({ "asset": status.asset, "partition": key, "status": range.status }))?;
            } else {
                print(&format!("{:<13} {key}", words(range.status)))?;
            }
        }
    }
    if json { list.end() } else { Ok(()) }
}

fn between(partitions: &Partitions, range: &StatusRange) -> Result<impl Iterator<Item = String>> {
    let ordinal = |key: &str| {
        let differs = "the project here is not the one that the coordinator runs";
        partitions.ordinal(key).map_err(|error| Invalid::one(format!("{differs}: {error}")))
    };
    let ordinals = ordinal(&range.start)?..=ordinal(&range.end)?;
    let partitions = partitions.clone();
    Ok(ordinals.filter_map(move |ordinal| partitions.key(ordinal)))
}

/// As it is written for people.
fn words(status: PartitionStatus) -> String {
    status.as_str().replace('_', " ")
}
