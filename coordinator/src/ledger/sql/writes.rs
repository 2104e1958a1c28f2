//! The parts of a commit that are small: definitions, runs, their changes, progress.
//!
//! Every statement changes nothing when it is run a second time.

macro_rules! writes {
    ($Database:ty) => {
        mod writes {
            use std::collections::HashMap;
            use std::sync::Arc;

            use backstitch_proto::id::RunId;
            use backstitch_proto::partition::PartitionSubset;

            use crate::ledger::assets::AssetIds;
            use crate::ledger::error::{Doing, unreadable};
            use crate::ledger::month::Month;
            use crate::ledger::progress::{Progress, SegmentColumns, Segments};
            use crate::ledger::sql::status_name;
            use crate::ledger::text::storable;
            use crate::ledger::{
                Batch, CommitError, FinalCounts, LedgerError, RunChange, RunRecord, RunStatus,
            };

            type Connection = <$Database as sqlx::Database>::Connection;

            pub(in crate::ledger) async fn insert_definitions(
                connection: &mut Connection,
                definitions: &[(String, Arc<str>)],
            ) -> Result<(), LedgerError> {
                for (fingerprint, json) in definitions {
                    sqlx::query("INSERT INTO definitions (fingerprint, json) VALUES ($1, $2) ON CONFLICT DO NOTHING")
                        .bind(fingerprint)
                        .bind(storable(json))
                        .execute(&mut *connection)
                        .await
                        .doing("committing definitions")?;
                }
                Ok(())
            }

            /// Gives an id to every asset of the batch.
            pub(in crate::ledger) async fn resolve_assets(
                connection: &mut Connection,
                asset_ids: &mut AssetIds<'_>,
                batch: &Batch,
            ) -> Result<(), LedgerError> {
                for name in asset_ids.unknown(batch) {
                    let id = asset_id(connection, &name).await?;
                    asset_ids.add(name, id);
                }
                Ok(())
            }

            async fn asset_id(
                connection: &mut Connection,
                name: &str,
            ) -> Result<i32, LedgerError> {
                const READ: &str = "SELECT id FROM assets WHERE name = $1";
                const DOING: &str = "looking up an asset";
                let name = storable(name);
                let found = sqlx::query_scalar(READ).bind(&name).fetch_optional(&mut *connection).await.doing(DOING)?;
                if let Some(id) = found {
                    return Ok(id);
                }
                sqlx::query_scalar("INSERT INTO assets (name) VALUES ($1) RETURNING id")
                    .bind(&name)
                    .fetch_one(connection)
                    .await
                    .doing(DOING)
            }

            pub(in crate::ledger) async fn insert_run(
                connection: &mut Connection,
                run: &RunRecord,
                asset_ids: &AssetIds<'_>,
            ) -> Result<(), CommitError> {
                const DOING: &str = "committing a run";
                let tags = serde_json::to_string(&run.tags).map_err(|error| LedgerError::Unreadable {
                    what: "the tags of a run",
                    source: error.into(),
                })?;
                sqlx::query(
                    "INSERT INTO runs (id, origin, status, priority, max_parallel, created_us, evaluated_us, job, \
                     selection, partitions, client_key, tags, config, definitions, traceparent) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) ON CONFLICT DO NOTHING",
                )
                .bind(run.id.0)
                .bind(status_name(run.origin))
                .bind(status_name(RunStatus::Running))
                .bind(run.priority)
                .bind(run.max_parallel.map(i64::from))
                .bind(run.created_us)
                .bind(run.evaluated_us)
                .bind(run.job.as_deref().map(storable))
                .bind(storable(&run.selection))
                .bind(run.partitions.as_deref().map(storable))
                .bind(run.client_key.as_deref().map(storable))
                .bind(&tags)
                .bind(storable(&run.config_json))
                .bind(&run.definitions)
                .bind(run.traceparent.as_deref())
                .execute(&mut *connection)
                .await
                .doing(DOING)?;
                if let Some(client_key) = &run.client_key {
                    let owner = run_by_client_key(connection, client_key).await?;
                    if let Some(owner) = owner.filter(|owner| *owner != run.id) {
                        return Err(CommitError::ClientKeyTaken { run: run.id, owner });
                    }
                }
                for (position, planned) in run.assets.iter().enumerate() {
                    sqlx::query(
                        "INSERT INTO run_assets (run_id, position, asset_id, targets) VALUES ($1, $2, $3, $4) \
                         ON CONFLICT DO NOTHING",
                    )
                    .bind(run.id.0)
                    .bind(position as i32)
                    .bind(asset_ids.of(&planned.asset))
                    .bind(planned.targets.to_bytes())
                    .execute(&mut *connection)
                    .await
                    .doing(DOING)?;
                }
                Ok(())
            }

            /// The run that was submitted with this idempotency key.
            pub(in crate::ledger) async fn run_by_client_key(
                connection: &mut Connection,
                client_key: &str,
            ) -> Result<Option<RunId>, LedgerError> {
                let id = sqlx::query_scalar("SELECT id FROM runs WHERE client_key = $1")
                    .bind(storable(client_key))
                    .fetch_optional(connection)
                    .await
                    .doing("looking up a client key")?;
                Ok(id.map(RunId))
            }

            pub(in crate::ledger) async fn insert_progress(
                connection: &mut Connection,
                segments: &Segments,
            ) -> Result<(), LedgerError> {
                for ((run, asset_index), progress) in segments {
                    insert_segment(connection, *run, *asset_index, progress).await?;
                }
                Ok(())
            }

            async fn insert_segment(
                connection: &mut Connection,
                run: RunId,
                asset_index: u16,
                progress: &Progress,
            ) -> Result<(), LedgerError> {
                let columns = progress.to_columns();
                sqlx::query(
                    "INSERT INTO progress (run_id, asset_index, segment, succeeded, failed, cancelled, retried) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
                )
                .bind(run.0)
                .bind(i32::from(asset_index))
                .bind(columns.segment)
                .bind(columns.succeeded)
                .bind(columns.failed)
                .bind(columns.cancelled)
                .bind(columns.retried)
                .execute(connection)
                .await
                .doing("committing the progress of a run")?;
                Ok(())
            }

            /// Unites the segments of one asset of one run in one.
            pub(in crate::ledger) async fn fold_progress(
                connection: &mut Connection,
                run: RunId,
                asset_index: u16,
            ) -> Result<(), LedgerError> {
                const DOING: &str = "folding the progress of a run";
                let rows: Vec<(Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>)> = sqlx::query_as(
                    "DELETE FROM progress WHERE run_id = $1 AND asset_index = $2 \
                     RETURNING succeeded, failed, cancelled, retried",
                )
                .bind(run.0)
                .bind(i32::from(asset_index))
                .fetch_all(&mut *connection)
                .await
                .doing(DOING)?;
                let mut progress = Progress::default();
                for (succeeded, failed, cancelled, retried) in rows {
                    let segment = SegmentColumns { segment: 0, succeeded, failed, cancelled, retried };
                    progress.unite(&segment).map_err(unreadable("the progress of a run"))?;
                }
                progress.settle();
                insert_segment(connection, run, asset_index, &progress).await
            }

            /// The first month whose history must stay: the one of this time, or of the oldest live run.
            pub(in crate::ledger) async fn first_month_to_keep(
                connection: &mut Connection,
                before_us: i64,
            ) -> Result<Month, LedgerError> {
                let oldest_live: Option<uuid::Uuid> =
                    sqlx::query_scalar("SELECT id FROM runs WHERE finished_us IS NULL ORDER BY id LIMIT 1")
                        .fetch_optional(connection)
                        .await
                        .doing("looking for the oldest live run")?;
                let month = Month::at(before_us.div_euclid(1_000));
                Ok(oldest_live.map_or(month, |run| month.min(Month::of(RunId(run)))))
            }

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
                        sqlx::query(PAUSE).bind(run.0).bind(*paused).bind(status_name(status))
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
                            .bind(status_name(*status))
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
                for (position, counts) in counts.iter().enumerate() {
                    let materialized = materialized.get(&(position as u16)).map(PartitionSubset::to_bytes);
                    // Committed a second time, the segments of earlier commits are gone: what was kept first is whole.
                    sqlx::query(
                        "UPDATE run_assets SET succeeded = $3, failed = $4, skipped = $5, cancelled = $6, \
                         materialized = COALESCE(materialized, $7) WHERE run_id = $1 AND position = $2",
                    )
                    .bind(run.0)
                    .bind(position as i32)
                    .bind(i64::from(counts.succeeded))
                    .bind(i64::from(counts.failed))
                    .bind(i64::from(counts.skipped))
                    .bind(i64::from(counts.cancelled))
                    .bind(materialized.unwrap_or_default())
                    .execute(&mut *connection)
                    .await
                    .doing(DOING)?;
                }
                sqlx::query("DELETE FROM progress WHERE run_id = $1").bind(run.0).execute(connection).await.doing(DOING)?;
                Ok(())
            }

            /// The tasks of a live run that succeeded, by position of their asset.
            pub(in crate::ledger) async fn materialized_so_far(
                connection: &mut Connection,
                run: RunId,
            ) -> Result<HashMap<u16, PartitionSubset>, LedgerError> {
                let segments: Vec<(i32, Vec<u8>)> = sqlx::query_as(
                    "SELECT asset_index, succeeded FROM progress WHERE run_id = $1 AND length(succeeded) > 0",
                )
                .bind(run.0)
                .fetch_all(connection)
                .await
                .doing("reading what a run has materialized")?;
                let mut sets: HashMap<u16, PartitionSubset> = HashMap::new();
                for (position, bytes) in segments {
                    let segment = PartitionSubset::from_bytes(&bytes)
                        .map_err(|error| unreadable("the progress of a run")(error.into()))?;
                    let set = sets.entry(position as u16).or_default();
                    *set = set.union(&segment);
                }
                Ok(sets)
            }
        }
        pub(in crate::ledger) use writes::*;
    };
}

pub(super) use writes;
