//! Servers that go away without a word: no connection breaks, nothing is answered.

use anyhow::Result;
use backstitch_tests::cluster::{Cluster, Project, Shape};
use backstitch_tests::wait::wait_for;

use crate::world::PATIENCE;

#[tokio::test]
async fn somebody_leads_again_soon_after_a_ledger_that_lost_its_power_is_back() -> Result<()> {
    let shape = Shape { coordinators: 2, workers: 1, ..Shape::default() };
    let mut cluster = Cluster::start(Project::gated(1)?, shape).await?;
    let [leader, standby] = &cluster.coordinators[..] else { anyhow::bail!("there are two") };
    let before = leader.to_ledger.accepted();
    for coordinator in [leader, standby] {
        coordinator.to_ledger.silence();
    }
    leader.process.line("giving up leadership", PATIENCE).await?;
    wait_for("another attempt to lead", PATIENCE, async || {
        (leader.to_ledger.accepted() > before).then_some(())
    })
    .await?;
    // Whatever was asked so far is never answered.
    for coordinator in [leader, standby] {
        coordinator.to_ledger.strand(0..coordinator.to_ledger.accepted());
    }
    cluster.until_one_leads().await?;
    let run = cluster.submit().await?;
    cluster.project.open_gate()?;
    cluster.finish(&run).await
}
