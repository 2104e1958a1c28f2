//! Packets that the network loses, on their way to and from certain ports of this machine.
//!
//! A rule of nftables throws away what arrives. Thrown away where it leaves, the kernel would tell its sender at once;
//! a network tells nobody, and the sender finds out by itself.
//!
//! Rules outlive the process that made them. Their table carries its id: whoever is next removes the tables of
//! processes that are gone.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};

/// What every table is called, before the id of its process and its number in it.
const PREFIX: &str = "backstitch_loss_";

/// Tables that this process has made.
static TABLES: AtomicUsize = AtomicUsize::new(0);

/// Some of the packets are lost for as long as this lives.
#[derive(Debug)]
pub struct Loss {
    table: String,
}

impl Loss {
    /// Whether packets can be lost here: it takes root, nftables, and a kernel that has it.
    #[must_use]
    pub fn is_possible() -> bool {
        nft("list tables ip").is_ok()
    }

    /// From now on so many of a hundred packets to these ports are lost, and as many from them.
    ///
    /// # Errors
    /// When the rules are refused.
    pub fn of(percent: u32, ports: &[u16]) -> Result<Self> {
        remove_left_behind()?;
        let number = TABLES.fetch_add(1, Ordering::Relaxed);
        let table = format!("{PREFIX}{}_{number}", std::process::id());
        let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
        let ports = ports.join(", ");
        let rule = |end| {
            format!("iifname lo tcp {end} {{ {ports} }} numgen random mod 100 < {percent} counter drop")
        };
        nft(&format!(
            "table ip {table} {{\n chain arriving {{\n type filter hook input priority 0; policy accept;\n \
             {}\n {}\n }}\n}}",
            rule("dport"),
            rule("sport")
        ))
        .context("losing packets")?;
        Ok(Self { table })
    }

    /// Packets that were lost so far, to the ports and from them.
    ///
    /// # Errors
    /// When the rules are gone.
    pub fn packets(&self) -> Result<[u64; 2]> {
        let rules = nft(&format!("list table ip {}", self.table))?;
        let mut counted = rules.split("counter packets ").skip(1).map(|rest| {
            let number = rest.split_whitespace().next().context("a counter")?;
            number.parse().context("a counter")
        });
        let mut next = || counted.next().context("a counter of lost packets")?;
        Ok([next()?, next()?])
    }
}

impl Drop for Loss {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.table) {
            eprintln!("{error:#}");
        }
    }
}

/// Removes the tables of tests that were killed.
fn remove_left_behind() -> Result<()> {
    for line in nft("list tables ip")?.lines() {
        let Some(table) = line.strip_prefix("table ip ").filter(|table| table.starts_with(PREFIX)) else {
            continue;
        };
        let process = table[PREFIX.len()..].split('_').next().unwrap_or_default();
        if !Path::new("/proc").join(process).exists() {
            // Somebody else may be doing the same.
            _ = remove(table);
        }
    }
    Ok(())
}

fn remove(table: &str) -> Result<()> {
    nft(&format!("delete table ip {table}")).map(drop)
}

/// Has `nft` carry out a script; what it says.
fn nft(script: &str) -> Result<String> {
    let run = || -> std::io::Result<Output> {
        let mut command = Command::new("nft");
        // It is not in the path of everybody who may call it.
        command.env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin").args(["-f", "-"]);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        if let Some(mut input) = child.stdin.take() {
            writeln!(input, "{script}")?;
        }
        child.wait_with_output()
    };
    let output = run().context("running nft (Debian: apt-get install nftables)")?;
    ensure!(output.status.success(), "nft: {}\n{script}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
