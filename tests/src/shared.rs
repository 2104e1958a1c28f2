//! The servers that `tests/run` started for all tests, known by environment variables.
//!
//! A test that finds none fails, and says what to do: a test that passes without its server proves nothing.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use crate::child::Group;
use crate::postgres::Postgres;
use crate::rabbitmq::{RabbitMq, run_ctl};

/// Where the shared RabbitMQ node is.
pub const AMQP_URL: &str = "BACKSTITCH_TEST_AMQP_URL";
/// Where the shared PostgreSQL cluster is, as superuser.
pub const DATABASE_URL: &str = "BACKSTITCH_TEST_DATABASE_URL";
/// The script that runs `rabbitmqctl` on the shared node.
pub const RABBITMQCTL: &str = "BACKSTITCH_TEST_RABBITMQCTL";

/// The file to which tests that were skipped are noted.
const SKIPPED: &str = "BACKSTITCH_TEST_SKIPPED";

/// How long tests may take to end after a signal.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// Longer than any run of all tests.
const RUN_PATIENCE: Duration = Duration::from_secs(6 * 3600);

/// Runs `command` with a private RabbitMQ node and a private PostgreSQL cluster, whose addresses are in its
/// environment. Its temporary files, and those of every server that a test starts, end with it. SIGINT and SIGTERM are
/// passed on.
///
/// # Errors
/// When a server does not start, or the command cannot be run.
pub async fn with_servers(mut command: Command) -> Result<ExitStatus> {
    // From here on a signal no longer ends this process at once.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let folder = tempfile::Builder::new().prefix("backstitch-tests-").tempdir()?;
    // The service user that runs Postgres passes through.
    fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o711))
        .context("opening the folder of all tests")?;
    let starting = async { tokio::try_join!(RabbitMq::start(), Postgres::start()) };
    let (rabbitmq, postgres) = tokio::select! {
        servers = starting => servers?,
        _ = interrupt.recv() => anyhow::bail!("interrupted"),
        _ = terminate.recv() => anyhow::bail!("terminated"),
    };
    command
        .env("TMPDIR", folder.path())
        .env(AMQP_URL, rabbitmq.url())
        .env(RABBITMQCTL, rabbitmq.ctl_path())
        .env(DATABASE_URL, postgres.url());
    let mut tests = Group::spawn(&mut command)?;
    tokio::select! {
        status = tests.wait(RUN_PATIENCE) => return status,
        _ = interrupt.recv() => tests.signal(Signal::SIGINT)?,
        _ = terminate.recv() => tests.signal(Signal::SIGTERM)?,
    }
    tests.wait(STOP_PATIENCE).await
}

/// URL of the shared RabbitMQ node. Use names of your own: other tests are on it at the same time.
///
/// # Errors
/// When there is none.
pub fn amqp_url() -> Result<String> {
    variable(AMQP_URL)
}

/// URL of the shared PostgreSQL cluster, as superuser. Make a database of your own.
///
/// # Errors
/// When there is none.
pub fn database_url() -> Result<String> {
    variable(DATABASE_URL)
}

/// Ends a test that cannot be made on this machine: it is named in the summary of `tests/run`.
///
/// # Errors
/// When the note of it cannot be written.
pub fn skipped(why: &str) -> Result<()> {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    eprintln!("skipped: {why}");
    if let Some(path) = std::env::var_os(SKIPPED) {
        let notes = fs::File::options().create(true).append(true).open(path);
        writeln!(notes.context("noting a test that was skipped")?, "{test}: {why}")?;
    }
    Ok(())
}

/// Runs `rabbitmqctl` on the shared node. Nothing that changes the node for others.
///
/// # Errors
/// When there is none, or the command fails.
pub async fn rabbitmqctl<const N: usize>(arguments: [&str; N]) -> Result<String> {
    run_ctl(&PathBuf::from(variable(RABBITMQCTL)?), &arguments).await
}

fn variable(name: &str) -> Result<String> {
    std::env::var(name)
        .with_context(|| format!("{name} is not set: this test needs real servers, run tests/run"))
}
