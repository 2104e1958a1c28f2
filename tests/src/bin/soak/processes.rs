//! Processes that die, are told to stop, stand still, or have another time.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use backstitch_tests::process::Process;
use rand::Rng;
use rand::seq::{IndexedRandom, IteratorRandom};

use super::fault::Strike;

/// Longer than any process of ours takes to stop.
const STOP: Duration = Duration::from_secs(60);

/// How far a wall clock may be ahead, seconds.
const AHEAD_S: [i64; 5] = [0, 3_600, -3_600, 86_400, -86_400];

/// A worker that runs. A task may have killed others, or all of them.
fn living_worker<'a>(strike: &'a mut Strike<'_>) -> Option<&'a mut Process> {
    let workers = strike.cluster.workers.iter_mut().map(|worker| &mut worker.process);
    workers.filter_map(|process| process.ended().is_none().then_some(process)).choose(strike.rng)
}

pub(super) async fn kill_worker(strike: &mut Strike<'_>) -> Result<bool> {
    let Some(worker) = living_worker(strike) else { return Ok(false) };
    worker.kill().await?;
    Ok(true)
}

pub(super) async fn terminate_workers(strike: &mut Strike<'_>) -> Result<bool> {
    let last = strike.rng.random_range(0..strike.cluster.workers.len());
    let workers = &mut strike.cluster.workers[..=last];
    // One that a task has killed meanwhile is no worker that was told to stop.
    let mut told: Vec<_> = workers
        .iter_mut()
        .filter_map(|worker| {
            let process = &mut worker.process;
            process.ended().is_none().then_some(process)
        })
        .collect();
    let are_there = !told.is_empty();
    for process in &mut told {
        process.terminate()?;
    }
    for process in told {
        let status = process.wait(STOP).await?;
        let killed = std::os::unix::process::ExitStatusExt::signal(&status).is_some();
        ensure!(status.success() || killed, "a worker that was told to stop ended with {status}");
    }
    Ok(are_there)
}

pub(super) async fn freeze_worker(strike: &mut Strike<'_>) -> Result<bool> {
    let Some(worker) = living_worker(strike) else { return Ok(false) };
    worker.freeze()?;
    strike.stay_frozen(1.0).await;
    Ok(true)
}

pub(super) async fn kill_coordinator(strike: &mut Strike<'_>) -> Result<()> {
    let coordinator = strike.rng.random_range(0..strike.cluster.coordinators.len());
    strike.cluster.coordinators.remove(coordinator).process.kill().await
}

pub(super) async fn terminate_coordinator(strike: &mut Strike<'_>) -> Result<()> {
    let coordinator = strike.rng.random_range(0..strike.cluster.coordinators.len());
    let mut told = strike.cluster.coordinators.remove(coordinator);
    told.process.terminate()?;
    let status = told.process.wait(STOP).await?;
    ensure!(status.success(), "a coordinator that was told to stop ended with {status}");
    Ok(())
}

pub(super) async fn freeze_coordinator(strike: &mut Strike<'_>) -> Result<()> {
    let coordinator = strike.rng.random_range(0..strike.cluster.coordinators.len());
    strike.cluster.coordinators[coordinator].process.freeze()?;
    strike.stay_frozen(1.0).await;
    Ok(())
}

/// Sets the wall clock of one process to another time than it has. It stays so.
pub(super) fn set_clock(strike: &mut Strike<'_>) -> Result<()> {
    let coordinators =
        strike.cluster.coordinators.iter().filter_map(|coordinator| coordinator.clock.as_ref());
    let workers = strike.cluster.workers.iter().filter_map(|worker| worker.clock.as_ref());
    let clocks: Vec<_> = coordinators.chain(workers).collect();
    let clock = clocks.choose(strike.rng).context("nobody has a clock of its own")?;
    let now_s = clock.ahead_s()?;
    let others = AHEAD_S.into_iter().filter(|ahead_s| *ahead_s != now_s);
    clock.set(others.choose(strike.rng).context("another time")?)
}
