//! Recounts: what the rows say against what the invariants say.
//!
//! History may have been purged up to some month. Runs that are older than the oldest attempt are not compared with
//! history that is not there any more.

/// Invariant, what the rows are that contradict it, and a query for their number.
pub(super) const CHECKS: &[(&str, &str, &str)] = &[
    (
        "ONCE",
        "tasks with more than one successful attempt",
        "SELECT COUNT(*) FROM (SELECT 1 AS one FROM attempts WHERE outcome = 'succeeded' \
         GROUP BY run_id, asset_index, ordinal HAVING COUNT(*) > 1) AS twice",
    ),
    (
        "FENCE",
        "attempts that ended after their task was done",
        "SELECT COUNT(*) FROM attempts l JOIN attempts d ON d.run_id = l.run_id AND d.asset_index = l.asset_index \
         AND d.ordinal = l.ordinal AND d.attempt < l.attempt WHERE l.outcome <> 'succeeded' AND d.terminal",
    ),
    (
        "FENCE",
        "tasks whose attempts are not numbered one after the other",
        "SELECT COUNT(*) FROM (SELECT 1 AS one FROM attempts GROUP BY run_id, asset_index, ordinal \
         HAVING MIN(attempt) <> 1 OR MAX(attempt) <> COUNT(*)) AS holes",
    ),
    (
        "FENCE",
        "attempts under a dispatch that is older than that of the attempt before",
        "SELECT COUNT(*) FROM attempts e JOIN attempts l ON l.run_id = e.run_id AND l.asset_index = e.asset_index \
         AND l.ordinal = e.ordinal AND l.attempt = e.attempt + 1 \
         WHERE e.outcome <> 'succeeded' AND l.dispatch_id <= e.dispatch_id",
    ),
    (
        "FENCE",
        "materializations that no successful attempt made",
        "SELECT COUNT(*) FROM asset_partitions p LEFT JOIN attempts t ON t.run_id = p.run_id \
         AND t.asset_index = p.asset_index AND t.ordinal = p.ordinal AND t.attempt = p.attempt \
         AND t.asset_id = p.asset_id AND t.outcome = 'succeeded' \
         WHERE p.materialized_us IS NOT NULL AND t.run_id IS NULL \
         AND p.run_id >= (SELECT run_id FROM attempts ORDER BY run_id LIMIT 1)",
    ),
    (
        "COUNT",
        "successful attempts whose partition is not materialized",
        "SELECT COUNT(*) FROM attempts t LEFT JOIN asset_partitions p ON p.asset_id = t.asset_id \
         AND p.partition_key = t.partition_key WHERE t.outcome = 'succeeded' AND p.materialized_us IS NULL",
    ),
    (
        "COUNT",
        "assets of finished runs whose final counts are not those of their attempts",
        "SELECT COUNT(*) FROM runs r JOIN run_assets a ON a.run_id = r.id LEFT JOIN \
         (SELECT run_id, asset_index, COUNT(*) FILTER (WHERE outcome = 'succeeded') AS succeeded, \
         COUNT(*) FILTER (WHERE terminal AND outcome IN ('failed', 'lost')) AS failed \
         FROM attempts GROUP BY run_id, asset_index) h ON h.run_id = r.id AND h.asset_index = a.position \
         WHERE r.finished_us IS NOT NULL AND r.id >= (SELECT run_id FROM attempts ORDER BY run_id LIMIT 1) \
         AND (COALESCE(h.succeeded, 0) <> COALESCE(a.succeeded, 0) OR COALESCE(h.failed, 0) <> COALESCE(a.failed, 0))",
    ),
    (
        "COUNT",
        "finished runs whose status is not that of their counts",
        "SELECT COUNT(*) FROM runs r JOIN (SELECT run_id, SUM(failed) AS failed, \
         SUM(failed + skipped + cancelled) AS undone FROM run_assets GROUP BY run_id) a ON a.run_id = r.id \
         WHERE (r.status = 'succeeded' AND a.undone > 0) OR (r.status = 'failed' AND a.failed = 0)",
    ),
    (
        "LIVE",
        "dispatches of finished runs that are not closed",
        "SELECT COUNT(*) FROM dispatches d JOIN runs r ON r.id = d.run_id WHERE r.finished_us IS NOT NULL",
    ),
    (
        "LIVE",
        "dispatches and progress of runs that were never submitted",
        "SELECT (SELECT COUNT(*) FROM dispatches d LEFT JOIN runs r ON r.id = d.run_id WHERE r.id IS NULL) + \
         (SELECT COUNT(*) FROM progress p LEFT JOIN runs r ON r.id = p.run_id WHERE r.id IS NULL)",
    ),
    (
        "INTENT",
        "runs that were cancelled, or some of their tasks, though nobody has asked for it",
        // That an attempt did not succeed is said twice: it is what the index of those is for.
        "SELECT COUNT(*) FROM runs r WHERE r.cancel_requested_us IS NULL AND (r.status = 'cancelled' \
         OR EXISTS (SELECT 1 FROM run_assets a WHERE a.run_id = r.id AND a.cancelled > 0) \
         OR EXISTS (SELECT 1 FROM attempts t WHERE t.run_id = r.id AND t.outcome <> 'succeeded' \
         AND t.outcome = 'cancelled'))",
    ),
];

