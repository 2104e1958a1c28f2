//! What a new leader loads.

macro_rules! live {
    ($Database:ty) => {
        mod live {
            use std::collections::HashMap;

            use backstitch_proto::id::{DispatchId, RunId};
            use futures_util::TryStreamExt;

            use crate::ledger::error::{Doing, unreadable};
            use crate::ledger::progress::{Progress, SegmentColumns};
            use crate::ledger::sql::rows::{DispatchRow, RunAssetRow, RunRow};
            use crate::ledger::{DispatchRecord, LedgerError, LiveRun, LiveState};

            type Connection = <$Database as sqlx::Database>::Connection;
            const DOING: &str = "loading what is live";

            /// In a transaction, so that runs and outbox are of one moment. `confirmed_through` reads the watermark of the
            /// outbox, which Postgres keeps apart from the row that every commit locks.
            pub(in crate::ledger) async fn live_state(
                connection: &mut Connection,
                confirmed_through: &'static str,
            ) -> Result<LiveState, LedgerError> {
                let confirmed_through: i64 =
                    sqlx::query_scalar(confirmed_through).fetch_one(&mut *connection).await.doing(DOING)?;
                Ok(LiveState {
                    runs: live_runs(connection).await?,
                    dispatches: open_dispatches(connection).await?,
                    confirmed_through: DispatchId(confirmed_through as u64),
                })
            }

            pub(in crate::ledger) async fn live_runs(connection: &mut Connection) -> Result<Vec<LiveRun>, LedgerError> {
                let runs: Vec<RunRow> = sqlx::query_as(
                    "SELECT id, origin, status, paused, priority, max_parallel, created_us, evaluated_us, \
                     cancel_requested_us, finished_us, job, selection, partitions, client_key, tags, config, \
                     definitions, traceparent FROM runs WHERE finished_us IS NULL ORDER BY id",
                )
                .fetch_all(&mut *connection)
                .await
                .doing(DOING)?;
                let mut assets: HashMap<uuid::Uuid, Vec<RunAssetRow>> = HashMap::new();
                let rows: Vec<RunAssetRow> = sqlx::query_as(
                    "SELECT t.run_id, t.position, a.name, t.targets, t.succeeded, t.failed, t.skipped, t.cancelled \
                     FROM runs r JOIN run_assets t ON t.run_id = r.id LEFT JOIN assets a ON a.id = t.asset_id \
                     WHERE r.finished_us IS NULL ORDER BY t.run_id, t.position",
                )
                .fetch_all(&mut *connection)
                .await
                .doing(DOING)?;
                for row in rows {
                    assets.entry(row.run_id).or_default().push(row);
                }
                let mut progress = live_progress(connection).await?;
                let mut live = Vec::with_capacity(runs.len());
                for run in runs {
                    let (paused, cancel_requested) = (run.paused, run.cancel_requested_us.is_some());
                    let record = run.summary_of(&mut assets)?.record;
                    let progress_of = |(at, _)| progress.remove(&(record.id, at as u16)).unwrap_or_default().into_live();
                    let assets = record.assets.iter().enumerate().map(progress_of).collect();
                    live.push(LiveRun { record, paused, cancel_requested, assets });
                }
                Ok(live)
            }

            /// Streamed: a long run has many segments.
            async fn live_progress(
                connection: &mut Connection,
            ) -> Result<HashMap<(RunId, u16), Progress>, LedgerError> {
                let mut progress: HashMap<(RunId, u16), Progress> = HashMap::new();
                let mut rows = sqlx::query_as::<_, (uuid::Uuid, i32, Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>)>(
                    "SELECT run_id, asset_index, succeeded, failed, cancelled, retried FROM progress",
                )
                .fetch(connection);
                while let Some((run, asset_index, succeeded, failed, cancelled, retried)) =
                    rows.try_next().await.doing(DOING)?
                {
                    let segment = SegmentColumns { succeeded, failed, cancelled, retried };
                    let entry = progress.entry((RunId(run), asset_index as u16)).or_default();
                    entry.unite(&segment).map_err(unreadable("the progress of a run"))?;
                }
                Ok(progress)
            }

            async fn open_dispatches(
                connection: &mut Connection,
            ) -> Result<Vec<DispatchRecord>, LedgerError> {
                sqlx::query_as(
                    "SELECT id, run_id, asset_index, attempt, announce_start, created_us, ordinals \
                     FROM dispatches ORDER BY id",
                )
                .fetch_all(connection)
                .await
                .doing(DOING)?
                .into_iter()
                .map(DispatchRow::record)
                .collect()
            }
        }
        pub(in crate::ledger) use live::*;
    };
}

pub(super) use live;
