//! `backstitch materializations`: what was made last, per partition.

use anyhow::Result;
use backstitch_coordinator::api::MaterializationView;
use clap::Args;

use crate::display::{JsonList, OutputArgs, Table, instant, one_line, print};
use crate::exit::Exit;
use crate::settings::PlaceArgs;
use crate::source;

/// Characters of metadata in a table; JSON has all of it.
const METADATA_CHARS: usize = 80;

#[derive(Args, Debug)]
pub(crate) struct MaterializationsArgs {
    /// The asset
    asset: String,
    /// Only this partition
    #[arg(long, value_name = "KEY")]
    partition: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    place: PlaceArgs,
}

impl MaterializationsArgs {
    pub(crate) async fn run(self) -> Result<Exit> {
        let look = source::look(&self.place).await?;
        let mut list = JsonList::begin();
        let mut rows = Vec::new();
        let mut cursor = None;
        loop {
            let page = look.materializations(&self.asset, self.partition.as_deref(), cursor).await?;
            if self.output.json() {
                page.items.iter().try_for_each(|made| list.push(made))?;
            } else {
                rows.extend(page.items.into_iter().map(row));
            }
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        if self.output.json() {
            list.end()?;
        } else if rows.is_empty() {
            print(&format!("Nothing of {} is materialized.", self.asset))?;
        } else {
            let mut table = Table::new(&["partition", "materialized", "metadata"]);
            rows.into_iter().for_each(|row| table.row(row));
            print(&table.to_string())?;
        }
        Ok(Exit::Done)
    }
}

fn row(made: MaterializationView) -> [String; 3] {
    let fields = made.metadata.as_object().into_iter().flatten();
    let metadata: Vec<String> = fields.map(|(name, value)| format!("{name}={value}")).collect();
    let failed = if made.failed_since { " (failed since)" } else { "" };
    [
        made.partition.unwrap_or_default(),
        format!("{}{failed}", instant(made.finished_at)),
        one_line(&metadata.join(" "), METADATA_CHARS),
    ]
}
