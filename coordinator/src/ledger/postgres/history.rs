//! History by months: made ahead of its rows, removed whole.
//!
//! A month of attempts is a partition of `attempts`. It is made in the transaction that accepts the first run of the
//! month, so a row always finds its partition and no default one is needed, whose rows would be in the way later.
//! Making and removing take no lock that a reader could be in the way of: a table is made on its own and attached, is
//! detached concurrently and dropped on its own. `CREATE ... PARTITION OF` and `DROP` of an attached partition would
//! wait for every transaction that ever read `attempts`, and everything would wait for them.

use backstitch_proto::id::RunId;
use sqlx::{AssertSqlSafe, PgConnection};

use crate::ledger::LedgerError;
use crate::ledger::error::Doing;
use crate::ledger::month::Month;
use crate::ledger::sql::postgres as sql;

/// Makes the partition for the month of `run`, unless there is one.
pub(super) async fn ensure_month(connection: &mut PgConnection, run: RunId) -> Result<(), LedgerError> {
    const DOING: &str = "making room for a month of history";
    let month = Month::of(run);
    let table = month.table();
    let attached: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid \
         WHERE i.inhparent = 'attempts'::regclass AND c.relname = $1 AND NOT i.inhdetachpending)",
    )
    .bind(&table)
    .fetch_one(&mut *connection)
    .await
    .doing(DOING)?;
    if attached {
        return Ok(());
    }
    // The names are made here from numbers. A table that is there but not attached is the rest of a purge.
    let (first, end) = (month.first_id(), month.next().first_id());
    let statements = [
        format!("DROP TABLE IF EXISTS {table}"),
        format!("CREATE TABLE {table} (LIKE attempts INCLUDING ALL)"),
        format!("ALTER TABLE attempts ATTACH PARTITION {table} FOR VALUES FROM ('{first}') TO ('{end}')"),
    ];
    for statement in statements {
        sqlx::query(AssertSqlSafe(statement)).execute(&mut *connection).await.doing(DOING)?;
    }
    Ok(())
}

/// Removes the months that ended before this time and in which no live run was submitted. One that cannot be removed
/// now, because somebody reads it, keeps none of the others.
pub(super) async fn purge(connection: &mut PgConnection, before_us: i64) -> Result<u32, LedgerError> {
    const DOING: &str = "removing old history";
    let keep_from = sql::first_month_to_keep(connection, before_us).await?;
    // Those that are not attached are the rest of a purge that was cut short. What is half detached comes first: nothing
    // else can be detached before.
    let tables: Vec<(String, Option<bool>)> = sqlx::query_as(
        "SELECT c.relname::text, i.inhdetachpending FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid \
         WHERE c.relkind = 'r' AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'attempts'::regclass) \
         AND (i.inhparent = 'attempts'::regclass OR i.inhparent IS NULL AND c.relname LIKE 'attempts%') \
         ORDER BY i.inhdetachpending DESC NULLS LAST, c.relname",
    )
    .fetch_all(&mut *connection)
    .await
    .doing(DOING)?;
    let (mut removed, mut failed) = (0, None);
    for (table, detach_pending) in tables {
        if Month::of_table(&table).is_none_or(|month| month >= keep_from) {
            continue;
        }
        match remove(connection, &table, detach_pending).await.doing(DOING) {
            Ok(()) => removed += 1,
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(removed), Err)
}

/// `detach_pending`: a purge that was cut short has left the partition half detached; `None` if it is detached.
async fn remove(
    connection: &mut PgConnection,
    table: &str,
    detach_pending: Option<bool>,
) -> sqlx::Result<()> {
    if let Some(detach_pending) = detach_pending {
        let how = if detach_pending { "FINALIZE" } else { "CONCURRENTLY" };
        let detach = format!("ALTER TABLE attempts DETACH PARTITION {table} {how}");
        sqlx::query(AssertSqlSafe(detach)).execute(&mut *connection).await?;
    }
    sqlx::query(AssertSqlSafe(format!("DROP TABLE {table}"))).execute(connection).await?;
    Ok(())
}
