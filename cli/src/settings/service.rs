//! What a process is told that does something for longer than a command: how much, where, under which name.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::ops::RangeInclusive;

use anyhow::Result;
use backstitch_coordinator::service::KeepHistory;
use clap::Args;

use super::{SettingsFile, flag_or_variable};

/// Where the API is served by default: for the same machine only.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 3070);

/// Tasks that one message may carry: as many as a batch may have, and fewer for tasks that shall spread over workers.
pub(super) const TASKS_PER_MESSAGE: RangeInclusive<i64> = 1..=1_000;

/// How much runs at once in this process.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct SlotsArgs {
    /// Tasks that run at once in this process [env: BACKSTITCH_SLOTS] [default: the processors of this machine]
    #[arg(long, value_name = "N")]
    slots: Option<NonZeroU32>,
}

impl SlotsArgs {
    /// The number.
    pub(crate) fn slots(self, file: &SettingsFile) -> Result<u32> {
        let named = flag_or_variable(self.slots, "BACKSTITCH_SLOTS", str::parse::<NonZeroU32>)?;
        let default = || backstitch_worker::WorkerOptions::default().slots;
        Ok(named.or(file.slots).map_or_else(default, NonZeroU32::get))
    }
}

/// Where a coordinator serves its API.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct ListenArgs {
    /// Where the API is served; it has no authentication, so keep it inside [env: BACKSTITCH_LISTEN] [default: 127.0.0.1:3070]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

impl ListenArgs {
    /// The address.
    pub(crate) fn listen(self, file: &SettingsFile) -> Result<SocketAddr> {
        let named = flag_or_variable(self.listen, "BACKSTITCH_LISTEN", str::parse::<SocketAddr>)?;
        Ok(named.or(file.listen).unwrap_or(LISTEN))
    }
}

/// How long a ledger keeps the history of attempts.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct HistoryArgs {
    /// Days for which the attempts of a run stay in the ledger; older months are removed whole [env: BACKSTITCH_KEEP_HISTORY] [default: for ever]
    #[arg(long, value_name = "DAYS")]
    keep_history: Option<NonZeroU32>,
}

impl HistoryArgs {
    /// The setting of the coordinator.
    pub(crate) fn keep(self, file: &SettingsFile) -> Result<Option<KeepHistory>> {
        let named = flag_or_variable(self.keep_history, "BACKSTITCH_KEEP_HISTORY", str::parse::<NonZeroU32>)?;
        Ok(named.or(file.keep_history).map(|days| KeepHistory { days }))
    }
}

/// Reads a number of tasks per message.
pub(crate) fn tasks_per_message(text: &str) -> Result<u32, String> {
    let tasks = text.parse::<u32>().ok().filter(|tasks| TASKS_PER_MESSAGE.contains(&i64::from(*tasks)));
    let (least, most) = TASKS_PER_MESSAGE.into_inner();
    tasks.ok_or_else(|| format!("expected a number from {least} to {most}"))
}
