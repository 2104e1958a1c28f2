//! Leadership in Postgres: a session's advisory lock, and a lease for leaders that are silent but not dead.
//!
//! ```text
//!             waits in pg_advisory_lock                      UPDATE lease every second
//!  standby ----------------------------> begins a term ----------------------------------> leads
//!     |  the holder is silent for LEASE: ends its session                                    |
//!     +----------------------------------------------------  session broken, resigned  <-----+
//! ```
//!
//! A leader that dies frees the lock at once, because the server ends the session of a closed connection: the next one
//! in line leads within milliseconds, without polling. A leader that is frozen, or cut off from the network, keeps its
//! session; so it must renew a lease, and a standby ends the session of one that did not. For how long, the standby
//! measures itself: the clock of the database may be set, also back.
//! A standby sends nothing while it waits in line, so it cannot tell by itself that the network has forgotten its
//! connection, nor that the lock was given to it and the answer lost. Its watch can: it asks whether the server still
//! knows the session in line.
//!
//! The lock only says who may begin a term. What protects the ledger is the epoch, which every commit checks, and that
//! the server is still the one that the term began on: one that takes over from it may lack the last commits.

use std::time::{Duration, Instant};

use backstitch_proto::id::Epoch;
use chrono::Utc;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};

use super::{ANSWER_TIMEOUT, connect, in_time};
use crate::ledger::error::{Doing, LOCK_NOT_AVAILABLE};
use crate::ledger::leadership::Held;
use crate::ledger::{COUNTED_EPOCH_MAX, Candidate, CommitError, LeaderInfo, LedgerError, Term};

/// The advisory lock of leadership: "backsttc" in ASCII, to be told from the locks of others in the same database.
const LOCK: i64 = 0x6261_636b_7374_7463;
/// A leader that has not renewed for so long is replaced. With [`RENEW`] it may miss three renewals.
const LEASE: Duration = Duration::from_secs(4);
/// How often the leader renews.
const RENEW: Duration = Duration::from_secs(1);
/// Shortest pause between two looks of a standby at the holder of the lock.
const STANDBY_PAUSE_MIN: Duration = Duration::from_millis(100);
/// How often a new leader tries to get past commits of the last one. Each time it ends those in its way.
const BEGIN_TRIES: u32 = 5;

/// When a server was started, microseconds since the Unix epoch: another server has another, and so has this one after it
/// was started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ServerStart(i64);

/// Waits for the lock, begins a term, and keeps renewing it in the background. Tells what server it began on.
pub(super) async fn lead(
    options: &PgConnectOptions,
    candidate: &Candidate,
) -> Result<(Term, ServerStart), LedgerError> {
    const DOING: &str = "connecting to the ledger to lead";
    // Waiting in line may take months.
    let limits = [("statement_timeout", "0"), ("lock_timeout", "0")];
    let mut connection = connect(options, &format!("leader {}", candidate.name), &limits, DOING).await?;
    let prepared = async {
        // Not for a process that is gone, though. Some platforms cannot tell and refuse the setting; there the watch
        // of the next standby finds such a holder.
        let notice_closed =
            sqlx::query("SET client_connection_check_interval = '1s'").execute(&mut connection).await;
        drop(notice_closed);
        sqlx::query_scalar::<_, i32>("SELECT pg_backend_pid()").fetch_one(&mut connection).await.doing(DOING)
    };
    let in_line = in_time(ANSWER_TIMEOUT, DOING, prepared).await?;
    {
        let line = sqlx::query("SELECT pg_advisory_lock($1)").bind(LOCK).execute(&mut connection);
        tokio::select! {
            granted = line => {
                granted.doing("waiting to lead")?;
            }
            failed = watch_holder(options, in_line) => failed?,
        }
    }
    let begun = begin_term(&mut connection, candidate);
    let (epoch, server) = in_time(ANSWER_TIMEOUT, "beginning a term of leadership", begun).await?;
    let (term, held) = Term::begin(epoch);
    tokio::spawn(async move {
        keep_term(connection, epoch, &held).await;
        held.released.cancel();
    });
    Ok((term, server))
}

