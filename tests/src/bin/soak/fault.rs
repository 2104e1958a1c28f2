//! What breaks, one thing at a time.

use std::time::Duration;

use anyhow::{Result, ensure};
use backstitch_tests::cluster::Cluster;
use backstitch_tests::wait::pass;
use rand::Rng;
use rand::rngs::StdRng;

use super::{lines, processes, servers, strangers};

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    KillWorker,
    TerminateWorkers,
    FreezeWorker,
    KillCoordinator,
    FreezeCoordinator,
    TerminateCoordinator,
    SetClock,
    Lines(Weather),
    KillBroker,
    FreezeBroker,
    FillMemory,
    FillDisk,
    KillDatabase,
    FreezeDatabase,
    EndSessions,
    Garbage,
    Copies,
}

/// What the network does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Weather {
    Cut,
    Refuse,
    Silence,
    HalfOpen,
    Slow,
}

/// Every kind.
pub(super) const ALL: [Fault; 21] = [
    Fault::KillWorker,
    Fault::TerminateWorkers,
    Fault::FreezeWorker,
    Fault::KillCoordinator,
    Fault::FreezeCoordinator,
    Fault::TerminateCoordinator,
    Fault::SetClock,
    Fault::Lines(Weather::Cut),
    Fault::Lines(Weather::Refuse),
    Fault::Lines(Weather::Silence),
    Fault::Lines(Weather::HalfOpen),
    Fault::Lines(Weather::Slow),
    Fault::KillBroker,
    Fault::FreezeBroker,
    Fault::FillMemory,
    Fault::FillDisk,
    Fault::KillDatabase,
    Fault::FreezeDatabase,
    Fault::EndSessions,
    Fault::Garbage,
    Fault::Copies,
];

/// Longer than a worker may be silent (`coordinator/src/engine/mod.rs`), and than a leader may.
const BEYOND_EVERY_LEASE: Duration = Duration::from_secs(12);

/// What is broken, and for how long at most.
pub(super) struct Strike<'a> {
    pub(super) cluster: &'a mut Cluster,
    pub(super) rng: &'a mut StdRng,
    pub(super) longest: Duration,
    /// Nothing was broken in this way before.
    pub(super) is_first: bool,
}

impl Strike<'_> {
    /// Breaks it, and lets it be broken for some time. The caller heals lines and processes. Whether there was anything
    /// that could be broken in this way.
    pub(super) async fn make(&mut self, fault: Fault) -> Result<bool> {
        match fault {
            Fault::KillWorker => return processes::kill_worker(self).await,
            Fault::TerminateWorkers => return processes::terminate_workers(self).await,
            Fault::FreezeWorker => return processes::freeze_worker(self).await,
            Fault::KillCoordinator => processes::kill_coordinator(self).await?,
            Fault::FreezeCoordinator => processes::freeze_coordinator(self).await?,
            Fault::TerminateCoordinator => processes::terminate_coordinator(self).await?,
            Fault::SetClock => processes::set_clock(self)?,
            Fault::Lines(weather) => lines::spoil(self, weather).await,
            Fault::KillBroker => servers::kill_broker(self).await?,
            Fault::FreezeBroker => servers::freeze_broker(self).await?,
            Fault::FillMemory => servers::fill_memory(self).await?,
            Fault::FillDisk => servers::fill_disk(self).await?,
            Fault::KillDatabase => servers::kill_database(self).await?,
            Fault::FreezeDatabase => servers::freeze_database(self).await?,
            Fault::EndSessions => servers::end_sessions(self).await?,
            Fault::Garbage => strangers::send_garbage(self).await?,
            Fault::Copies => return strangers::send_copies(self).await,
        }
        Ok(true)
    }

    /// Lets it be broken for `part` of what is chosen.
    pub(super) async fn stay_broken(&mut self, part: f64) {
        pass(self.choose_time(part)).await;
    }

    /// The same for what stands still: at first for so long that every lease runs out, however short the soak is.
    pub(super) async fn stay_frozen(&mut self, part: f64) {
        let least = if self.is_first { BEYOND_EVERY_LEASE } else { Duration::ZERO };
        pass(self.choose_time(part).max(least)).await;
    }

    /// More often a moment than long.
    fn choose_time(&mut self, part: f64) -> Duration {
        let chosen: f64 = self.rng.random_range(0.15..1.0);
        self.longest.mul_f64(chosen * chosen * part)
    }
}

/// Starts what was killed or told to stop, as a supervisor does. Nothing may have left by itself.
pub(super) async fn replace_what_is_gone(cluster: &mut Cluster) -> Result<()> {
    cluster.replace_ended_workers().await?;
    for coordinator in &mut cluster.coordinators {
        ensure!(
            coordinator.process.ended().is_none(),
            "a coordinator left:\n{}",
            coordinator.process.output()
        );
    }
    while cluster.coordinators.len() < 2 {
        cluster.add_coordinator().await?;
    }
    Ok(())
}
