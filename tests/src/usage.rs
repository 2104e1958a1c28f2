//! What a program has used so far, as /proc tells it.

use anyhow::{Context, Result};

use crate::process::Process;

/// A tick is a hundredth of a second on every Linux.
const TICK_MS: u64 = 10;

impl Process {
    /// Processor time that it has taken, milliseconds, without that of its children.
    ///
    /// # Errors
    /// When it has ended.
    pub fn processor_ms(&self) -> Result<u64> {
        let line = self.proc_file("stat")?;
        // The name may contain anything; user and system time are fields 14 and 15.
        let after_name = line.rsplit_once(") ").context("a line of /proc")?.1;
        let fields: Vec<&str> = after_name.split(' ').collect();
        let ticks =
            |field: usize| fields.get(field).context("a field of /proc")?.parse::<u64>().context("ticks");
        Ok((ticks(11)? + ticks(12)?) * TICK_MS)
    }

    /// The most memory that it ever had, megabytes.
    ///
    /// # Errors
    /// When it has ended.
    pub fn memory_peak_mb(&self) -> Result<u64> {
        let status = self.proc_file("status")?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        Ok(peak.context("no peak in /proc")?.trim().parse::<u64>()? / 1024)
    }

    fn proc_file(&self, name: &str) -> Result<String> {
        let path = format!("/proc/{}/{name}", self.id());
        std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))
    }
}
