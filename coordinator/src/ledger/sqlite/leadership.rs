//! Leadership of an embedded ledger: a lock on a file beside the database, held by the process that leads.
//!
//! The operating system releases it when the process ends, however it ends. There is no waiting: a second process
//! on the same state is a mistake of the user, who is told.

use std::fs::{File, TryLockError};
use std::path::Path;

use backstitch_proto::id::Epoch;
use chrono::Utc;
use sqlx::SqlitePool;

use crate::ledger::error::Doing;
use crate::ledger::{COUNTED_EPOCH_MAX, Candidate, LeaderInfo, LedgerError, Term};

pub(super) async fn lead(
    writer: &SqlitePool,
    database: &Path,
    candidate: &Candidate,
) -> Result<Term, LedgerError> {
    let file = lock(database)?;
    // As in Postgres: no less than the minutes since 2026.
    let epoch: i64 = sqlx::query_scalar(
        "UPDATE leadership SET name = $1, api_address = $2, since_us = $3, held = TRUE, \
         epoch = max(epoch + 1, min($4, (unixepoch() - unixepoch('2026-01-01')) / 60)) RETURNING epoch",
    )
    .bind(&candidate.name)
    .bind(&candidate.api_address)
    .bind(Utc::now().timestamp_micros())
    .bind(COUNTED_EPOCH_MAX)
    .fetch_one(writer)
    .await
    .doing("beginning a term of leadership")?;

    let (term, held) = Term::begin(Epoch(epoch as u32));
    let writer = writer.clone();
    tokio::spawn(async move {
        held.resign.cancelled().await;
        held.lost.cancel();
        let resigned =
            sqlx::query("UPDATE leadership SET held = FALSE WHERE epoch = $1").bind(epoch).execute(&writer);
        if let Err(error) = resigned.await {
            // The lock tells the truth; the row is for people.
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "could not record the end of the term of leadership"
            );
        }
        drop(file);
        held.released.cancel();
    });
    Ok(term)
}

/// Takes the lock or says who is in the way.
fn lock(database: &Path) -> Result<File, LedgerError> {
    let mut lock = database.as_os_str().to_owned();
    lock.push(".lock");
    let lock = std::path::PathBuf::from(lock);
    let opened = File::options().create(true).truncate(false).write(true).open(&lock);
    let file = opened.map_err(|source| LedgerError::Lock { lock: lock.clone(), source })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LedgerError::InUse { database: database.to_owned(), lock }),
        Err(TryLockError::Error(source)) => Err(LedgerError::Lock { lock, source }),
    }
}

pub(super) async fn leader(readers: &SqlitePool) -> Result<Option<LeaderInfo>, LedgerError> {
    let row = sqlx::query_as("SELECT epoch, name, api_address, since_us FROM leadership WHERE held")
        .fetch_optional(readers)
        .await
        .doing("reading who leads")?;
    Ok(row.map(LeaderInfo::from_columns))
}
