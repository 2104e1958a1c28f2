//! The reads of API and CLI.

macro_rules! reads {
    ($Database:ty) => {
        mod reads {
            use std::collections::HashMap;

            use backstitch_proto::id::{DispatchId, RunId};
            use backstitch_proto::partition::PartitionSubset;
            use futures_util::TryStreamExt;
            use sqlx::QueryBuilder;

            use super::materialized_so_far;
            use crate::ledger::error::{Doing, unreadable};
            use crate::ledger::progress::stored_subset;
            use crate::ledger::read::page;
            use crate::ledger::sql::rows::{
                AttemptRow, MaterializationRow, RunAssetRow, RunRow, check_positions,
            };
            use crate::ledger::sql::word;
            use crate::ledger::text::storable_key;
            use crate::ledger::{
                AttemptCursor, AttemptQuery, AttemptRecord, LedgerError, Materialization, MaterializationQuery, Page,
                PartitionState, RunFilter, RunSummary, StateSink, SuccessSink,
            };

            type Connection = <$Database as sqlx::Database>::Connection;

            pub(in crate::ledger) async fn definitions(
                connection: &mut Connection,
                fingerprint: &str,
            ) -> Result<Option<String>, LedgerError> {
                sqlx::query_scalar("SELECT json FROM definitions WHERE fingerprint = $1")
                    .bind(fingerprint)
                    .fetch_optional(connection)
                    .await
                    .doing("reading definitions")
            }

            pub(in crate::ledger) async fn partition_states(
                connection: &mut Connection,
                asset: &str,
                sink: &mut StateSink<'_>,
            ) -> Result<(), LedgerError> {
                let mut rows = sqlx::query_as::<_, (String, bool, bool)>(
                    "SELECT p.partition_key, p.materialized_us IS NOT NULL, p.failed FROM asset_partitions p \
                     WHERE p.asset_id = (SELECT id FROM assets WHERE name = $1)",
                )
                .bind(asset)
                .fetch(connection);
                while let Some((key, materialized, failed)) =
                    rows.try_next().await.doing("reading the states of partitions")?
                {
                    sink(&key, PartitionState { materialized, failed });
                }
                Ok(())
            }

            pub(in crate::ledger) async fn runs(
                connection: &mut Connection,
                filter: &RunFilter,
            ) -> Result<Page<RunSummary, RunId>, LedgerError> {
                let mut query = select_runs();
                query.push(" WHERE TRUE");
                if let Some(status) = filter.status {
                    query.push(" AND status = ").push_bind(word(status));
                    if !status.is_terminal() {
                        // Lets the small index of live runs be used.
                        query.push(" AND finished_us IS NULL");
                    }
                }
                if let Some(origin) = filter.origin {
                    query.push(" AND origin = ").push_bind(word(origin));
                }
                if let Some(asset) = &filter.asset {
                    query
                        .push(
                            " AND EXISTS (SELECT 1 FROM run_assets t JOIN assets a ON a.id = t.asset_id \
                             WHERE t.run_id = runs.id AND a.name = ",
                        )
                        .push_bind(asset.as_str())
                        .push(")");
                }
                if let Some(cursor) = filter.cursor {
                    query.push(" AND id < ").push_bind(cursor.0);
                }
                let (limit, fetch) = page::limits(filter.limit);
                query.push(" ORDER BY id DESC LIMIT ").push_bind(fetch);
                let rows: Vec<RunRow> =
                    query.build_query_as().fetch_all(&mut *connection).await.doing("reading runs")?;
                let runs = with_assets(connection, rows, "").await?;
                Ok(page::cut(runs, limit, |run| run.record.id))
            }

            pub(in crate::ledger) async fn run(
                connection: &mut Connection,
                id: RunId,
            ) -> Result<Option<RunSummary>, LedgerError> {
                let mut query = select_runs();
                query.push(" WHERE id = ").push_bind(id.0);
                let rows: Vec<RunRow> =
                    query.build_query_as().fetch_all(&mut *connection).await.doing("reading a run")?;
                Ok(with_assets(connection, rows, ", t.targets").await?.pop())
            }

            fn select_runs() -> QueryBuilder<$Database> {
                QueryBuilder::new(
                    "SELECT id, origin, status, paused, priority, max_parallel, created_us, evaluated_us, \
                     cancel_requested_us, finished_us, job, selection, partitions, client_key, tags, config, \
                     definitions, traceparent FROM runs",
                )
            }

            /// `targets` is the column of that name, or nothing for runs without their targets.
            async fn with_assets(
                connection: &mut Connection,
                rows: Vec<RunRow>,
                targets: &'static str,
            ) -> Result<Vec<RunSummary>, LedgerError> {
                if rows.is_empty() {
                    return Ok(Vec::new());
                }
                let mut query = QueryBuilder::<$Database>::new(
                    "SELECT t.run_id, t.position, a.name, t.succeeded, t.failed, t.skipped, t.cancelled",
                );
                query.push(targets);
                query.push(" FROM run_assets t LEFT JOIN assets a ON a.id = t.asset_id WHERE t.run_id IN (");
                let mut ids = query.separated(", ");
                for row in &rows {
                    ids.push_bind(row.id);
                }
                query.push(") ORDER BY t.run_id, t.position");
                let assets: Vec<RunAssetRow> =
                    query.build_query_as().fetch_all(connection).await.doing("reading the assets of runs")?;
                let mut by_run: HashMap<uuid::Uuid, Vec<RunAssetRow>> = HashMap::new();
                for asset in assets {
                    by_run.entry(asset.run_id).or_default().push(asset);
                }
                rows.into_iter().map(|row| row.summary_of(&mut by_run)).collect()
            }

            pub(in crate::ledger) async fn materializations(
                connection: &mut Connection,
                wanted: &MaterializationQuery,
            ) -> Result<Page<Materialization, String>, LedgerError> {
                let mut query = QueryBuilder::<$Database>::new(
                    "SELECT a.name AS asset, p.partition_key, p.run_id, p.attempt, p.started_us, p.materialized_us, \
                     p.trace_id, p.code_version, p.data_version, p.metadata, p.checks, p.failed \
                     FROM assets a JOIN asset_partitions p ON p.asset_id = a.id \
                     WHERE p.materialized_us IS NOT NULL AND a.name = ",
                );
                query.push_bind(wanted.asset.as_str());
                if let Some(keys) = &wanted.partition_keys {
                    if keys.is_empty() {
                        return Ok(Page { items: Vec::new(), next: None });
                    }
                    query.push(" AND p.partition_key IN (");
                    let mut list = query.separated(", ");
                    for key in keys {
                        list.push_bind(storable_key(key));
                    }
                    query.push(")");
                }
                if let Some(cursor) = &wanted.cursor {
                    query.push(" AND p.partition_key > ").push_bind(cursor.as_str());
                }
                let (limit, fetch) = page::limits(wanted.limit);
                query.push(" ORDER BY p.partition_key LIMIT ").push_bind(fetch);
                let rows: Vec<MaterializationRow> =
                    query.build_query_as().fetch_all(connection).await.doing("reading materializations")?;
                let items =
                    rows.into_iter().map(MaterializationRow::materialization).collect::<Result<Vec<_>, _>>()?;
                Ok(page::cut(items, limit, |item| item.partition_key.clone()))
            }

            pub(in crate::ledger) async fn attempts(
                connection: &mut Connection,
                wanted: &AttemptQuery,
            ) -> Result<Page<AttemptRecord, AttemptCursor>, LedgerError> {
                let mut query = QueryBuilder::<$Database>::new(
                    "SELECT t.run_id, t.asset_index, t.ordinal, t.attempt, a.name AS asset, t.dispatch_id, \
                     t.started_us, t.finished_us, t.terminal, t.outcome, t.partition_key, t.worker_id, t.trace_id, \
                     t.code_version, t.data_version, t.metadata, t.checks, t.failure_kind, t.failure_code, \
                     t.failure_retryable, t.failure_message, t.failure_detail, t.output_omitted_bytes, ",
                );
                query.push(if wanted.with_output { "t.output" } else { "NULL AS output" });
                query.push(" FROM attempts t JOIN assets a ON a.id = t.asset_id WHERE t.run_id = ");
                query.push_bind(wanted.run.0);
                if let Some(asset_index) = wanted.asset_index {
                    query.push(" AND t.asset_index = ").push_bind(i32::from(asset_index));
                }
                if let Some(key) = &wanted.partition_key {
                    query.push(" AND t.partition_key = ").push_bind(storable_key(key));
                }
                if let Some(tasks) = &wanted.tasks {
                    if tasks.is_empty() {
                        return Ok(Page { items: Vec::new(), next: None });
                    }
                    query.push(" AND (t.asset_index, t.ordinal) IN (");
                    query.push_values(tasks, |mut row, (asset_index, ordinal)| {
                        row.push_bind(i32::from(*asset_index)).push_bind(*ordinal as i32);
                    });
                    query.push(")");
                }
                if wanted.only_unsuccessful {
                    query.push(" AND t.outcome <> 'succeeded'");
                }
                if let Some(after) = wanted.cursor {
                    query.push(" AND (t.asset_index, t.ordinal, t.attempt) > (").push_bind(i32::from(after.asset_index));
                    query.push(", ").push_bind(after.ordinal as i32);
                    query.push(", ").push_bind(i32::from(after.attempt)).push(")");
                }
                let (limit, fetch) = page::limits(wanted.limit);
                query.push(" ORDER BY t.asset_index, t.ordinal, t.attempt LIMIT ").push_bind(fetch);
                let rows: Vec<AttemptRow> =
                    query.build_query_as().fetch_all(connection).await.doing("reading attempts")?;
                let items = rows.into_iter().map(AttemptRow::record).collect::<Result<Vec<_>, _>>()?;
                Ok(page::cut(items, limit, |item| AttemptCursor {
                    asset_index: item.asset_index,
                    ordinal: item.ordinal,
                    attempt: item.attempt,
                }))
            }

            /// One set per asset of the run. Read from bitmaps, so it does not depend on how long history is kept.
            pub(in crate::ledger) async fn succeeded(
                connection: &mut Connection,
                run: RunId,
            ) -> Result<Vec<PartitionSubset>, LedgerError> {
                let kept: Vec<(i32, Option<Vec<u8>>)> =
                    sqlx::query_as("SELECT position, materialized FROM run_assets WHERE run_id = $1 ORDER BY position")
                        .bind(run.0)
                        .fetch_all(&mut *connection)
                        .await
                        .doing("reading what a run has materialized")?;
                check_positions(kept.iter().map(|(position, _)| *position))?;
                let mut so_far = materialized_so_far(connection, run).await?;
                kept.iter()
                    .map(|(position, kept)| match kept.as_deref() {
                        None => Ok(so_far.remove(&(*position as u16)).unwrap_or_default()),
                        Some(bytes) => stored_subset(bytes).map_err(unreadable("what a run has materialized")),
                    })
                    .collect()
            }

            pub(in crate::ledger) async fn successes(
                connection: &mut Connection,
                run: RunId,
                sink: &mut SuccessSink<'_>,
            ) -> Result<(), LedgerError> {
                let mut rows = sqlx::query_as::<_, (i64, i32, i32)>(
                    "SELECT dispatch_id, asset_index, ordinal FROM attempts \
                     WHERE run_id = $1 AND outcome = 'succeeded' ORDER BY dispatch_id, asset_index",
                )
                .bind(run.0)
                .fetch(connection);
                while let Some((dispatch, index, ordinal)) =
                    rows.try_next().await.doing("reading the successes of a run")?
                {
                    sink(DispatchId(dispatch as u64), index as u16, ordinal as u32);
                }
                Ok(())
            }
        }
        pub(in crate::ledger) use reads::*;
    };
}

pub(super) use reads;
