//! The one binary, `backstitch`. The first argument decides the role: a coordinator, a worker, both (`dev`), or a
//! command for people.
//!
//! - [`command`]: one file per command, thin: what it takes, what it prints.
//! - [`source`]: where a command reads and whom it asks: a coordinator's API, or a ledger directly.
//! - [`embedded`]: a coordinator, and perhaps a worker, inside this process.
//! - [`submit`], [`follow`], [`summary`]: a run from submission to its end; [`display`] is how things look.
//! - [`settings`], [`project`]: what flags, environment and files say.
//! - [`exit`]: what a command's end means to a script.

mod command;
mod display;
mod embedded;
mod exit;
mod follow;
mod metrics;
mod project;
mod settings;
mod signals;
mod source;
mod submit;
mod summary;
mod telemetry;

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

use crate::command::Backstitch;
use crate::exit::Exit;
use crate::telemetry::Telemetry;

fn main() -> ExitCode {
    // clap itself prints help and usage errors, and ends with status 2 for the latter.
    let backstitch = Backstitch::parse();
    run(backstitch).unwrap_or_else(|error| exit::report(&error)).into()
}

fn run(backstitch: Backstitch) -> Result<Exit> {
    // Outside of the runtime at both ends: the exporter's client blocks.
    let (service, verbosity) = backstitch.telemetry();
    let _telemetry = Telemetry::start(service, verbosity)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")?;
    let exit = runtime.block_on(Box::pin(backstitch.run()));
    // Everything that has to end well has ended; a blocked thread must not hold up the rest.
    runtime.shutdown_background();
    exit
}
