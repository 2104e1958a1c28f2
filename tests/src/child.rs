//! A process that is ours: in a group of its own, and killed with it at the latest on drop.
//!
//! A test that is itself killed (a timeout, Ctrl-C) drops nothing. So each group has a guard beside it: a shell that
//! waits on a pipe whose other end only we hold. When we end, in whatever way, the pipe ends, and the guard kills the
//! group.

use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::time::timeout;

use crate::wait::wait_for;

/// A running process group.
#[derive(Debug)]
pub(crate) struct Group {
    child: Child,
    leader: Pid,
    /// Goes last: it is for the case that nothing here is run.
    _guard: Guard,
}

/// Kills a process group when this process is gone.
#[derive(Debug)]
struct Guard {
    shell: std::process::Child,
}

impl Group {
    /// Starts `command` in its own process group, so that a signal reaches its children and no Ctrl-C reaches it.
    pub(crate) fn spawn(command: &mut Command) -> Result<Self> {
        let child = command.process_group(0).kill_on_drop(true).spawn();
        let child = child.with_context(|| format!("starting {:?}", command.as_std().get_program()))?;
        let leader = child.id().context("a child that was never awaited has an id")?;
        let leader = Pid::from_raw(leader.try_into().context("process ids fit")?);
        Ok(Self { _guard: Guard::over(leader)?, leader, child })
    }

    /// Process id of the leader.
    pub(crate) fn id(&self) -> u32 {
        self.leader.as_raw().unsigned_abs()
    }

    /// The ends of its pipes, once.
    pub(crate) fn take_output(&mut self) -> (Option<ChildStdout>, Option<ChildStderr>) {
        (self.child.stdout.take(), self.child.stderr.take())
    }

    /// The exit status, if the leader has ended.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Sends `signal` to every process of the group.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        match killpg(self.leader, signal) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(error) => {
                Err(error).with_context(|| format!("sending {signal} to process group {}", self.leader))
            }
        }
    }

    /// Sends `signal` to the leader only.
    pub(crate) fn signal_leader(&mut self, signal: Signal) -> Result<()> {
        if self.ended().is_some() {
            return Ok(());
        }
        // Not reaped yet, so the id is still this process's.
        nix::sys::signal::kill(self.leader, signal)
            .with_context(|| format!("sending {signal} to {}", self.leader))
    }

    /// Sends `signal` to the leader and to its children, also to those that left the group. Which those are.
    pub(crate) fn signal_family(&self, signal: Signal) -> Result<Vec<Pid>> {
        self.signal(signal)?;
        let children = children(self.leader)?;
        for child in &children {
            // A child may have ended since.
            let _ = nix::sys::signal::kill(*child, signal);
        }
        Ok(children)
    }

    /// Kills the leader and its children, also those that left the group, so that none of them can do anything about
    /// it; waits for all of them.
    pub(crate) async fn kill_family(self, patience: Duration) -> Result<()> {
        // Stopped first: a leader that runs would make children, and one that is dead has none to be found by.
        let children = self.signal_family(Signal::SIGSTOP)?;
        for child in &children {
            let _ = nix::sys::signal::kill(*child, Signal::SIGKILL);
        }
        self.kill().await?;
        wait_for("the children of a killed process to end", patience, async || {
            children.iter().all(|child| !lives(*child)).then_some(())
        })
        .await
    }

    /// Waits for the leader to end, where no runtime is there to wait with: in `Drop`.
    #[expect(clippy::disallowed_methods, reason = "drop cannot await")]
    pub(crate) fn wait_blocking(&mut self, patience: Duration) {
        let deadline = Instant::now() + patience;
        while self.ended().is_none() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for the leader to end.
    pub(crate) async fn wait(&mut self, patience: Duration) -> Result<ExitStatus> {
        match timeout(patience, self.child.wait()).await {
            Ok(status) => status.context("waiting for a process"),
            Err(_) => bail!("process {} did not end within {} s", self.leader, patience.as_secs()),
        }
    }

    /// Kills every process of the group, and waits for the leader.
    pub(crate) async fn kill(mut self) -> Result<()> {
        self.signal(Signal::SIGKILL)?;
        self.wait(Duration::from_secs(10)).await.map(drop)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Before the guard goes. An error means that all of it is gone.
        let _ = killpg(self.leader, Signal::SIGKILL);
    }
}

impl Guard {
    fn over(leader: Pid) -> Result<Self> {
        let script = format!("read -r word; [ \"$word\" = done ] || kill -s KILL -- -{leader}");
        // In a group of its own: whatever kills our group shall not kill the guard.
        let shell = std::process::Command::new("sh")
            .args(["-c", &script])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Ok(Self { shell: shell.context("starting a guard")? })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(mut pipe) = self.shell.stdin.take() {
            // An error means that it is gone already.
            let _ = pipe.write_all(b"done\n");
        }
        let _ = self.shell.wait();
    }
}

/// Whether a process that is no child of ours runs. One that nobody has waited for holds nothing any more.
fn lives(id: Pid) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    status.lines().any(|line| line.strip_prefix("State:").is_some_and(|state| !state.trim().starts_with('Z')))
}

/// The processes whose parent is `parent`, as /proc shows them.
fn children(parent: Pid) -> Result<Vec<Pid>> {
    let processes = std::fs::read_dir("/proc").context("looking for child processes")?;
    let ids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let is_child = |id: &i32| {
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        status
            .lines()
            .any(|line| line.strip_prefix("PPid:").is_some_and(|id| id.trim() == parent.to_string()))
    };
    Ok(ids.filter(is_child).map(Pid::from_raw).collect())
}

/// Both output streams into one file, appended, for the error message of a server that does not start.
pub(crate) fn log_to(command: &mut Command, path: &Path) -> Result<()> {
    let log = File::options().create(true).append(true).open(path);
    let log = log.with_context(|| format!("opening {}", path.display()))?;
    let copy = log.try_clone().context("opening a log twice")?;
    command.stdin(Stdio::null()).stdout(log).stderr(copy);
    Ok(())
}

/// The end of a log.
pub(crate) fn tail(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}
