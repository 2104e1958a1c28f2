//! A commit in SQLite: many rows per statement, one transaction.

use backstitch_proto::id::Epoch;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection, SqlitePool};

use crate::ledger::assets::AssetIds;
use crate::ledger::committed::Committed;
use crate::ledger::effects::effects;
use crate::ledger::error::Doing;
use crate::ledger::progress::segments;
use crate::ledger::sql::{AttemptColumns, FailureColumns, failed, materialized, sqlite as sql};
use crate::ledger::{AttemptRecord, Batch, CommitError, DispatchRecord, LedgerError};

/// Rows of one statement. SQLite takes 32,766 parameters, and the widest row has 24; larger statements are not
/// faster.
const ROWS_PER_STATEMENT: usize = 256;

pub(super) async fn commit(
    writer: &SqlitePool,
    committed: &mut Committed,
    epoch: Epoch,
    batch: &Batch,
) -> Result<(), CommitError> {
    const DOING: &str = "committing a batch";
    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await.doing(DOING)?;
    let fence =
        sqlx::query("UPDATE leadership SET confirmed_through = MAX(confirmed_through, $2) WHERE epoch = $1")
            .bind(i64::from(epoch.0))
            .bind(batch.confirmed_through.0 as i64)
            .execute(&mut *transaction)
            .await
            .doing(DOING)?;
    if fence.rows_affected() == 0 {
        return Err(CommitError::Deposed { epoch });
    }
    let mut asset_ids = AssetIds::new(&committed.asset_ids);
    sql::resolve_assets(&mut transaction, &mut asset_ids, batch).await?;
    sql::insert_definitions(&mut transaction, &batch.definitions, &committed.definitions).await?;
    for run in &batch.runs {
        sql::insert_run(&mut transaction, run, &asset_ids).await?;
    }
    insert_dispatches(&mut transaction, &batch.dispatches).await?;
    insert_attempts(&mut transaction, &batch.attempts, &asset_ids).await?;
    let effects = effects(&batch.attempts);
    upsert_materializations(&mut transaction, &effects.succeeded, &asset_ids).await?;
    upsert_failures(&mut transaction, &effects.failed, &asset_ids).await?;
    let (number, segments) = (committed.folding.number(epoch), segments(&batch.attempts));
    sql::insert_progress(&mut transaction, number, &segments).await?;
    let folds = committed.folding.due(number, &segments);
    for fold in &folds {
        sql::fold_progress(&mut transaction, number, fold).await?;
    }
    for id in &batch.closed {
        sqlx::query("DELETE FROM dispatches WHERE id = $1")
            .bind(id.0 as i64)
            .execute(&mut *transaction)
            .await
            .doing("closing dispatches")?;
    }
    for (run, change) in &batch.changes {
        sql::change_run(&mut transaction, *run, change).await?;
    }
    transaction.commit().await.doing(DOING)?;
    let new_ids = asset_ids.into_new();
    committed.learn(batch, new_ids, number, &segments, &folds);
    Ok(())
}

async fn insert_dispatches(
    connection: &mut SqliteConnection,
    dispatches: &[DispatchRecord],
) -> Result<(), LedgerError> {
    for chunk in dispatches.chunks(ROWS_PER_STATEMENT) {
        let mut query = QueryBuilder::<Sqlite>::new(
            "INSERT INTO dispatches (id, run_id, asset_index, attempt, announce_start, created_us, ordinals) ",
        );
        query.push_values(chunk, |mut row, dispatch| {
            row.push_bind(dispatch.id.0 as i64)
                .push_bind(dispatch.run.0)
                .push_bind(i32::from(dispatch.asset_index))
                .push_bind(i32::from(dispatch.attempt))
                .push_bind(dispatch.announce_start)
                .push_bind(dispatch.created_us)
                .push_bind(dispatch.ordinals.to_bytes());
        });
        query.push(" ON CONFLICT DO NOTHING");
        query.build().execute(&mut *connection).await.doing("committing dispatches")?;
    }
    Ok(())
}

