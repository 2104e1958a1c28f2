//! Broker and database killed at each step of a task's life. Every test shows first that it is at the step it means.

use anyhow::{Result, ensure};
use backstitch_proto::message::{REPORT_QUEUE, task_queue};
use backstitch_tests::cluster::{Broker, Cluster, Database, PATIENCE, Project, Shape};
use backstitch_tests::relay::Side;
use backstitch_tests::wait::wait_for;

/// F3. Dispatches are in the queue, and nobody has read one: then reports are, and nobody is there to read them.
#[tokio::test]
async fn a_broker_killed_with_messages_in_its_queues_still_has_them() -> Result<()> {
    let mut cluster =
        Cluster::start(Project::gated(6)?, Shape { broker: Broker::Own, ..Shape::default() }).await?;
    let tasks = task_queue("default");
    for worker in &mut cluster.workers {
        worker.process.freeze()?;
    }
    let run = cluster.submit().await?;
    cluster.until_depth(&tasks, |depth| depth.total() == 6).await?;
    ensure!(cluster.project.journal()?.begun() == 0, "a frozen worker began a task");
    cluster.rabbitmq(0)?.kill().await?;
    cluster.rabbitmq(0)?.restart().await?;
    cluster.heal()?;
    cluster.until_begun(6).await?;

    cluster.coordinators.remove(0).process.kill().await?;
    cluster.project.open_gate()?;
    // A delivery is acknowledged once its report is confirmed.
    cluster.until_depth(&tasks, |depth| depth.total() == 0).await?;
    ensure!(cluster.depth(REPORT_QUEUE).await?.ready > 0, "nothing was reported");
    cluster.rabbitmq(0)?.kill().await?;
    cluster.rabbitmq(0)?.restart().await?;
    cluster.add_coordinator().await?;
    cluster.finish_each_once(&run).await
}

/// F3. What is on its way when the broker dies: dispatches that are published and not confirmed, then results that
/// workers have and cannot report, reports that are taken and not committed, and such as are committed and not
/// acknowledged. A dispatch whose confirm is lost is published again, and whoever gets the copy may execute it; nothing
/// else is done again.
#[tokio::test]
async fn a_broker_killed_with_work_on_its_way_loses_none_of_it() -> Result<()> {
    let mut cluster =
        Cluster::start(Project::gated(6)?, Shape { broker: Broker::Own, ..Shape::default() }).await?;

    cluster.coordinators[0].to_broker.half_open(Side::Server);
    let run = cluster.submit().await?;
    cluster.until_begun(6).await?;
    ensure!(cluster.unmarked_dispatches().await? == 6, "they were not to be confirmed");
    restart_broker(&mut cluster).await?;
    cluster.coordinators[0].to_broker.restore_anew();
    cluster.project.open_gate()?;
    let ended = cluster.until_ended(&run).await?;
    ensure!(ended["status"] == "succeeded", "{ended:#}");
    // Those that run for the second time as well.
    cluster.audit().await?;
    let journal = cluster.project.journal()?;
    let (begun, ends) = (journal.begun(), journal.ends());
    cluster.project.close_gate()?;

    let run = cluster.submit().await?;
    cluster.until_begun(begun + 6).await?;
    cluster.rabbitmq(0)?.kill().await?;
    cluster.project.open_gate()?;
    cluster.until_executed(ends + 6).await?;
    cluster.rabbitmq(0)?.restart().await?;
    until_succeeded(&cluster, &run).await?;

    let run = cluster.submit().await?;
    cluster.until_begun(begun + 2 * 6).await?;
    cluster.until_confirms_are_marked().await?;
    cluster.coordinators[0].to_ledger.half_open_from(Side::Program, "COMMIT");
    cluster.project.open_gate()?;
    cluster.until_reports_are_taken_and_not_committed().await?;
    restart_broker(&mut cluster).await?;
    cluster.coordinators[0].to_ledger.restore_anew();
    until_succeeded(&cluster, &run).await?;

    let run = cluster.submit().await?;
    cluster.until_begun(begun + 3 * 6).await?;
    cluster.coordinators[0].to_broker.half_open(Side::Program);
    cluster.project.open_gate()?;
    cluster.until_recorded_and_not_acknowledged(4 * 6).await?;
    restart_broker(&mut cluster).await?;
    cluster.coordinators[0].to_broker.restore_anew();
    cluster.finish(&run).await?;
    ensure!(cluster.project.journal()?.begun() == begun + 3 * 6, "tasks were run a second time");
    cluster.no_worker_was_lost().await
}

async fn restart_broker(cluster: &mut Cluster) -> Result<()> {
    cluster.rabbitmq(0)?.kill().await?;
    cluster.rabbitmq(0)?.restart().await
}

/// Waits for the end of `run`, and makes the tasks of the next one wait.
async fn until_succeeded(cluster: &Cluster, run: &str) -> Result<()> {
    let ended = cluster.until_ended(run).await?;
    ensure!(ended["status"] == "succeeded", "{ended:#}");
    cluster.project.close_gate()
}

