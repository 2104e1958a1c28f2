//! A program under test: its output, its signals, its end.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Command;

use crate::child::Group;
use crate::wait::wait_for;

/// Lines of output that are kept. A program that says more in a test says too much.
const LINES_MAX: usize = 100_000;

/// A running program. It is killed on drop, with every process that it started in its group.
#[derive(Debug)]
pub struct Process {
    name: String,
    group: Group,
    output: Arc<Mutex<Output>>,
}

/// What a program has printed.
#[derive(Debug, Default)]
struct Output {
    lines: Vec<String>,
    /// Streams that may still bring more.
    open_streams: usize,
}

/// A command for the `backstitch` program: the one named by `BACKSTITCH_TEST_BIN`, or the one built beside the tests.
///
/// # Errors
/// When it has not been built.
pub fn backstitch<I>(arguments: I) -> Result<Command>
where
    I: IntoIterator,
    I::Item: AsRef<OsStr>,
{
    let mut command = Command::new(program()?);
    command.args(arguments);
    Ok(command)
}

fn program() -> Result<PathBuf> {
    let program = match std::env::var_os("BACKSTITCH_TEST_BIN") {
        Some(path) => PathBuf::from(path),
        None => {
            // target/debug/deps/test-0123 -> target/debug/backstitch
            let test = std::env::current_exe().context("looking for the program")?;
            let folder = test.ancestors().nth(2).context("looking for the program")?;
            folder.join("backstitch")
        }
    };
    anyhow::ensure!(
        program.exists(),
        "{} has not been built: run tests/run, or cargo build first",
        program.display()
    );
    Ok(program)
}

impl Process {
    /// Starts `command` and collects what it prints. `name` tells processes apart in the test's own output.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(name: &str, mut command: Command) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut group = Group::spawn(&mut command)?;
        let (stdout, stderr) = group.take_output();
        let output = Arc::new(Mutex::new(Output { lines: Vec::new(), open_streams: 2 }));
        tokio::spawn(collect(name.to_owned(), stdout.context("a pipe for its output")?, output.clone()));
        tokio::spawn(collect(name.to_owned(), stderr.context("a pipe for its errors")?, output.clone()));
        Ok(Self { name: name.to_owned(), group, output })
    }

    /// What the test calls it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.group.id()
    }

    /// Everything that it printed so far, on both streams.
    #[must_use]
    pub fn output(&self) -> String {
        self.output.lock().unwrap_or_else(PoisonError::into_inner).lines.join("\n")
    }

    /// Lines that it printed so far: a place to read on from.
    #[must_use]
    pub fn lines(&self) -> usize {
        self.output.lock().unwrap_or_else(PoisonError::into_inner).lines.len()
    }

    /// Waits for a line that contains `text`, and gives it. One that it has printed already counts.
    ///
    /// # Errors
    /// When none comes, or the program ends without it; the output is part of the error.
    pub async fn line(&self, text: &str, patience: Duration) -> Result<String> {
        self.line_after(0, text, patience).await
    }

    /// As [`line`](Self::line), of what comes after the first [`lines`](Self::lines) of it.
    ///
    /// # Errors
    /// As for [`line`](Self::line).
    pub async fn line_after(&self, lines: usize, text: &str, patience: Duration) -> Result<String> {
        let what = format!("{text:?} from {}", self.name);
        let found = wait_for(&what, patience, async || {
            let output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
            match output.lines.iter().skip(lines).find(|line| line.contains(text)) {
                Some(line) => Some(Ok(line.clone())),
                None if output.open_streams == 0 => Some(Err(anyhow::anyhow!("it ended without {what}"))),
                None => None,
            }
        });
        let found = found.await.and_then(|found| found);
        found.with_context(|| format!("{} printed:\n{}", self.name, self.output()))
    }

    /// Asks it to stop.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn terminate(&mut self) -> Result<()> {
        self.group.signal_leader(Signal::SIGTERM)
    }

    /// Kills it as a crash would: only it, not what it started.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub async fn kill(&mut self) -> Result<()> {
        self.group.signal_leader(Signal::SIGKILL)?;
        self.group.wait(Duration::from_secs(10)).await.map(drop)
    }

    /// Stops it in its tracks.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn freeze(&mut self) -> Result<()> {
        self.group.signal_leader(Signal::SIGSTOP)
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn thaw(&mut self) -> Result<()> {
        self.group.signal_leader(Signal::SIGCONT)
    }

    /// The exit status, if it has ended.
    #[must_use]
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.group.ended()
    }

    /// Waits for it to end by itself.
    ///
    /// # Errors
    /// When it does not; the output is part of the error.
    pub async fn wait(&mut self, patience: Duration) -> Result<ExitStatus> {
        let status = self.group.wait(patience).await;
        status.with_context(|| format!("{} printed:\n{}", self.name, self.output()))
    }
}

async fn collect(name: String, stream: impl AsyncRead + Unpin, output: Arc<Mutex<Output>>) {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    while matches!(stream.read_until(b'\n', &mut line).await, Ok(bytes) if bytes > 0) {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        line.clear();
        // Shown with the test's own output when it fails.
        println!("[{name}] {text}");
        let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
        if output.lines.len() < LINES_MAX {
            output.lines.push(text);
        }
    }
    output.lock().unwrap_or_else(PoisonError::into_inner).open_streams -= 1;
}