/// What the task that failed most, and the one that was lost most, has spent: per run and asset.
pub(super) const MOST_SPENT: &str = "SELECT run_id, asset_index, MAX(failures), MAX(losses) FROM \
    (SELECT run_id, asset_index, COUNT(*) FILTER (WHERE outcome = 'failed') AS failures, \
    COUNT(*) FILTER (WHERE outcome = 'lost') AS losses FROM attempts WHERE outcome <> 'succeeded' \
    GROUP BY run_id, asset_index, ordinal) AS spent GROUP BY run_id, asset_index ORDER BY run_id, asset_index";

macro_rules! audit {
    ($Database:ty) => {
        mod audit {
            use std::collections::HashMap;

            use backstitch_proto::id::RunId;
            use futures_util::TryStreamExt;
            use uuid::Uuid;

            use super::live_runs;
            use crate::ledger::error::{Doing, unreadable};
            use crate::ledger::progress::stored_subset;
            use crate::ledger::sql::audit::{CHECKS, MOST_SPENT};
            use crate::ledger::{AuditReport, Finding, LedgerError, MostSpent};

            type Connection = <$Database as sqlx::Database>::Connection;
            const DOING: &str = "auditing the ledger";

            /// Reads everything. Inside one transaction, so that it sees one moment.
            pub(in crate::ledger) async fn audit(connection: &mut Connection) -> Result<AuditReport, LedgerError> {
                let mut transaction = sqlx::Connection::begin(connection).await.doing(DOING)?;
                let connection = &mut *transaction;
                let count = "SELECT (SELECT COUNT(*) FROM attempts), \
                     (SELECT COUNT(*) FROM asset_partitions WHERE materialized_us IS NOT NULL), \
                     (SELECT COUNT(*) FROM runs WHERE finished_us IS NULL)";
                let (attempts, materialized, live_runs): (i64, i64, i64) =
                    sqlx::query_as(count).fetch_one(&mut *connection).await.doing(DOING)?;
                let most_spent: Vec<(Uuid, i32, i64, i64)> =
                    sqlx::query_as(MOST_SPENT).fetch_all(&mut *connection).await.doing(DOING)?;
                let mut findings = Vec::new();
                for (invariant, what, sql) in CHECKS {
                    let rows: i64 = sqlx::query_scalar(*sql).fetch_one(&mut *connection).await.doing(DOING)?;
                    findings.push(Finding { invariant, what, rows: rows as u64 });
                }
                findings.extend(audit_live(connection).await?);
                findings.extend(audit_finished(connection).await?);
                findings.retain(|finding| finding.rows != 0);
                let narrow = |(run, index, failures, losses): (Uuid, i32, i64, i64)| MostSpent {
                    run: RunId(run),
                    asset_index: index as u16,
                    failures: failures as u32,
                    losses: losses as u32,
                };
                Ok(AuditReport {
                    attempts: attempts as u64,
                    materialized: materialized as u64,
                    live_runs: live_runs as u64,
                    most_spent: most_spent.into_iter().map(narrow).collect(),
                    unread_runs: 0,
                    findings,
                })
            }

            /// What a new leader would believe, against history.
            async fn audit_live(connection: &mut Connection) -> Result<[Finding; 3], LedgerError> {
                let counts: Vec<(Uuid, i32, i64, i64)> = sqlx::query_as(
                    "SELECT t.run_id, t.asset_index, COUNT(*) FILTER (WHERE t.outcome = 'succeeded'), \
                     COUNT(*) FILTER (WHERE t.terminal AND t.outcome IN ('failed', 'lost')) \
                     FROM runs r JOIN attempts t ON t.run_id = r.id WHERE r.finished_us IS NULL \
                     GROUP BY t.run_id, t.asset_index",
                )
                .fetch_all(&mut *connection)
                .await
                .doing(DOING)?;
                let history: HashMap<_, _> = counts
                    .into_iter()
                    .map(|(run, index, succeeded, failed)| ((run, index as usize), (succeeded as u64, failed as u64)))
                    .collect();
                let (mut outside, mut twice, mut miscounted) = (0, 0, 0);
                for run in live_runs(connection).await? {
                    for (index, (planned, progress)) in run.record.assets.iter().zip(&run.assets).enumerate() {
                        let done = progress.succeeded.union(&progress.failed).union(&progress.cancelled);
                        outside += done.difference(&planned.targets).len();
                        twice += progress.succeeded.len() + progress.failed.len() + progress.cancelled.len() - done.len();
                        let counted = history.get(&(run.record.id.0, index)).copied().unwrap_or_default();
                        miscounted += u64::from(counted != (progress.succeeded.len(), progress.failed.len()));
                    }
                }
                Ok([
                    Finding { invariant: "CONSERVE", what: "tasks that were done but not targeted", rows: outside },
                    Finding { invariant: "CONSERVE", what: "tasks that ended in two ways", rows: twice },
                    Finding {
                        invariant: "COUNT",
                        what: "assets of live runs whose progress is not that of their attempts",
                        rows: miscounted,
                    },
                ])
            }

            /// What is left of runs that ended: their counts and the set of what they materialized.
            async fn audit_finished(connection: &mut Connection) -> Result<[Finding; 2], LedgerError> {
                let mut rows = sqlx::query_as::<_, (Vec<u8>, Option<Vec<u8>>, i64, i64)>(
                    "SELECT a.targets, a.materialized, COALESCE(a.succeeded, 0), \
                     COALESCE(a.failed, 0) + COALESCE(a.skipped, 0) + COALESCE(a.cancelled, 0) \
                     FROM runs r JOIN run_assets a ON a.run_id = r.id WHERE r.finished_us IS NOT NULL",
                )
                .fetch(connection);
                let read = |bytes: &[u8]| stored_subset(bytes).map_err(unreadable("the tasks of a run"));
                let (mut incomplete, mut miscounted) = (0, 0);
                while let Some((targets, materialized, succeeded, undone)) = rows.try_next().await.doing(DOING)? {
                    let (targets, done) = (read(&targets)?, read(materialized.as_deref().unwrap_or_default())?);
                    incomplete += u64::from((succeeded + undone) as u64 != targets.len());
                    miscounted += u64::from(done.len() != succeeded as u64 || !targets.contains_all(&done));
                }
                Ok([
                    Finding {
                        invariant: "CONSERVE",
                        what: "assets of finished runs whose final counts are not all of their tasks",
                        rows: incomplete,
                    },
                    Finding {
                        invariant: "COUNT",
                        what: "assets of finished runs whose materialized tasks are not those that were counted",
                        rows: miscounted,
                    },
                ])
            }
        }
        pub(in crate::ledger) use audit::*;
    };
}

pub(super) use audit;
