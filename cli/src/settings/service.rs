//! What a process is told that does something for longer than a command: how much, where, under which name.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::ops::RangeInclusive;

use backstitch_coordinator::service::KeepHistory;
use clap::Args;

use super::SettingsFile;

/// Where the API is served by default: for the same machine only.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 3070);

/// Tasks that one message may carry: as many as a batch may have, and fewer for tasks that shall spread over workers.
pub(crate) const TASKS_PER_MESSAGE: RangeInclusive<i64> = 1..=1_000;

/// How much runs at once in this process.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct SlotsArgs {
    /// Tasks that run at once in this process [env: BACKSTITCH_SLOTS] [default: the processors of this machine]
    #[arg(long, env = "BACKSTITCH_SLOTS", hide_env = true, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    slots: Option<u32>,
}

impl SlotsArgs {
    /// The number.
    pub(crate) fn slots(self, file: &SettingsFile) -> u32 {
        let named = self.slots.or(file.slots.map(NonZeroU32::get));
        named.unwrap_or_else(|| backstitch_worker::WorkerOptions::default().slots)
    }
}

/// Where a coordinator serves its API.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct ListenArgs {
    /// Where the API is served; it has no authentication, so keep it inside [env: BACKSTITCH_LISTEN] [default: 127.0.0.1:3070]
    #[arg(long, env = "BACKSTITCH_LISTEN", hide_env = true, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

impl ListenArgs {
    /// The address.
    pub(crate) fn listen(self, file: &SettingsFile) -> SocketAddr {
        self.listen.or(file.listen).unwrap_or(LISTEN)
    }
}

/// How long a ledger keeps the history of attempts.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct HistoryArgs {
    /// Days for which the attempts of a run stay in the ledger; older months are removed whole [env: BACKSTITCH_KEEP_HISTORY] [default: for ever]
    #[arg(long, env = "BACKSTITCH_KEEP_HISTORY", hide_env = true, value_name = "DAYS")]
    keep_history: Option<NonZeroU32>,
}

impl HistoryArgs {
    /// The setting of the coordinator.
    pub(crate) fn keep(self, file: &SettingsFile) -> Option<KeepHistory> {
        self.keep_history.or(file.keep_history).map(|days| KeepHistory { days })
    }
}
