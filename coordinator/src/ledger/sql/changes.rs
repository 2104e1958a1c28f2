//! What happens to a run after its submission.
//!
//! Every statement changes nothing when it is run a second time.

macro_rules! changes {
    ($Database:ty) => {
        mod changes {
            use backstitch_proto::id::RunId;
            use backstitch_proto::partition::PartitionSubset;
            use sqlx::QueryBuilder;

            use super::materialized_so_far;
            use crate::ledger::error::Doing;
            use crate::ledger::sql::bulk::statements;
            use crate::ledger::sql::word;
            use crate::ledger::{FinalCounts, LedgerError, RunChange, RunStatus};

            type Connection = <$Database as sqlx::Database>::Connection;

            pub(in crate::ledger) async fn change_run(
                connection: &mut Connection,
                run: RunId,
                change: &RunChange,
            ) -> Result<(), LedgerError> {
                // The status of a run that is being cancelled, or is finished, no longer follows pauses.
                const PAUSE: &str = "UPDATE runs SET paused = $2, status = \
                    CASE WHEN status IN ('running', 'paused') THEN $3 ELSE status END WHERE id = $1";
                const CANCEL: &str = "UPDATE runs SET cancel_requested_us = COALESCE(cancel_requested_us, $2), status = \
                    CASE WHEN status IN ('running', 'paused') THEN 'cancelling' ELSE status END WHERE id = $1";
                let query = match change {
                    RunChange::Paused(paused) => {
                        let status = if *paused { RunStatus::Paused } else { RunStatus::Running };
                        sqlx::query(PAUSE).bind(run.0).bind(*paused).bind(word(status))
                    }
                    RunChange::Priority(priority) => {
                        sqlx::query("UPDATE runs SET priority = $2 WHERE id = $1").bind(run.0).bind(*priority)
                    }
                    RunChange::MaxParallel(bound) => sqlx::query("UPDATE runs SET max_parallel = $2 WHERE id = $1")
                        .bind(run.0)
                        .bind(bound.map(i64::from)),
                    RunChange::CancelRequested { at_us } => sqlx::query(CANCEL).bind(run.0).bind(*at_us),
                    RunChange::Finished { status, at_us, counts } => {
                        finish_assets(connection, run, counts).await?;
                        sqlx::query("UPDATE runs SET status = $2, finished_us = $3 WHERE id = $1")
                            .bind(run.0)
                            .bind(word(*status))
                            .bind(*at_us)
                    }
                };
                query.execute(connection).await.doing("committing a change of a run")?;
                Ok(())
            }

            /// Keeps the final counts and what was materialized, and lets go of the working state.
            async fn finish_assets(
                connection: &mut Connection,
                run: RunId,
                counts: &[FinalCounts],
            ) -> Result<(), LedgerError> {
                const DOING: &str = "committing the end of a run";
                let materialized = materialized_so_far(connection, run).await?;
                let columns = |(position, counts): (usize, &FinalCounts)| {
                    let materialized = materialized.get(&(position as u16)).map(PartitionSubset::to_bytes);
                    (position as i32, *counts, materialized.unwrap_or_default())
                };
                let rows: Vec<_> = counts.iter().enumerate().map(columns).collect();
                for rows in statements(&rows, |(.., materialized)| materialized.len()) {
                    let mut query = QueryBuilder::<$Database>::new(
                        "WITH ended (position, succeeded, failed, skipped, cancelled, materialized) AS (",
                    );
                    query.push_values(rows, |mut row, (position, counts, materialized)| {
                        row.push_bind(*position)
                            .push_bind(i64::from(counts.succeeded))
                            .push_bind(i64::from(counts.failed))
                            .push_bind(i64::from(counts.skipped))
                            .push_bind(i64::from(counts.cancelled))
                            .push_bind(materialized.as_slice());
                    });
                    // Committed a second time, the segments of earlier commits are gone: what was kept first is whole.
                    query.push(
                        ") UPDATE run_assets SET succeeded = ended.succeeded, failed = ended.failed, \
                         skipped = ended.skipped, cancelled = ended.cancelled, \
                         materialized = COALESCE(run_assets.materialized, ended.materialized) \
                         FROM ended WHERE run_assets.position = ended.position AND run_assets.run_id = ",
                    );
                    query.push_bind(run.0);
                    query.build().execute(&mut *connection).await.doing(DOING)?;
                }
                sqlx::query("DELETE FROM progress WHERE run_id = $1").bind(run.0).execute(connection).await.doing(DOING)?;
                Ok(())
            }
        }
        pub(in crate::ledger) use changes::*;
    };
}

pub(super) use changes;
