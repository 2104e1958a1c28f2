//! `backstitch assets list`.

use anyhow::Result;

use super::listing::ListingArgs;
use crate::display::{Table, number, print, print_json};
use crate::exit::Exit;
use crate::source;

pub(crate) async fn run(listing: ListingArgs) -> Result<Exit> {
    let args = listing.list();
    let assets = source::look(&args.place).await?.assets().await?;
    if args.output.json() {
        print_json(&assets)?;
        return Ok(Exit::Done);
    }
    let headers =
        ["asset", "kind", "#partitions", "#materialized", "#failed", "#in progress", "#missing", "deps"];
    let mut table = Table::new(&headers);
    for asset in assets {
        let counts = asset.counts;
        table.row([
            asset.asset,
            asset.partitions.unwrap_or_default(),
            number(counts.total),
            number(counts.materialized),
            number(counts.failed),
            number(counts.in_progress),
            number(counts.missing),
            asset.deps.join(", "),
        ]);
    }
    print(&table.to_string())?;
    Ok(Exit::Done)
}
