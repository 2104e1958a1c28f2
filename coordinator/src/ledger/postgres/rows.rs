//! Many rows per statement: one array per column, joined to rows by `UNNEST`.
//!
//! All arrays of a statement come from one slice, so they have the same length; `UNNEST` would pad a shorter one with
//! NULL without a word.

use std::borrow::Borrow;

use backstitch_proto::id::DispatchId;
use sqlx::PgConnection;
use sqlx::postgres::PgBindIterExt;

use crate::ledger::assets::AssetIds;
use crate::ledger::error::Doing;
use crate::ledger::sql::{AttemptColumns, FailureColumns, failed, materialized};
use crate::ledger::{AttemptRecord, DispatchRecord, LedgerError};

/// Rows of one statement at most. Larger statements are not faster.
const ROWS_PER_STATEMENT: usize = 4_096;
/// Bytes of text of one statement, about: it is in memory twice, here and in the server.
const TEXT_BYTES_PER_STATEMENT: usize = 8 << 20;

pub(super) async fn insert_dispatches(
    connection: &mut PgConnection,
    dispatches: &[DispatchRecord],
) -> Result<(), LedgerError> {
    for rows in dispatches.chunks(ROWS_PER_STATEMENT) {
        sqlx::query(
            "INSERT INTO dispatches (id, run_id, asset_index, attempt, announce_start, created_us, ordinals) \
             SELECT * FROM UNNEST($1::bigint[], $2::uuid[], $3::int[], $4::int[], $5::bool[], $6::bigint[], \
             $7::bytea[]) ON CONFLICT DO NOTHING",
        )
        .bind(rows.iter().map(|row| row.id.0 as i64).bind_iter())
        .bind(rows.iter().map(|row| row.run.0).bind_iter())
        .bind(rows.iter().map(|row| i32::from(row.asset_index)).bind_iter())
        .bind(rows.iter().map(|row| i32::from(row.attempt)).bind_iter())
        .bind(rows.iter().map(|row| row.announce_start).bind_iter())
        .bind(rows.iter().map(|row| row.created_us).bind_iter())
        .bind(rows.iter().map(|row| row.ordinals.to_bytes()).bind_iter())
        .execute(&mut *connection)
        .await
        .doing("committing dispatches")?;
    }
    Ok(())
}

pub(super) async fn delete_dispatches(
    connection: &mut PgConnection,
    closed: &[DispatchId],
) -> Result<(), LedgerError> {
    if closed.is_empty() {
        return Ok(());
    }
    sqlx::query("DELETE FROM dispatches WHERE id = ANY($1::bigint[])")
        .bind(closed.iter().map(|id| id.0 as i64).bind_iter())
        .execute(connection)
        .await
        .doing("closing dispatches")?;
    Ok(())
}

pub(super) async fn insert_attempts(
    connection: &mut PgConnection,
    attempts: &[AttemptRecord],
    asset_ids: &AssetIds<'_>,
) -> Result<(), LedgerError> {
    for chunk in statements(attempts) {
        let rows: Vec<_> =
            chunk.iter().map(|row| AttemptColumns::of(row, asset_ids.of(&row.asset))).collect();
        let failures = || rows.iter().map(|row| row.failure.as_ref());
        sqlx::query(
            "INSERT INTO attempts (run_id, asset_index, ordinal, attempt, asset_id, dispatch_id, started_us, \
             finished_us, terminal, outcome, partition_key, worker_id, trace_id, code_version, data_version, \
             metadata, checks, failure_kind, failure_code, failure_retryable, failure_message, failure_detail, \
             output, output_omitted_bytes) \
             SELECT * FROM UNNEST($1::uuid[], $2::int[], $3::int[], $4::int[], $5::int[], $6::bigint[], $7::bigint[], \
             $8::bigint[], $9::bool[], $10::text[], $11::text[], $12::uuid[], $13::bytea[], $14::text[], $15::text[], \
             $16::text[], $17::text[], $18::text[], $19::int[], $20::bool[], $21::text[], $22::text[], $23::text[], \
             $24::bigint[]) ON CONFLICT DO NOTHING",
        )
        .bind(rows.iter().map(|row| row.run).bind_iter())
        .bind(rows.iter().map(|row| row.asset_index).bind_iter())
        .bind(rows.iter().map(|row| row.ordinal).bind_iter())
        .bind(rows.iter().map(|row| row.attempt).bind_iter())
        .bind(rows.iter().map(|row| row.asset_id).bind_iter())
        .bind(rows.iter().map(|row| row.dispatch).bind_iter())
        .bind(rows.iter().map(|row| row.started_us).bind_iter())
        .bind(rows.iter().map(|row| row.finished_us).bind_iter())
        .bind(rows.iter().map(|row| row.terminal).bind_iter())
        .bind(rows.iter().map(|row| row.outcome).bind_iter())
        .bind(rows.iter().map(|row| row.partition_key.as_ref()).bind_iter())
        .bind(rows.iter().map(|row| row.worker).bind_iter())
        .bind(rows.iter().map(|row| row.trace_id).bind_iter())
        .bind(rows.iter().map(|row| row.code_version.as_deref()).bind_iter())
        .bind(rows.iter().map(|row| row.data_version.as_deref()).bind_iter())
        .bind(rows.iter().map(|row| row.metadata.as_deref()).bind_iter())
        .bind(rows.iter().map(|row| row.checks.as_deref()).bind_iter())
        .bind(failures().map(|failure| failure.map(|failure| failure.kind)).bind_iter())
        .bind(failures().map(|failure| failure?.code).bind_iter())
        .bind(failures().map(|failure| failure?.retryable).bind_iter())
        .bind(failures().map(|failure| failure.map(|failure| failure.message.as_ref())).bind_iter())
        .bind(failures().map(|failure| failure?.detail.as_deref()).bind_iter())
        .bind(rows.iter().map(|row| row.output.as_deref()).bind_iter())
        .bind(rows.iter().map(|row| row.output_omitted_bytes).bind_iter())
        .execute(&mut *connection)
        .await
        .doing("committing attempts")?;
    }
    Ok(())
}