/// Keeps any later term from beginning until `connection` ends its transaction.
///
/// Without `server`, the term may have begun on any: who has not led through this ledger does not know it.
///
/// # Errors
/// [`CommitError::Deposed`] when a later term has begun, or when the server is not the one that this term began on. A
/// standby that lacks the last commits still has the epoch of a term that wrote them, until the next one begins; a
/// batch that builds on them would be in the ledger without them.
pub(super) async fn fence(
    connection: &mut PgConnection,
    epoch: Epoch,
    server: Option<ServerStart>,
) -> Result<(), CommitError> {
    let started: Option<i64> = sqlx::query_scalar(
        "SELECT (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint FROM leadership \
         WHERE epoch = $1 FOR SHARE",
    )
    .bind(i64::from(epoch.0))
    .fetch_optional(connection)
    .await
    .doing("committing a batch")?;
    let Some(started) = started else { return Err(CommitError::Deposed { epoch }) };
    if server.is_some_and(|server| server != ServerStart(started)) {
        tracing::warn!(%epoch, "the ledger is on another server, or was started anew, since this term began");
        return Err(CommitError::Deposed { epoch });
    }
    Ok(())
}

/// Ends the session of a holder of the lock that is silent. Returns only with an error, also when the server does not
/// know our session `in_line` any more.
async fn watch_holder(options: &PgConnectOptions, in_line: i32) -> Result<(), LedgerError> {
    const DOING: &str = "watching the leader";
    let mut connection = connect(options, "standby", &[("statement_timeout", "10s")], DOING).await?;
    // The last sign of life of the holder, and since when we know it: its session, and when it renewed, absent while it
    // has no lease yet.
    let mut last: Option<((i32, Option<i64>), Instant)> = None;
    loop {
        let asked = Instant::now();
        let seen = sqlx::query_as::<_, (bool, Option<i32>, Option<i64>)>(
            "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE pid = $2), h.pid, h.renewed_us FROM (SELECT 1) one \
             LEFT JOIN (SELECT l.pid, (extract(epoch FROM s.renewed_at) * 1000000)::bigint AS renewed_us \
             FROM pg_locks l LEFT JOIN lease s ON s.backend_pid = l.pid \
             WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 \
             AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
             AND (l.classid::bigint << 32) + l.objid::bigint = $1) h ON TRUE",
        )
        .bind(LOCK)
        .bind(in_line)
        .fetch_one(&mut connection);
        let seen = in_time(ANSWER_TIMEOUT, DOING, async { seen.await.doing(DOING) });
        let (waits, holder, renewed_us) = seen.await?;
        if !waits {
            let forgotten = std::io::Error::new(
                std::io::ErrorKind::ConnectionAborted,
                "the server has ended our session that waits to lead",
            );
            return Err(sqlx::Error::Io(forgotten)).doing(DOING);
        }
        let Some(pid) = holder else {
            tokio::time::sleep(STANDBY_PAUSE_MIN).await;
            continue;
        };
        let sign = (pid, renewed_us);
        let since = match last {
            Some((known, since)) if known == sign => since,
            _ => Instant::now(),
        };
        last = Some((sign, since));
        // Until we asked: if we were frozen since, the leader may have given signs that we did not see.
        let silent = asked.saturating_duration_since(since);
        if let Some(left) = LEASE.checked_sub(silent).filter(|left| !left.is_zero()) {
            tokio::time::sleep(left.max(STANDBY_PAUSE_MIN).min(RENEW)).await;
            continue;
        }
        tracing::warn!(pid, ?silent, "the leader is silent: ending its session");
        let ended = sqlx::query("SELECT pg_terminate_backend($1)").bind(pid).execute(&mut connection);
        in_time(ANSWER_TIMEOUT, DOING, async { ended.await.doing(DOING) }).await?;
        tokio::time::sleep(STANDBY_PAUSE_MIN).await;
    }
}

