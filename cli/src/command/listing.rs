//! The arguments of a listing that takes no others.

use clap::{Args, Subcommand};

use crate::display::OutputArgs;
use crate::settings::PlaceArgs;

#[derive(Args, Debug)]
pub(crate) struct ListingArgs {
    #[command(subcommand)]
    command: ListingCommand,
}

#[derive(Debug, Subcommand)]
enum ListingCommand {
    /// List them
    List(ListArgs),
}

#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
}

impl ListingArgs {
    /// What was asked for: there is only one thing.
    pub(crate) fn list(self) -> ListArgs {
        let ListingCommand::List(args) = self.command;
        args
    }
}
