//! The wall clock of one process, which a test sets while it runs. `CLOCK_MONOTONIC` stays as it is, as it does when
//! somebody sets a real clock.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use tempfile::NamedTempFile;

/// Where Debian's package `libfaketime` puts it, by architecture.
const LIBRARIES: [&str; 2] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
];

/// The wall clock of one process and of the commands that it starts.
#[derive(Debug)]
pub struct WallClock {
    offset: NamedTempFile,
    library: &'static str,
}

impl WallClock {
    /// A clock that is right.
    ///
    /// # Errors
    /// When libfaketime is not installed.
    pub fn right() -> Result<Self> {
        let library = LIBRARIES.into_iter().find(|path| Path::new(path).exists());
        let library = library.context("libfaketime is not installed: run tests/run")?;
        let offset = tempfile::Builder::new().prefix("backstitch-clock-").tempfile()?;
        let clock = Self { offset, library };
        clock.set(0)?;
        Ok(clock)
    }

    /// What makes a process go by it.
    pub(crate) fn variables(&self) -> [(&'static str, String); 4] {
        [
            ("LD_PRELOAD", self.library.to_owned()),
            ("FAKETIME_TIMESTAMP_FILE", self.offset.path().display().to_string()),
            // Looked at once a second, instead of at every look at the clock.
            ("FAKETIME_CACHE_DURATION", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
    }

    /// How far ahead of the right time it was set, seconds.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn ahead_s(&self) -> Result<i64> {
        let offset = std::fs::read_to_string(self.offset.path()).context("reading a clock")?;
        offset.trim().parse().context("reading a clock")
    }

    /// Sets it to so many seconds ahead of the right time. The process sees it within a second or two.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set(&self, ahead_s: i64) -> Result<()> {
        // In one piece: a reader that finds the file empty goes back to the right time.
        let folder = self.offset.path().parent().context("a folder")?;
        let mut next = NamedTempFile::new_in(folder)?;
        writeln!(next, "{ahead_s:+}")?;
        // The user whose process goes by it need not be whoever sets it.
        std::fs::set_permissions(next.path(), PermissionsExt::from_mode(0o644)).context("setting a clock")?;
        next.persist(self.offset.path()).context("setting a clock")?;
        Ok(())
    }
}
