//! `backstitch runs list`.

use anyhow::Result;
use backstitch_coordinator::engine::Counts;
use backstitch_coordinator::ledger::RunStatus;
use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};

use super::took;
use crate::display::{OutputArgs, Table, instant, number, one_line, print, print_json};
use crate::exit::Exit;
use crate::settings::PlaceArgs;
use crate::source::{self, RunsQuery};

/// Characters of a selection in a list.
const SELECTION_CHARS: usize = 40;

#[derive(Args, Debug)]
pub(super) struct ListArgs {
    /// Only runs in this state
    #[arg(long, value_enum, value_name = "STATE")]
    status: Option<Status>,
    /// Only runs of this asset
    #[arg(long, value_name = "ASSET")]
    asset: Option<String>,
    /// Runs to list, at most
    #[arg(long, default_value_t = 20, value_name = "N")]
    limit: usize,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    place: PlaceArgs,
}

/// A state, by the word that lists show.
#[derive(Clone, Copy, Debug)]
struct Status(RunStatus);

impl ValueEnum for Status {
    fn value_variants<'a>() -> &'a [Self] {
        &[
            Self(RunStatus::Running),
            Self(RunStatus::Paused),
            Self(RunStatus::Cancelling),
            Self(RunStatus::Succeeded),
            Self(RunStatus::Failed),
            Self(RunStatus::Cancelled),
        ]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.0.as_str()))
    }
}

impl ListArgs {
    pub(super) async fn run(self) -> Result<Exit> {
        let look = source::look(&self.place).await?;
        let query =
            RunsQuery { status: self.status.map(|status| status.0), asset: self.asset, limit: self.limit };
        let runs = look.runs(&query).await?;
        if self.output.json() {
            print_json(&runs)?;
            return Ok(Exit::Done);
        }
        if runs.is_empty() {
            print("No runs.")?;
            return Ok(Exit::Done);
        }
        let mut table = Table::new(&[
            "run",
            "status",
            "assets",
            "partitions",
            "#tasks",
            "#done",
            "#failed",
            "created",
            "#took",
        ]);
        for run in runs {
            let count =
                |of: fn(Counts) -> u64| run.counts.map_or("?".to_owned(), |counts| number(of(counts)));
            table.row([
                run.id.to_string(),
                run.status.to_string(),
                one_line(&run.request.assets, SELECTION_CHARS),
                one_line(run.request.partitions.as_deref().unwrap_or("all"), SELECTION_CHARS),
                count(|counts| counts.targeted),
                count(|counts| counts.terminal()),
                count(|counts| counts.failed),
                instant(run.created_at),
                took(&run).unwrap_or_default(),
            ]);
        }
        print(&table.to_string())?;
        Ok(Exit::Done)
    }
}
