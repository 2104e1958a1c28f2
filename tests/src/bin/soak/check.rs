//! What people, tasks and the ledger say of the same runs, once all of them have ended: nothing ended as it did without a
//! reason.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use backstitch_tests::cluster::{Cluster, Execution, Journal};
use sqlx::{Connection, PgConnection};

use super::load::{DEADLY, POOL, Submitted};

/// A task that was lost so often with its worker has failed (`coordinator/src/engine/retry.rs`).
const LOSSES_MAX: usize = 3;

/// An attempt that did not succeed.
#[derive(Debug, sqlx::FromRow)]
struct Unsuccessful {
    run: String,
    asset: String,
    partition: String,
    attempt: i32,
    outcome: String,
    terminal: bool,
}

/// Holds everything against everything else.
pub(super) async fn check(cluster: &Cluster, runs: &[Submitted]) -> Result<()> {
    let (journal, succeeded) = (cluster.project.journal()?.without_copies(), cluster.succeeded().await?);
    pool(&journal, &succeeded)?;
    let unsuccessful = unsuccessful(cluster).await?;
    let given_up = given_up(&unsuccessful, runs)?;
    for run in runs {
        let given_up = given_up.get(run.run.as_str()).copied().unwrap_or_default();
        has_ended_with_reason(cluster, run, given_up).await?;
        bounds(run, &journal.of_run(&run.run), &succeeded)?;
    }
    let bounded = runs.iter().filter(|run| !run.bounds.is_empty()).count();
    println!("soak: {bounded} runs with a bound, tasks given up per run: {given_up:?}");
    let outcomes = cluster.outcomes().await?;
    for outcome in ["succeeded", "failed"] {
        ensure!(
            outcomes.get(outcome).is_some_and(|attempts| *attempts > 0),
            "nothing ever {outcome}: {outcomes:?}"
        );
    }
    Ok(())
}

/// LIMIT of the pool. An execution that nobody waits for any more, because its worker was given up, has left its place in
/// the pool to another; what the ledger calls a success had its place to its end. What is executed beside that, or
/// after it, is one of the copies that strangers put back: nobody can know of it before a worker lists it.
fn pool(journal: &Journal, succeeded: &BTreeSet<Execution>) -> Result<()> {
    let counts = |execution: &Execution| execution.0 == "pooled" && succeeded.contains(execution);
    let most = journal.most_at_once(counts);
    ensure!(most <= POOL, "{most} tasks of a pool of {POOL} ran at the same instant");
    ensure!(most > 0, "nothing of the pool ever succeeded");
    Ok(())
}

/// LIMIT of a run, by the same executions. A dispatch executes its tasks one after the other.
fn bounds(run: &Submitted, journal: &Journal, succeeded: &BTreeSet<Execution>) -> Result<()> {
    for (after, bound) in &run.bounds {
        let most = journal.most_at_once(|execution| execution.2 > *after && succeeded.contains(execution));
        ensure!(most <= *bound, "{most} tasks of run {} ran at once, of at most {bound}", run.run);
    }
    Ok(())
}

async fn unsuccessful(cluster: &Cluster) -> Result<Vec<Unsuccessful>> {
    const UNSUCCESSFUL: &str = "SELECT t.run_id::TEXT AS run, a.name AS asset, t.partition_key AS partition, t.attempt, \
        t.outcome, t.terminal FROM attempts t JOIN assets a ON a.id = t.asset_id WHERE t.outcome <> 'succeeded'";
    let mut session = PgConnection::connect(&cluster.database_url()).await?;
    sqlx::query_as(UNSUCCESSFUL).fetch_all(&mut session).await.context("reading attempts")
}

/// Every attempt that did not succeed has a reason. Per run, how many tasks have failed: none for what it did itself.
fn given_up<'a>(attempts: &'a [Unsuccessful], runs: &[Submitted]) -> Result<BTreeMap<&'a str, u64>> {
    let (mut losses, mut given_up) = (BTreeMap::new(), BTreeMap::new());
    for attempt in attempts.iter().filter(|attempt| attempt.outcome == "lost") {
        *losses.entry((&attempt.run, &attempt.asset, &attempt.partition)).or_insert(0) += 1;
    }
    for attempt in attempts {
        let has_reason = match attempt.outcome.as_str() {
            "failed" => attempt.asset == "flaky" && attempt.attempt == 1 && !attempt.terminal,
            "lost" if attempt.terminal => {
                *given_up.entry(attempt.run.as_str()).or_default() += 1;
                losses[&(&attempt.run, &attempt.asset, &attempt.partition)] == LOSSES_MAX
            }
            "lost" => true,
            "cancelled" => runs.iter().any(|run| run.run == attempt.run && run.cancel_asked),
            _ => false,
        };
        ensure!(has_reason, "an attempt without reason: {attempt:?}");
    }
    Ok(given_up)
}

/// A run has succeeded, or failed for what was lost with workers again and again, unless somebody cancelled it. What kills
/// its worker is never a success.
async fn has_ended_with_reason(cluster: &Cluster, run: &Submitted, given_up: u64) -> Result<()> {
    let shown = cluster.leader_says("GET", &format!("/api/runs/{}", run.run), None).await;
    let shown = shown.with_context(|| format!("nobody knows run {}", run.run))?;
    let count = |name: &str| shown["counts"][name].as_u64().with_context(|| format!("{name} in {shown}"));
    let (succeeded, skipped, cancelled) = (count("succeeded")?, count("skipped")?, count("cancelled")?);
    ensure!(succeeded + count("failed")? + skipped + cancelled == count("targeted")?, "{shown:#}");
    ensure!(count("failed")? == given_up, "{given_up} tasks were given up: {shown:#}");
    // At most the one task that needs it.
    ensure!(skipped <= given_up, "tasks were skipped without reason: {shown:#}");
    let reason = if given_up > 0 { "failed" } else { "succeeded" };
    if run.cancel_asked {
        ensure!(shown["status"] == "cancelled" || (shown["status"] == reason && cancelled == 0), "{shown:#}");
        return Ok(());
    }
    ensure!(shown["status"] == reason && cancelled == 0, "nobody cancelled it: {shown:#}");
    ensure!(run.assets != DEADLY || given_up > 0, "a task that kills its worker has succeeded: {shown:#}");
    Ok(())
}
