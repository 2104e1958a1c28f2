//! `backstitch migrate`: brings the schema of a ledger up to date, or prints the SQL that would.

use anyhow::Result;
use backstitch_coordinator::ledger::{self, PendingMigration};
use clap::Args;

use crate::display::{plural, print};
use crate::exit::Exit;
use crate::settings::{self, DatabaseArgs, ProjectArgs, StateArgs};

#[derive(Args, Debug)]
pub(crate) struct MigrateArgs {
    /// Print the SQL of what is pending, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    project: ProjectArgs,
    #[command(flatten)]
    state: StateArgs,
}

impl MigrateArgs {
    pub(crate) async fn run(self) -> Result<Exit> {
        let address = match self.database.database(&self.project)? {
            Some(address) => address,
            None => settings::own_ledger(&self.project, &self.state)?,
        };
        if self.dry_run {
            let pending = ledger::pending_migrations(&address).await?;
            match pending.is_empty() {
                true => print("-- nothing is pending")?,
                false => pending.iter().try_for_each(|one| print(&sql(one)))?,
            }
            return Ok(Exit::Done);
        }
        let applied = ledger::migrate(&address).await?;
        for PendingMigration { version, description, .. } in &applied {
            print(&format!("applied {version:04} {description}"))?;
        }
        print(&match applied.len() as u64 {
            0 => format!("The schema of {address} is up to date."),
            count => {
                format!("The schema of {address} is up to date: {} applied.", plural(count, "migration"))
            }
        })?;
        Ok(Exit::Done)
    }
}

fn sql(PendingMigration { version, description, sql }: &PendingMigration) -> String {
    format!("-- {version:04} {description}\n\n{}\n", sql.trim())
}