async fn insert_attempts(
    connection: &mut SqliteConnection,
    attempts: &[AttemptRecord],
    asset_ids: &AssetIds<'_>,
) -> Result<(), LedgerError> {
    for chunk in attempts.chunks(ROWS_PER_STATEMENT) {
        let mut query = QueryBuilder::<Sqlite>::new(
            "INSERT INTO attempts (run_id, asset_index, ordinal, attempt, asset_id, dispatch_id, started_us, \
             finished_us, terminal, outcome, partition_key, worker_id, trace_id, code_version, data_version, \
             metadata, checks, failure_kind, failure_code, failure_retryable, failure_message, failure_detail, \
             output, output_omitted_bytes) ",
        );
        query.push_values(chunk, |mut row, attempt| {
            let columns = AttemptColumns::of(attempt, asset_ids.of(&attempt.asset));
            let failure = columns.failure;
            row.push_bind(columns.run)
                .push_bind(columns.asset_index)
                .push_bind(columns.ordinal)
                .push_bind(columns.attempt)
                .push_bind(columns.asset_id)
                .push_bind(columns.dispatch)
                .push_bind(columns.started_us)
                .push_bind(columns.finished_us)
                .push_bind(columns.terminal)
                .push_bind(columns.outcome)
                .push_bind(columns.partition_key)
                .push_bind(columns.worker)
                .push_bind(columns.trace_id)
                .push_bind(columns.code_version)
                .push_bind(columns.data_version)
                .push_bind(columns.metadata)
                .push_bind(columns.checks)
                .push_bind(failure.as_ref().map(|failure| failure.kind))
                .push_bind(failure.as_ref().and_then(|failure| failure.code))
                .push_bind(failure.as_ref().and_then(|failure| failure.retryable))
                .push_bind(failure.as_ref().map(|failure| failure.message.clone()))
                .push_bind(failure.and_then(|failure| failure.detail))
                .push_bind(columns.output)
                .push_bind(columns.output_omitted_bytes);
        });
        query.push(" ON CONFLICT DO NOTHING");
        query.build().execute(&mut *connection).await.doing("committing attempts")?;
    }
    Ok(())
}

async fn upsert_materializations(
    connection: &mut SqliteConnection,
    succeeded: &[&AttemptRecord],
    asset_ids: &AssetIds<'_>,
) -> Result<(), LedgerError> {
    for chunk in succeeded.chunks(ROWS_PER_STATEMENT) {
        let mut query = QueryBuilder::<Sqlite>::new(
            "INSERT INTO asset_partitions (asset_id, partition_key, run_id, asset_index, ordinal, attempt, started_us, \
             materialized_us, trace_id, code_version, data_version, metadata, checks, failed) ",
        );
        query.push_values(chunk, |mut row, attempt| {
            let columns = AttemptColumns::of(attempt, asset_ids.of(&attempt.asset));
            row.push_bind(columns.asset_id)
                .push_bind(columns.partition_key)
                .push_bind(columns.run)
                .push_bind(columns.asset_index)
                .push_bind(columns.ordinal)
                .push_bind(columns.attempt)
                .push_bind(columns.started_us)
                .push_bind(columns.finished_us)
                .push_bind(columns.trace_id)
                .push_bind(columns.code_version)
                .push_bind(columns.data_version)
                .push_bind(columns.metadata)
                .push_bind(columns.checks)
                .push_bind(false);
        });
        query.push(materialized!());
        query.build().execute(&mut *connection).await.doing("committing materializations")?;
    }
    Ok(())
}

async fn upsert_failures(
    connection: &mut SqliteConnection,
    failed: &[&AttemptRecord],
    asset_ids: &AssetIds<'_>,
) -> Result<(), LedgerError> {
    for chunk in failed.chunks(ROWS_PER_STATEMENT) {
        let mut query = QueryBuilder::<Sqlite>::new(
            "INSERT INTO asset_partitions (asset_id, partition_key, failed, failed_run_id, failed_attempt, \
             failed_us, failure_kind, failure_code, failure_message) ",
        );
        query.push_values(chunk, |mut row, attempt| {
            let columns = AttemptColumns::of(attempt, asset_ids.of(&attempt.asset));
            let failure = columns.failure.unwrap_or_else(FailureColumns::lost);
            row.push_bind(columns.asset_id)
                .push_bind(columns.partition_key)
                .push_bind(true)
                .push_bind(columns.run)
                .push_bind(columns.attempt)
                .push_bind(columns.finished_us)
                .push_bind(failure.kind)
                .push_bind(failure.code)
                .push_bind(failure.message);
        });
        query.push(failed!());
        query.build().execute(&mut *connection).await.doing("committing failures")?;
    }
    Ok(())
}
