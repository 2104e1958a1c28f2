//! What breaks, one thing at a time.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use backstitch_tests::cluster::Cluster;
use backstitch_tests::relay::{Relay, Side};
use backstitch_tests::wait::pass;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use sqlx::{Connection, PgConnection};

/// The longest that something stays broken. Two leases: everything that gives up after a while has given up.
const BROKEN_MAX: Duration = Duration::from_secs(20);

/// Longer than any process of ours takes to stop.
const STOP: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    KillWorker,
    TerminateWorkers,
    FreezeWorker,
    KillCoordinator,
    FreezeCoordinator,
    TerminateCoordinator,
    Lines(Weather),
    KillBroker,
    FreezeBroker,
    BlockBroker,
    KillDatabase,
    FreezeDatabase,
    EndSessions,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Weather {
    Cut,
    Refuse,
    Silence,
    HalfOpen,
    Slow,
}

pub(super) fn choose(rng: &mut StdRng) -> Fault {
    use Fault::*;
    let weather = [Weather::Cut, Weather::Refuse, Weather::Silence, Weather::HalfOpen, Weather::Slow];
    // The list is not empty.
    let lines = Lines(*weather.choose(rng).unwrap_or(&Weather::Cut));
    let all = [
        KillWorker,
        TerminateWorkers,
        FreezeWorker,
        KillCoordinator,
        FreezeCoordinator,
        TerminateCoordinator,
        // Each as likely as any other fault.
        lines,
        lines,
        lines,
        lines,
        lines,
        KillBroker,
        FreezeBroker,
        BlockBroker,
        KillDatabase,
        FreezeDatabase,
        EndSessions,
    ];
    *all.choose(rng).unwrap_or(&KillWorker)
}

/// Breaks it, and lets it be broken for some time. The caller heals lines and processes.
pub(super) async fn strike(fault: Fault, cluster: &mut Cluster, rng: &mut StdRng) -> Result<()> {
    let worker = rng.random_range(0..cluster.workers.len());
    let coordinator = rng.random_range(0..cluster.coordinators.len());
    let while_broken = BROKEN_MAX.mul_f64(rng.random_range(0.02..1.0));
    match fault {
        Fault::KillWorker => cluster.workers[worker].process.kill().await?,
        Fault::TerminateWorkers => {
            for worker in &mut cluster.workers[..=worker] {
                worker.process.terminate()?;
            }
            for worker in &mut cluster.workers[..=worker] {
                let status = worker.process.wait(STOP).await?;
                ensure!(status.success(), "a worker that was told to stop ended with {status}");
            }
        }
        Fault::FreezeWorker => {
            cluster.workers[worker].process.freeze()?;
            pass(while_broken).await;
        }
        Fault::KillCoordinator => {
            cluster.coordinators.remove(coordinator).process.kill().await?;
        }
        Fault::TerminateCoordinator => {
            let mut told = cluster.coordinators.remove(coordinator);
            told.process.terminate()?;
            let status = told.process.wait(STOP).await?;
            ensure!(status.success(), "a coordinator that was told to stop ended with {status}");
        }
        Fault::FreezeCoordinator => {
            cluster.coordinators[coordinator].process.freeze()?;
            pass(while_broken).await;
        }
        Fault::Lines(weather) => {
            let side = if rng.random_bool(0.5) { Side::Program } else { Side::Server };
            let (of_worker, of_coordinator) = (&cluster.workers[worker], &cluster.coordinators[coordinator]);
            let lines = [&of_worker.to_broker, &of_coordinator.to_broker, &of_coordinator.to_ledger];
            for line in lines {
                if rng.random_bool(0.5) {
                    break_line(line, weather, side);
                }
            }
            pass(while_broken).await;
        }
        Fault::KillBroker => {
            cluster.rabbitmq(0)?.kill().await?;
            pass(while_broken / 4).await;
            cluster.rabbitmq(0)?.restart().await?;
        }
        Fault::FreezeBroker => {
            cluster.rabbitmq(0)?.freeze()?;
            pass(while_broken).await;
            cluster.rabbitmq(0)?.thaw()?;
        }
        Fault::BlockBroker => {
            let node = cluster.rabbitmq(0)?;
            node.ctl(["set_vm_memory_high_watermark", "absolute", "1000000"]).await?;
            pass(while_broken).await;
            node.ctl(["set_vm_memory_high_watermark", "absolute", "512MB"]).await?;
        }
        Fault::KillDatabase => {
            cluster.postgres()?.kill().await?;
            pass(while_broken / 4).await;
            cluster.postgres()?.restart().await?;
        }
        Fault::FreezeDatabase => {
            cluster.postgres()?.freeze()?;
            pass(while_broken / 2).await;
            cluster.postgres()?.thaw()?;
        }
        Fault::EndSessions => {
            let mut session = PgConnection::connect(&cluster.database_url()).await?;
            let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'backstitch %'";
            sqlx::query(end).execute(&mut session).await.context("ending sessions")?;
        }
    }
    Ok(())
}

fn break_line(line: &Relay, weather: Weather, side: Side) {
    match weather {
        Weather::Cut => line.cut(),
        Weather::Refuse => line.refuse(),
        Weather::Silence => line.silence(),
        Weather::HalfOpen => line.half_open(side),
        Weather::Slow => line.delay(Duration::from_millis(150)),
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
