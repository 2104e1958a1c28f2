//! Wall clocks that jump. Leases run on clocks that do not.

use std::path::Path;

use anyhow::{Result, ensure};
use backstitch_tests::cluster::{Cluster, Project, Shape};

/// Where Debian's package `libfaketime` puts it, by architecture.
const LIBRARIES: [&str; 2] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
];

/// F16. The wall clock of coordinator and workers goes an hour ahead, two hours back, and home again, in the middle
/// of a run. `CLOCK_MONOTONIC` stays as it is, as it does when somebody sets a real clock.
#[tokio::test]
async fn a_wall_clock_that_jumps_an_hour_loses_no_lease_and_no_task() -> Result<()> {
    let library = LIBRARIES.iter().find(|path| Path::new(path).exists());
    let library = library.ok_or_else(|| anyhow::anyhow!("libfaketime is not installed: run tests/run"))?;
    let folder = tempfile::tempdir()?;
    let offset = folder.path().join("offset");
    std::fs::write(&offset, "+0\n")?;
    let variables = vec![
        ("LD_PRELOAD", (*library).to_owned()),
        ("FAKETIME_TIMESTAMP_FILE", offset.display().to_string()),
        ("FAKETIME_NO_CACHE", "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ];
    let shape = Shape { variables, ..Shape::default() };
    let mut cluster = Cluster::start(Project::chain(150, "0.05")?, shape).await?;
    let run = cluster.submit().await?;
    for (succeeded, jump) in [(40, "+3600\n"), (100, "-3600\n"), (160, "+86400\n"), (220, "+0\n")] {
        cluster.until_succeeded(&run, succeeded).await?;
        std::fs::write(&offset, jump)?;
    }
    cluster.until_ended(&run).await?;
    ensure!(cluster.metric("backstitch_workers_lost_total").await == 0.0, "a jump was taken for silence");
    cluster.finish(&run).await?;
    ensure!(cluster.outcomes().await?.len() == 1, "{:?}", cluster.outcomes().await?);
    Ok(())
}
