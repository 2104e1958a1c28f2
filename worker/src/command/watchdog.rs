//! Children must not outlive their worker, not even one that is killed with KILL.
//!
//! Nothing inside a process survives KILL, so something beside it has to notice. `PR_SET_PDEATHSIG` is not that
//! thing: it needs code between fork and exec (`unsafe`), ends the child alone and not its group, and fires when
//! the *thread* that started the child ends. Instead one `sh` per worker, in a process group of its own, reads the
//! live process groups from a pipe. The kernel closes the pipe when the worker dies, however it dies; `sh` then
//! kills what is left and ends.
//!
//! Without a `sh` on the machine the worker works on and says so once. A child that survives its worker is then
//! still fenced: its outcome has nobody to report it, and the next attempt carries another token.

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use tracing::warn;

/// `+ GROUP` adds a group, `- GROUP` removes it, the end of the input kills all that are left.
const SCRIPT: &str = r#"
groups=
while read -r act group; do
    case $act in
    +) groups="$groups $group" ;;
    -)
        rest=
        for each in $groups; do
            [ "$each" = "$group" ] || rest="$rest $each"
        done
        groups=$rest
        ;;
    esac
done
for each in $groups; do
    kill -s KILL -- "-$each"
done
"#;

/// Kills the process groups that are left when this process dies.
#[derive(Debug, Default)]
pub(crate) struct Watchdog(Mutex<State>);

#[derive(Debug, Default)]
enum State {
    /// No child was started yet, so nothing runs.
    #[default]
    Asleep,
    Awake {
        // Dropped before `process`: its end is what ends the process.
        input: ChildStdin,
        process: Child,
    },
    /// It could not be started or has died.
    Missing,
}

/// A process group that dies with the worker for as long as this lives.
#[derive(Debug)]
pub(crate) struct Protected<'a> {
    watchdog: &'a Watchdog,
    group: u32,
}

impl Watchdog {
    /// Protects a process group.
    pub(crate) fn protect(&self, group: u32) -> Protected<'_> {
        self.tell('+', group);
        Protected { watchdog: self, group }
    }

    fn tell(&self, act: char, group: u32) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, State::Asleep) {
            *state = start().unwrap_or_else(|error| lost(&error));
        }
        if let State::Awake { input, .. } = &mut *state
            && let Err(error) = input.write_all(format!("{act} {group}\n").as_bytes())
        {
            *state = lost(&error);
        }
    }
}

impl Drop for Protected<'_> {
    fn drop(&mut self) {
        self.watchdog.tell('-', self.group);
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        let state = std::mem::take(self.0.get_mut().unwrap_or_else(PoisonError::into_inner));
        if let State::Awake { input, mut process } = state {
            drop(input);
            // It ends at once; waiting for it leaves no zombie.
            let _ = process.wait();
        }
    }
}

fn start() -> io::Result<State> {
    let mut process = Command::new("/bin/sh")
        .args(["-c", SCRIPT])
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // A signal to the worker's group must not end it before the worker.
        .process_group(0)
        .spawn()?;
    let input = process.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
    Ok(State::Awake { input, process })
}

fn lost(error: &io::Error) -> State {
    warn!(
        error = error as &dyn std::error::Error,
        "no watchdog: commands may outlive this worker if it is killed with KILL"
    );
    State::Missing
}
