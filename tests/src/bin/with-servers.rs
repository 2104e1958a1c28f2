//! `with-servers COMMAND ARGUMENTS...`: runs a command with the servers that tests share (see `shared`). Its exit
//! status is ours.

use std::process::ExitCode;

use anyhow::{Context, Result};
use backstitch_tests::shared::with_servers;
use tokio::process::Command;

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let mut command = Command::new(arguments.next().context("usage: with-servers COMMAND ARGUMENTS...")?);
    command.args(arguments);
    let status = with_servers(command).await?;
    // Without a code it was killed by a signal.
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
