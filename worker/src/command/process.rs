//! One child process: its start, its streams, its end.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use process_wrap::tokio::{ChildWrapper, CommandWrap, KillOnDrop, ProcessGroup};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::capture::Capture;
use super::environment::Environment;
use super::scratch::Scratch;
use super::verdict::NotStarted;
use super::watchdog::Watchdog;
use crate::pipes::session::Session;
use crate::pipes::tail;
use crate::stop::{Stop, StopSignal};

/// Time for the streams to end after the child and its group have. They end at once, unless a process that left
/// the group holds them.
const STREAMS_GRACE: Duration = Duration::from_secs(2);

/// Bytes read from a stream at once: the capacity of a pipe.
const CHUNK_BYTES: usize = 64 << 10;

/// What is to be started.
#[derive(Debug)]
pub(crate) struct Program {
    /// The program as the user wrote it.
    pub(crate) name: String,
    /// The working directory.
    pub(crate) folder: PathBuf,
    path: PathBuf,
    arguments: Vec<String>,
    environment: Environment,
}

/// How an execution ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// It never began.
    NotStarted(NotStarted),
    /// By itself.
    Exited(ExitStatus),
    /// It ran past its timeout and was ended.
    TimedOut,
    /// It was told to end.
    Stopped(Stop),
}

impl Program {
    /// `arguments` holds the program's name and its arguments.
    pub(crate) fn new(
        arguments: Vec<String>,
        environment: Environment,
        folder: &Path,
    ) -> Result<Self, NotStarted> {
        let mut arguments = arguments.into_iter();
        let name = arguments.next().filter(|name| !name.is_empty()).ok_or_else(NotStarted::empty)?;
        // A bare name is looked up in PATH; a path is relative to the project, wherever the worker was started.
        let path = if name.contains('/') { folder.join(&name) } else { PathBuf::from(&name) };
        Ok(Self { name, folder: folder.to_owned(), path, arguments: arguments.collect(), environment })
    }

    fn spawn(&self) -> io::Result<Group> {
        let child = CommandWrap::with_new(&self.path, |command| {
            command
                .args(&self.arguments)
                .current_dir(&self.folder)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped());
            for name in &self.environment.removed {
                command.env_remove(name);
            }
            for (name, value) in &self.environment.set {
                command.env(name, value);
            }
        })
        .wrap(KillOnDrop)
        .wrap(ProcessGroup::leader())
        .spawn()?;
        Ok(Group(child))
    }
}

/// Runs `program` to its end, whoever brings that about. Gives what the child reported as well.
pub(crate) async fn run(
    program: &Program,
    timeout: Option<Duration>,
    grace: Duration,
    stop: &mut StopSignal,
    scratch: Scratch,
    capture: &Capture,
    watchdog: &Watchdog,
) -> (io::Result<Ended>, io::Result<Session>) {
    let mut group = match program.spawn() {
        Ok(group) => group,
        Err(error) => return (Err(error), scratch.finish().await),
    };
    let protected = group.0.id().map(|id| watchdog.protect(id));
    let (stdout, stderr) = (group.0.stdout().take(), group.0.stderr().take());
    let over = CancellationToken::new();
    let life = async {
        let ended = until_end(&mut group, timeout, grace, stop).await;
        // What is left of the group would write behind the back of the next attempt.
        group.kill();
        over.cancel();
        ended
    };
    let (ended, (), (), session) = tokio::join!(
        life,
        drain(stdout, capture, &over),
        drain(stderr, capture, &over),
        follow(scratch, &over)
    );
    drop(protected);
    (ended, session)
}

async fn until_end(
    group: &mut Group,
    timeout_after: Option<Duration>,
    grace: Duration,
    stop: &mut StopSignal,
) -> io::Result<Ended> {
    let timed_out = async {
        match timeout_after {
            Some(after) => sleep(after).await,
            None => std::future::pending().await,
        }
    };
    let stopped = tokio::select! {
        biased;
        status = group.0.wait() => return Ok(Ended::Exited(status?)),
        reason = stop.requested() => Some(reason),
        () = timed_out => None,
    };
    group.terminate();
    if timeout(grace, group.0.wait()).await.is_err() {
        group.kill();
        group.0.wait().await?;
    }
    // A stronger reason may have come while the child was ending.
    Ok(stopped.map_or(Ended::TimedOut, |reason| Ended::Stopped(stop.now().unwrap_or(reason))))
}

/// Reads a stream to its end, so that the child never waits for a reader.
async fn drain(stream: Option<impl AsyncRead + Unpin>, capture: &Capture, over: &CancellationToken) {
    let Some(mut stream) = stream else { return };
    let mut chunk = vec![0; CHUNK_BYTES];
    let deadline = async {
        over.cancelled().await;
        sleep(STREAMS_GRACE).await;
    };
    tokio::pin!(deadline);
    loop {
        let read = tokio::select! {
            biased;
            read = stream.read(&mut chunk) => read,
            () = &mut deadline => {
                capture.line("[backstitch] WARNING a process outside the group still holds the output open");
                return;
            }
        };
        match read {
            Ok(0) | Err(_) => return,
            Ok(read) => capture.push(&chunk[..read]),
        }
    }
}

/// Reads the child's messages until it is gone, then the rest.
async fn follow(mut scratch: Scratch, over: &CancellationToken) -> io::Result<Session> {
    while timeout(tail::INTERVAL, over.cancelled()).await.is_err() {
        scratch = scratch.catch_up().await?;
    }
    scratch.finish().await
}

/// A child and everything in its process group. Killed when dropped, so that no execution that is given up goes on.
#[derive(Debug)]
struct Group(Box<dyn ChildWrapper>);

impl Group {
    fn terminate(&self) {
        // It may be gone by now.
        let _ = self.0.signal(Signal::SIGTERM as i32);
    }

    fn kill(&mut self) {
        // Nobody left is what we want.
        let _ = self.0.start_kill();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // After the end the group is empty; while it runs, its id is its own. Only between lies a race, and there the
        // kernel would have to reuse the id within microseconds.
        if matches!(self.0.try_wait(), Ok(None)) {
            self.kill();
        }
    }
}