/// F4, F8. A run is accepted, and nothing of it is dispatched; then its outcomes are committed, and the leader has not
/// heard of it.
#[tokio::test]
async fn a_database_killed_after_a_commit_still_has_it() -> Result<()> {
    let shape = Shape { workers: 0, slots: 6, database: Database::Own, ..Shape::default() };
    let mut cluster = Cluster::start(Project::gated(6)?, shape).await?;
    let run = cluster.submit().await?;
    ensure!(cluster.open_dispatches().await? == 0, "there are no workers to dispatch to");
    cluster.postgres()?.kill().await?;
    cluster.postgres()?.restart().await?;
    cluster.add_worker().await?;
    cluster.until_begun(6).await?;

    cluster.coordinators[0].to_ledger.half_open_from(Side::Server, "COMMIT");
    cluster.project.open_gate()?;
    cluster.until_recorded(1).await?;
    // It shall not commit again before we have looked.
    cluster.coordinators[0].to_ledger.refuse();
    cluster.postgres()?.kill().await?;
    cluster.postgres()?.restart().await?;
    cluster.until_recorded(1).await?;
    cluster.finish_each_once(&run).await
}

/// F4. Reports are taken, and the database dies before what they tell is committed. Nothing of it is there afterwards;
/// the leader, which has not acknowledged them, commits it to the database that is back.
#[tokio::test]
async fn a_database_killed_before_a_commit_has_nothing_of_it_and_is_given_it_again() -> Result<()> {
    let shape = Shape { database: Database::Own, ..Shape::default() };
    let (mut cluster, run) = Cluster::start_holding(6, shape).await?;
    cluster.until_confirms_are_marked().await?;
    // This goes for its next sessions too: it shall not commit before we have looked.
    cluster.coordinators[0].to_ledger.half_open_from(Side::Program, "COMMIT");
    cluster.project.open_gate()?;
    cluster.until_reports_are_taken_and_not_committed().await?;
    cluster.postgres()?.kill().await?;
    cluster.postgres()?.restart().await?;
    let recorded = wait_for("the database to answer", PATIENCE, async || cluster.outcomes().await.ok());
    let recorded = recorded.await?;
    ensure!(recorded.is_empty(), "it was not to commit: {recorded:?}");
    cluster.finish_each_once(&run).await?;
    cluster.each_succeeded_at_once().await
}

/// F4. Dispatches are confirmed, and the database dies before it has the mark of it.
#[tokio::test]
async fn a_database_killed_before_the_mark_of_a_confirm_costs_no_task() -> Result<()> {
    let shape = Shape { database: Database::Own, ..Shape::default() };
    let mut cluster = Cluster::start(Project::gated(6)?, shape).await?;
    cluster.coordinators[0].to_broker.half_open(Side::Server);
    let run = cluster.submit().await?;
    cluster.until_begun(6).await?;
    cluster.coordinators[0].to_ledger.half_open_from(Side::Program, "COMMIT");
    cluster.coordinators[0].to_broker.restore();
    cluster.until_the_mark_of_a_confirm_hangs(6).await?;
    cluster.postgres()?.kill().await?;
    cluster.postgres()?.restart().await?;
    cluster.coordinators[0].to_ledger.restore_anew();
    cluster.until_confirms_are_marked().await?;
    cluster.project.open_gate()?;
    cluster.finish_each_once(&run).await?;
    cluster.each_succeeded_at_once().await
}

/// F3, F4. Dispatches are committed, and not one of them is at the broker, when the database dies; in the next run, when
/// the broker does.
#[tokio::test]
async fn dispatches_that_are_committed_and_unpublished_outlive_database_and_broker() -> Result<()> {
    let shape = Shape { broker: Broker::Own, database: Database::Own, ..Shape::default() };
    let mut cluster = Cluster::start(Project::gated(6)?, shape).await?;
    let run = submit_unpublished(&cluster).await?;
    cluster.postgres()?.kill().await?;
    cluster.postgres()?.restart().await?;
    // What was held back never arrives.
    cluster.coordinators[0].to_broker.restore_anew();
    cluster.until_begun(6).await?;
    cluster.project.open_gate()?;
    until_succeeded(&cluster, &run).await?;

    let run = submit_unpublished(&cluster).await?;
    cluster.rabbitmq(0)?.kill().await?;
    cluster.rabbitmq(0)?.restart().await?;
    cluster.coordinators[0].to_broker.restore_anew();
    cluster.until_begun(2 * 6).await?;
    cluster.project.open_gate()?;
    cluster.finish(&run).await?;
    ensure!(cluster.project.journal()?.begun() == 2 * 6, "tasks were run a second time");
    ensure!(cluster.outcomes().await?.len() == 1, "{:?}", cluster.outcomes().await?);
    Ok(())
}

/// Submits a run whose six dispatches are in the ledger and do not pass the line to the broker.
async fn submit_unpublished(cluster: &Cluster) -> Result<String> {
    ensure!(cluster.open_dispatches().await? == 0, "dispatches of another run are left");
    let begun = cluster.project.journal()?.begun();
    cluster.coordinators[0].to_broker.half_open(Side::Program);
    let run = cluster.submit().await?;
    wait_for("committed dispatches", PATIENCE, async || {
        (cluster.open_dispatches().await.ok()? == 6).then_some(())
    })
    .await?;
    ensure!(cluster.depth(&task_queue("default")).await?.total() == 0, "they were not to be published");
    ensure!(cluster.project.journal()?.begun() == begun, "a task began");
    Ok(run)
}
