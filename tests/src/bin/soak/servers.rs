//! RabbitMQ and Postgres: dead, standing still, full, or rid of their clients.

use anyhow::Result;
use backstitch_tests::wait::{SOON, wait_for};

use super::fault::Strike;

/// How often all sessions are ended in a row.
const STORM: usize = 10;

pub(super) async fn kill_broker(strike: &mut Strike<'_>) -> Result<()> {
    strike.cluster.rabbitmq(0)?.kill().await?;
    strike.stay_broken(0.3).await;
    strike.cluster.rabbitmq(0)?.restart().await
}

pub(super) async fn freeze_broker(strike: &mut Strike<'_>) -> Result<()> {
    strike.cluster.rabbitmq(0)?.freeze()?;
    strike.stay_frozen(1.0).await;
    strike.cluster.rabbitmq(0)?.thaw()
}

pub(super) async fn fill_memory(strike: &mut Strike<'_>) -> Result<()> {
    const LIMIT: &str = "set_vm_memory_high_watermark";
    strike.cluster.rabbitmq(0)?.ctl([LIMIT, "absolute", "1000000"]).await?;
    strike.stay_broken(1.0).await;
    strike.cluster.rabbitmq(0)?.ctl([LIMIT, "absolute", "512MB"]).await.map(drop)
}

pub(super) async fn fill_disk(strike: &mut Strike<'_>) -> Result<()> {
    const LIMIT: &str = "set_disk_free_limit";
    strike.cluster.rabbitmq(0)?.ctl([LIMIT, "100000GB"]).await?;
    strike.stay_broken(1.0).await;
    strike.cluster.rabbitmq(0)?.ctl([LIMIT, "50MB"]).await.map(drop)
}

pub(super) async fn kill_database(strike: &mut Strike<'_>) -> Result<()> {
    strike.cluster.postgres()?.kill().await?;
    strike.stay_broken(0.3).await;
    strike.cluster.postgres()?.restart().await
}

pub(super) async fn freeze_database(strike: &mut Strike<'_>) -> Result<()> {
    strike.cluster.postgres()?.freeze()?;
    strike.stay_frozen(0.5).await;
    strike.cluster.postgres()?.thaw()
}

/// Ends every session as soon as there is one again.
pub(super) async fn end_sessions(strike: &mut Strike<'_>) -> Result<()> {
    for _ in 0..STORM {
        let ended = async || (strike.cluster.end_sessions().await.ok()? > 0).then_some(());
        wait_for("a session to end", SOON, ended).await?;
    }
    Ok(())
}
