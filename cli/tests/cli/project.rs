//! A project in a folder of its own, and the program run on it.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

/// Longest wait for anything that happens by itself.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// Ten days; `raw` fails on the days that are listed in the file `bad`, `sum` follows `raw`, `slow` waits until the
/// file `go` exists and leaves the file `started` when it begins.
const PROJECT: &str = r#"
partitions:
  days: { kind: daily, start: 2024-01-01, end: 2024-01-11 }
assets:
  raw:
    partitions: days
    command: [sh, bin/raw.sh, "{{partition_key}}"]
  sum:
    partitions: days
    deps: [raw]
    config:
      factor: { type: int, default: 1 }
    command: [sh, -c, "test $0 = 1", "{{config.factor}}"]
  slow:
    command: [sh, -c, "touch started; while ! test -e go; do sleep 0.02; done"]
jobs:
  daily: { select: "raw sum" }
  strict: { select: sum, config: { factor: 0 } }
"#;

const RAW: &str = r#"
if test -e bad && grep -qx "$1" bad; then
    echo "no data for $1" >&2
    exit 3
fi
echo "day=$1" >> "$BACKSTITCH_METADATA"
"#;

/// A project.
pub(crate) struct Project {
    dir: TempDir,
}

/// What a run of the program came to.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Project {
    pub(crate) fn new() -> Self {
        Self::of(PROJECT)
    }

    pub(crate) fn of(yaml: &str) -> Self {
        let this = Self { dir: tempfile::tempdir().expect("a folder") };
        this.write("backstitch.yaml", yaml);
        std::fs::create_dir(this.path().join("bin")).expect("a folder");
        this.write("bin/raw.sh", RAW);
        this
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn write(&self, file: &str, text: &str) {
        std::fs::write(self.path().join(file), text).expect("a file");
    }

    /// The program, in the folder of the project and without the settings of whoever runs the tests.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_backstitch"));
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("BACKSTITCH_") || name.starts_with("OTEL_"))
            {
                command.env_remove(name);
            }
        }
        command.args(arguments).current_dir(self.path()).stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        let output = self.command(arguments).output().expect("the program");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Ended { status: output.status, stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Runs the program to its end and reads the JSON that it printed.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let ended = self.run(&[arguments, &["--output", "json"]].concat());
        serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
    }

    /// Starts the program.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        let mut command = self.command(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        Running { child, stdout }
    }

    /// Waits until a file exists.
    pub(crate) fn wait_for(&self, file: &str) {
        let deadline = Instant::now() + SOON;
        while !self.path().join(file).exists() {
            assert!(Instant::now() < deadline, "waited in vain for {file}");
            std::thread::yield_now();
        }
    }
}

impl Ended {
    /// Ended with this status; shows everything otherwise.
    #[track_caller]
    pub(crate) fn expect(self, status: i32) -> Self {
        assert_eq!(self.status.code(), Some(status), "{}\n{}", self.stdout, self.stderr);
        self
    }

    /// Printed this, on either stream.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.stdout.contains(text) || self.stderr.contains(text), "no {text:?} in {self:?}");
        self
    }
}

/// The program, running. Killed on drop.
pub(crate) struct Running {
    child: Child,
    /// Kept open: a program whose reader has gone ends.
    stdout: BufReader<ChildStdout>,
}

impl Running {
    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).expect("a running program");
    }

    /// The first line on standard output that holds this.
    pub(crate) fn line_with(&mut self, text: &str) -> String {
        let line = self.stdout.by_ref().lines().map_while(Result::ok).find(|line| line.contains(text));
        line.unwrap_or_else(|| panic!("it never said {text:?}"))
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Ended {
        let mut stdout = String::new();
        let mut stderr = String::new();
        self.stdout.read_to_string(&mut stdout).expect("text");
        if let Some(mut pipe) = self.child.stderr.take() {
            pipe.read_to_string(&mut stderr).expect("text");
        }
        Ended { status: self.child.wait().expect("its end"), stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