/// Raises the epoch, which deposes every earlier leader. It is at least the minute of the term's beginning, counted from
/// 2026: a ledger that was set back to a backup, or made anew beside workers of another, repeats no epoch, and so no
/// dispatch. From 2041 on nothing keeps it from that ([`COUNTED_EPOCH_MAX`]).
async fn begin_term(
    connection: &mut PgConnection,
    candidate: &Candidate,
) -> Result<(Epoch, ServerStart), LedgerError> {
    const DOING: &str = "beginning a term of leadership";
    const BEGIN: &str = "WITH term AS (UPDATE leadership SET name = $1, api_address = $2, since_us = $3, \
        epoch = greatest(epoch + 1, least($4::bigint, \
            (extract(epoch FROM clock_timestamp() - '2026-01-01T00:00:00Z'::timestamptz) / 60)::bigint)) \
        RETURNING epoch) \
        INSERT INTO lease (singleton, epoch, backend_pid, renewed_at) \
        SELECT 1, epoch, pg_backend_pid(), clock_timestamp() FROM term \
        ON CONFLICT (singleton) DO UPDATE SET epoch = excluded.epoch, backend_pid = excluded.backend_pid, \
        renewed_at = excluded.renewed_at \
        RETURNING epoch, (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint";
    // A commit of the last leader holds the row of leadership FOR SHARE. If that process is frozen in the middle of
    // it, the transaction stays open: it gets a moment, then its session is ended. Nothing is lost, the commit had
    // not happened.
    const END_COMMITS: &str = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'relation' \
        AND relation = 'leadership'::regclass AND mode = 'RowShareLock' AND granted AND pid <> pg_backend_pid()";
    sqlx::query("SET lock_timeout = '200ms'").execute(&mut *connection).await.doing(DOING)?;
    let mut tries = 0;
    loop {
        let begun = sqlx::query_as::<_, (i64, i64)>(BEGIN)
            .bind(&candidate.name)
            .bind(&candidate.api_address)
            .bind(Utc::now().timestamp_micros())
            .bind(COUNTED_EPOCH_MAX)
            .fetch_one(&mut *connection)
            .await;
        tries += 1;
        match begun {
            Ok((epoch, started)) => return Ok((Epoch(epoch as u32), ServerStart(started))),
            Err(sqlx::Error::Database(refusal))
                if refusal.code().as_deref() == Some(LOCK_NOT_AVAILABLE) && tries < BEGIN_TRIES =>
            {
                sqlx::query(END_COMMITS).execute(&mut *connection).await.doing(DOING)?;
            }
            Err(error) => return Err(error).doing(DOING),
        }
    }
}

/// Renews until told to resign, or until it cannot. A leader that cannot renew in time gives up by itself.
async fn keep_term(mut connection: PgConnection, epoch: Epoch, held: &Held) {
    let epoch_column = i64::from(epoch.0);
    let mut tick = tokio::time::interval(RENEW);
    loop {
        tokio::select! {
            () = held.resign.cancelled() => break,
            _ = tick.tick() => {}
        }
        let renewal = sqlx::query("UPDATE lease SET renewed_at = clock_timestamp() WHERE epoch = $1")
            .bind(epoch_column)
            .execute(&mut connection);
        match tokio::time::timeout(LEASE, renewal).await {
            Ok(Ok(renewed)) if renewed.rows_affected() == 1 => continue,
            Ok(Ok(_)) => tracing::warn!(%epoch, "another coordinator leads"),
            Ok(Err(error)) => {
                tracing::warn!(%epoch, error = &error as &dyn std::error::Error, "lost the session that holds leadership");
            }
            Err(_) => tracing::warn!(%epoch, "the ledger does not answer: giving up leadership"),
        }
        held.lost.cancel();
        // Closing politely would wait for a server that does not answer.
        drop(connection.close_hard().await);
        return;
    }
    held.lost.cancel();
    let released = async {
        sqlx::query("DELETE FROM lease WHERE epoch = $1").bind(epoch_column).execute(&mut connection).await?;
        sqlx::query("SELECT pg_advisory_unlock($1)").bind(LOCK).execute(&mut connection).await?;
        connection.close().await
    };
    if let Ok(Err(error)) = tokio::time::timeout(LEASE, released).await {
        // The server releases the lock with the session.
        tracing::warn!(%epoch, error = &error as &dyn std::error::Error, "could not resign politely");
    }
}

/// Who leads, if its lease is fresh.
pub(super) async fn leader(connection: &mut PgConnection) -> Result<Option<LeaderInfo>, LedgerError> {
    let row = sqlx::query_as(
        "SELECT l.epoch, l.name, l.api_address, l.since_us FROM leadership l JOIN lease s ON s.epoch = l.epoch \
         WHERE s.renewed_at > clock_timestamp() - $1 * interval '1 second'",
    )
    .bind(LEASE.as_secs_f64())
    .fetch_optional(connection)
    .await
    .doing("reading who leads")?;
    Ok(row.map(LeaderInfo::from_columns))
}
