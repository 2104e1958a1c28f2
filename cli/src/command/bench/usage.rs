//! Processor time and memory of processes on this machine, from `/proc`.
//!
//! The servers are found by what is known of them: the session that Postgres gave us is a child of its postmaster, and
//! somebody listens on RabbitMQ's port. A server on another machine, or of another user whom we may not look at, has no
//! figures, and the report says null.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde::Serialize;

/// Clock ticks of `/proc/PID/stat` in a second: the kernel's USER_HZ, which is this on every platform we know.
const TICKS_PER_SECOND: f64 = 100.0;

/// What a role has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Usage {
    /// Processor time while the tasks ran, seconds.
    pub(super) cpu_seconds: f64,
    /// The most memory of all its processes together, megabytes. Pages that several share are counted once.
    pub(super) peak_mb: f64,
}

/// A process with everything that it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tree(u32);

/// Follows the usage of one role.
#[derive(Debug)]
pub(super) struct Meter {
    trees: Vec<Tree>,
    cpu_at_start: f64,
    peak_mb: f64,
}

impl Meter {
    /// Begins now. `None` when there is nothing to look at.
    pub(super) fn start(trees: Vec<Tree>) -> Option<Self> {
        if trees.is_empty() {
            return None;
        }
        let family = Family::read();
        let cpu_at_start = trees.iter().map(|tree| family.cpu_seconds(*tree)).sum();
        let mut meter = Self { trees, cpu_at_start, peak_mb: 0.0 };
        meter.look(&family);
        Some(meter)
    }

    /// Looks at the memory. Often enough, or peaks are missed.
    pub(super) fn look(&mut self, family: &Family) {
        let now: f64 = self.trees.iter().map(|tree| family.memory_mb(*tree)).sum();
        self.peak_mb = self.peak_mb.max(now);
    }

    /// What was used since the start.
    pub(super) fn usage(&mut self, family: &Family) -> Usage {
        self.look(family);
        let cpu: f64 = self.trees.iter().map(|tree| family.cpu_seconds(*tree)).sum();
        // One process knows its own peak, which no look can miss.
        let own_peak = match *self.trees.as_slice() {
            [Tree(pid)] if family.of(Tree(pid)).len() == 1 => high_water_mb(pid),
            _ => None,
        };
        Usage { cpu_seconds: cpu - self.cpu_at_start, peak_mb: own_peak.unwrap_or(self.peak_mb) }
    }
}

impl Tree {
    /// A process of ours.
    pub(super) fn of(pid: u32) -> Self {
        Self(pid)
    }

    /// The server of which `session` is a child, if it is a process of this name here.
    pub(super) fn parent_of(session: u32, name: &str) -> Option<Self> {
        (comm(session)? == name).then(|| stat(session).map(|stat| Self(stat.parent)))?
    }

    /// Whoever listens on `port` here.
    pub(super) fn listening_on(port: u16) -> Option<Self> {
        let sockets = listening_sockets(port);
        let pid = pids().find(|pid| {
            let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
            files.flatten().filter_map(|file| fs::read_link(file.path()).ok()).any(|link| {
                let inode = link.to_str().and_then(|link| link.strip_prefix("socket:["));
                inode.and_then(|inode| inode.strip_suffix(']')).is_some_and(|inode| sockets.contains(inode))
            })
        });
        pid.map(Self)
    }
}

/// All processes and their parents, at one moment.
#[derive(Debug)]
pub(super) struct Family {
    stats: BTreeMap<u32, Stat>,
}

impl Family {
    /// As it is now.
    pub(super) fn read() -> Self {
        Self { stats: pids().filter_map(|pid| Some((pid, stat(pid)?))).collect() }
    }

    fn of(&self, Tree(root): Tree) -> BTreeSet<u32> {
        let mut family = BTreeSet::from([root]);
        let mut generation = vec![root];
        while let Some(parent) = generation.pop() {
            let children = self.stats.iter().filter(|(_, stat)| stat.parent == parent).map(|(pid, _)| *pid);
            generation.extend(children.filter(|child| family.insert(*child)));
        }
        family
    }

    /// Of the living, and of children that have ended: their parents inherit it.
    fn cpu_seconds(&self, tree: Tree) -> f64 {
        let ticks =
            self.of(tree).iter().filter_map(|pid| self.stats.get(pid)).map(|stat| stat.ticks).sum::<u64>();
        ticks as f64 / TICKS_PER_SECOND
    }

    fn memory_mb(&self, tree: Tree) -> f64 {
        self.of(tree).iter().filter_map(|pid| proportional_mb(*pid)).sum()
    }
}

#[derive(Clone, Copy, Debug)]
struct Stat {
    parent: u32,
    ticks: u64,
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold anything, brackets too.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11..15)?.iter().filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Some(Stat { parent: fields.get(1)?.parse().ok()?, ticks })
}

fn comm(pid: u32) -> Option<String> {
    Some(fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim().to_owned())
}

fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Memory of a process, its share of pages that others use too.
fn proportional_mb(pid: u32) -> Option<f64> {
    field_mb(Path::new(&format!("/proc/{pid}/smaps_rollup")), "Pss:")
}

fn high_water_mb(pid: u32) -> Option<f64> {
    field_mb(Path::new(&format!("/proc/{pid}/status")), "VmHWM:")
}

fn field_mb(path: &Path, field: &str) -> Option<f64> {
    let text = fs::read_to_string(path).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(field))?;
    let kilobytes: f64 = value.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes / 1_024.0)
}

/// Inodes of the sockets that listen on `port`.
fn listening_sockets(port: u16) -> BTreeSet<String> {
    const LISTENING: &str = "0A";
    let local = format!(":{port:04X}");
    let tables =
        ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
    let lines = tables.iter().flat_map(|table| table.lines());
    let rows = lines.map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row.get(1).is_some_and(|at| at.ends_with(&local)) && row.get(3) == Some(&LISTENING))
        .filter_map(|row| Some((*row.get(9)?).to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_found_by_the_port_that_it_listens_on_and_has_used_something() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let tree = Tree::listening_on(listener.local_addr().unwrap().port()).unwrap();
        assert_eq!(tree, Tree::of(std::process::id()));
        let mut meter = Meter::start(vec![tree]).unwrap();
        assert!(meter.usage(&Family::read()).peak_mb > 0.1);
    }
}
