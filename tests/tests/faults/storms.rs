//! Many workers that come and go at once, as an autoscaler does it.

use anyhow::{Result, ensure};
use backstitch_tests::cluster::{Cluster, PATIENCE, Project, Shape};

/// Workers of one slot each.
const WORKERS: usize = 50;

/// F18. Fifty workers; all but one are told to stop at the same time, the last one goes on alone, and as many start again;
/// twice.
#[tokio::test]
async fn fifty_workers_that_become_one_and_fifty_again_spend_no_attempt_and_lose_no_task() -> Result<()> {
    let variables = vec![("BACKSTITCH_DRAIN_GRACE", "1s".to_owned())];
    // Longer than the grace: most of what runs is interrupted.
    let project = Project::new(300, 1, "  a: {partitions: slices, command: [sh, task.sh, sleep, \"8\"]}\n")?;
    let shape = Shape { workers: WORKERS, slots: 1, variables, ..Shape::default() };
    let mut cluster = Cluster::start(project, shape).await?;
    let run = cluster.submit().await?;
    for _ in 0..2 {
        // What begins from now on is of all of them: each has one slot.
        let begun = cluster.project.journal()?.begun();
        cluster.until_begun(begun + WORKERS).await?;
        let stopped = cluster.project.journal()?.stopped_of(&run);
        for worker in &mut cluster.workers[1..] {
            worker.process.terminate()?;
        }
        for worker in &mut cluster.workers[1..] {
            let status = worker.process.wait(PATIENCE).await?;
            ensure!(status.success(), "a worker that was told to stop ended with {status}");
        }
        let (interrupted, begun) = {
            let journal = cluster.project.journal()?;
            (journal.stopped_of(&run) - stopped, journal.begun())
        };
        println!("{} workers were told to stop: {interrupted} tasks were interrupted", WORKERS - 1);
        ensure!(interrupted > WORKERS / 2, "only {interrupted} tasks were interrupted");
        cluster.until_begun(begun + 1).await?;
        ensure!(cluster.replace_ended_workers().await? == WORKERS - 1);
        cluster.until_workers(WORKERS).await?;
    }
    let counts = cluster.counts(&run).await;
    ensure!(
        counts.is_some_and(|counts| counts["succeeded"].as_u64() < Some(cluster.project.tasks)),
        "the run had ended before the last storm"
    );
    cluster.finish(&run).await?;
    cluster.each_succeeded_at_once().await
}
