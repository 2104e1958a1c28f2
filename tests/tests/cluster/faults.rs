//! One thing breaks in the middle of the run, for each thing there is. Nothing is lost, and nothing is twice in the
//! ledger.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::world::{PATIENCE, World};

/// Tasks that have succeeded when the fault comes: some of each kind are waiting, ready, in flight and done.
const MIDDLE: u64 = 200;

/// A standby promises to lead this soon after the death of the leader.
const TAKEOVER: Duration = Duration::from_secs(5);

#[tokio::test]
async fn three_workers_leave_the_ledger_that_one_process_leaves() -> Result<()> {
    let world = World::start(1).await?;
    let run = world.submit_all().await?;
    world.until_done(&run).await?;
    world.audit().await
}

#[tokio::test]
async fn a_killed_worker_loses_nothing() -> Result<()> {
    let mut world = World::start(1).await?;
    let run = world.submit_all().await?;
    world.until_succeeded(&run, MIDDLE).await?;
    world.workers[0].kill().await?;
    world.until_done(&run).await?;
    world.audit().await
}

#[tokio::test]
async fn a_standby_takes_over_from_a_killed_coordinator() -> Result<()> {
    let mut world = World::start(2).await?;
    let run = world.submit_all().await?;
    world.until_succeeded(&run, MIDDLE).await?;
    let mut leader = world.coordinators.remove(0);
    leader.process.kill().await?;
    let killed = Instant::now();
    let standby = world.coordinators.first().context("a standby")?;
    standby.process.line("leading", PATIENCE).await?;
    let took = killed.elapsed();
    ensure!(took < TAKEOVER, "the standby led after {took:?}");
    world.until_done(&run).await?;
    world.audit().await
}

#[tokio::test]
async fn a_restart_of_rabbitmq_loses_nothing() -> Result<()> {
    let mut world = World::start(1).await?;
    let run = world.submit_all().await?;
    world.until_succeeded(&run, MIDDLE).await?;
    world.rabbitmq.kill().await?;
    world.rabbitmq.restart().await?;
    world.until_done(&run).await?;
    world.audit().await
}

#[tokio::test]
async fn a_restart_of_postgres_loses_nothing() -> Result<()> {
    let mut world = World::start(1).await?;
    let run = world.submit_all().await?;
    world.until_succeeded(&run, MIDDLE).await?;
    world.postgres.kill().await?;
    world.postgres.restart().await?;
    world.until_done(&run).await?;
    world.audit().await
}