pub(super) async fn upsert_materializations(
    connection: &mut PgConnection,
    succeeded: &[&AttemptRecord],
    asset_ids: &AssetIds<'_>,
) -> Result<(), LedgerError> {
    for chunk in statements(succeeded) {
        let rows: Vec<_> =
            chunk.iter().map(|row| AttemptColumns::of(row, asset_ids.of(&row.asset))).collect();
        sqlx::query(concat!(
            "INSERT INTO asset_partitions (asset_id, partition_key, run_id, asset_index, ordinal, attempt, started_us, \
             materialized_us, trace_id, code_version, data_version, metadata, checks, failed) \
             SELECT *, FALSE FROM UNNEST($1::int[], $2::text[], $3::uuid[], $4::int[], $5::int[], $6::int[], \
             $7::bigint[], $8::bigint[], $9::bytea[], $10::text[], $11::text[], $12::text[], $13::text[])",
            materialized!()
        ))
        .bind(rows.iter().map(|row| row.asset_id).bind_iter())
        .bind(rows.iter().map(|row| row.partition_key.as_ref()).bind_iter())
        .bind(rows.iter().map(|row| row.run).bind_iter())
        .bind(rows.iter().map(|row| row.asset_index).bind_iter())
        .bind(rows.iter().map(|row| row.ordinal).bind_iter())
        .bind(rows.iter().map(|row| row.attempt).bind_iter())
        .bind(rows.iter().map(|row| row.started_us).bind_iter())
        .bind(rows.iter().map(|row| row.finished_us).bind_iter())
        .bind(rows.iter().map(|row| row.trace_id).bind_iter())
        .bind(rows.iter().map(|row| row.code_version.as_deref()).bind_iter())
        .bind(rows.iter().map(|row| row.data_version.as_deref()).bind_iter())
        .bind(rows.iter().map(|row| row.metadata.as_deref()).bind_iter())
        .bind(rows.iter().map(|row| row.checks.as_deref()).bind_iter())
        .execute(&mut *connection)
        .await
        .doing("committing materializations")?;
    }
    Ok(())
}

pub(super) async fn upsert_failures(
    connection: &mut PgConnection,
    failed: &[&AttemptRecord],
    asset_ids: &AssetIds<'_>,
) -> Result<(), LedgerError> {
    for chunk in statements(failed) {
        let rows: Vec<_> =
            chunk.iter().map(|row| AttemptColumns::of(row, asset_ids.of(&row.asset))).collect();
        let failures: Vec<_> =
            rows.iter().map(|row| row.failure.clone().unwrap_or_else(FailureColumns::lost)).collect();
        sqlx::query(concat!(
            "INSERT INTO asset_partitions (asset_id, partition_key, failed, failed_run_id, failed_attempt, failed_us, \
             failure_kind, failure_code, failure_message) \
             SELECT asset_id, partition_key, TRUE, run_id, attempt, finished_us, kind, code, message \
             FROM UNNEST($1::int[], $2::text[], $3::uuid[], $4::int[], $5::bigint[], $6::text[], $7::int[], $8::text[]) \
             AS row (asset_id, partition_key, run_id, attempt, finished_us, kind, code, message)",
            failed!()
        ))
        .bind(rows.iter().map(|row| row.asset_id).bind_iter())
        .bind(rows.iter().map(|row| row.partition_key.as_ref()).bind_iter())
        .bind(rows.iter().map(|row| row.run).bind_iter())
        .bind(rows.iter().map(|row| row.attempt).bind_iter())
        .bind(rows.iter().map(|row| row.finished_us).bind_iter())
        .bind(failures.iter().map(|failure| failure.kind).bind_iter())
        .bind(failures.iter().map(|failure| failure.code).bind_iter())
        .bind(failures.iter().map(|failure| failure.message.as_ref()).bind_iter())
        .execute(&mut *connection)
        .await
        .doing("committing failures")?;
    }
    Ok(())
}

/// Cuts rows into statements that keep to both limits. A row that is over the limit by itself is a statement.
fn statements<A: Borrow<AttemptRecord>>(mut rows: &[A]) -> impl Iterator<Item = &[A]> {
    std::iter::from_fn(move || {
        let mut text_bytes = 0;
        let fits = |row: &A| {
            let attempt: &AttemptRecord = row.borrow();
            let output = attempt.output.as_ref().map_or(0, |output| output.text.len());
            text_bytes += output + attempt.metadata_json.as_ref().map_or(0, String::len);
            text_bytes <= TEXT_BYTES_PER_STATEMENT
        };
        let fitting = rows.iter().take(ROWS_PER_STATEMENT).map(fits).take_while(|fits| *fits).count();
        let (statement, rest) = rows.split_at(fitting.max(1).min(rows.len()));
        rows = rest;
        (!statement.is_empty()).then_some(statement)
    })
}
