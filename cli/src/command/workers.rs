//! `backstitch workers list`.

use anyhow::Result;

use super::listing::ListingArgs;
use crate::display::{Table, instant, number, print, print_json};
use crate::exit::Exit;
use crate::source;

pub(crate) async fn run(listing: ListingArgs) -> Result<Exit> {
    let args = listing.list();
    let workers = source::look(&args.place).await?.workers().await?;
    if args.output.json() {
        print_json(&workers)?;
        return Ok(Exit::Done);
    }
    if workers.is_empty() {
        print("No worker is alive.")?;
        return Ok(Exit::Done);
    }
    let mut table =
        Table::new(&["worker", "name", "#slots", "#running", "#waiting", "queues", "since", "version"]);
    for worker in workers {
        let draining = if worker.draining { " (stopping)" } else { "" };
        table.row([
            worker.id.to_string(),
            format!("{}{draining}", worker.name),
            number(worker.slots.into()),
            number(worker.running.into()),
            number(worker.waiting.into()),
            worker.queues.join(", "),
            instant(worker.since),
            worker.version,
        ]);
    }
    print(&table.to_string())?;
    Ok(Exit::Done)
}
