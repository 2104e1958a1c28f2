//! The recount of a ledger, with what only the plans of its runs tell: what a task may spend, and what it needs.

use std::collections::BTreeMap;

use backstitch_proto::id::RunId;
use backstitch_proto::partition::PartitionSubset;

use super::order::Walk;
use super::pinned::Pinned;
use crate::engine::{LOSSES_MAX, RunPlan};
use crate::ledger::{
    AuditReport, Finding, LedgerError, LedgerReads, MostSpent, PAGE_ROWS_MAX, RunFilter, RunSummary,
};

/// Recounts everything and reports what contradicts the invariants. Reads the whole history.
///
/// # Errors
/// When the ledger cannot be read.
pub async fn audit(ledger: &dyn LedgerReads) -> Result<AuditReport, LedgerError> {
    let mut report = ledger.audit().await?;
    let mut spent: BTreeMap<RunId, Vec<MostSpent>> = BTreeMap::new();
    for most in &report.most_spent {
        spent.entry(most.run).or_default().push(*most);
    }
    let (mut pinned, mut overspent, mut undone, mut too_early) = (Pinned::default(), 0, 0, 0);
    let mut filter = RunFilter { limit: PAGE_ROWS_MAX, ..RunFilter::default() };
    loop {
        let page = ledger.runs(&filter).await?;
        for run in &page.items {
            let Ok(plan) = pinned.plan(ledger, &run.record).await? else {
                report.unread_runs += 1;
                continue;
            };
            let spent = spent.get(&run.record.id).map(Vec::as_slice).unwrap_or_default();
            overspent += spent.iter().filter(|most| exceeds(&plan, most)).count() as u64;
            if plan.assets.iter().all(|asset| asset.upstreams.is_empty()) {
                continue;
            }
            // Lists of runs leave the targets out.
            let Some(run) = ledger.run(run.record.id).await? else { continue };
            undone += went_ahead(&plan, &run, ledger).await?;
            too_early += sent_early(&plan, &run, ledger).await?;
        }
        let Some(cursor) = page.next else { break };
        filter.cursor = Some(cursor);
    }
    let findings = [
        ("BUDGET", "assets of runs with a task that failed or was lost more often than it may", overspent),
        ("ORDER", "tasks of finished runs that succeeded without what they need", undone),
        (
            "ORDER",
            "tasks that succeeded under a dispatch that is older than that of what they need",
            too_early,
        ),
    ];
    let findings = findings.map(|(invariant, what, rows)| Finding { invariant, what, rows });
    report.findings.extend(findings.into_iter().filter(|finding| finding.rows != 0));
    Ok(report)
}

/// BUDGET.
fn exceeds(plan: &RunPlan, most: &MostSpent) -> bool {
    plan.assets.get(usize::from(most.asset_index)).is_none_or(|asset| {
        most.failures > asset.retry.max_retries + 1 || most.losses > u32::from(LOSSES_MAX)
    })
}

/// ORDER: tasks of a finished run that succeeded while something inside the run that they need did not. The leader
/// answers for live runs.
async fn went_ahead(plan: &RunPlan, run: &RunSummary, ledger: &dyn LedgerReads) -> Result<u64, LedgerError> {
    if !run.status.is_terminal() {
        return Ok(0);
    }
    let succeeded = ledger.succeeded(run.record.id).await?;
    let mut early = 0;
    for (asset, done) in plan.assets.iter().zip(&succeeded) {
        let mut wrong = PartitionSubset::default();
        for edge in &asset.upstreams {
            let mut undone = edge.mapper.upstream_of(done).subset;
            undone &= &run.record.assets[edge.index].targets;
            undone -= &succeeded[edge.index];
            if !undone.is_empty() {
                wrong |= &edge.mapper.downstream_of(&undone).intersection(done);
            }
        }
        early += wrong.len();
    }
    Ok(early)
}

/// ORDER: tasks of a run, live or not, that were sent before what they need. Nothing of a run whose history was purged.
async fn sent_early(plan: &RunPlan, run: &RunSummary, ledger: &dyn LedgerReads) -> Result<u64, LedgerError> {
    let targets = run.record.assets.iter().map(|asset| asset.targets.clone());
    let mut walk = Walk::new(plan, targets);
    let mut step = |dispatch, index, task| walk.succeeded(dispatch, usize::from(index), task);
    ledger.successes(run.record.id, &mut step).await?;
    Ok(walk.early())
}
