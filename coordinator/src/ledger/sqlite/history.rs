//! History by months in one table: a month is a range of the primary key.

use backstitch_proto::id::RunId;
use sqlx::SqliteConnection;
use uuid::Uuid;

use crate::ledger::LedgerError;
use crate::ledger::error::Doing;
use crate::ledger::month::Month;
use crate::ledger::sql::sqlite as sql;

/// Removes the months that ended before this time and in which no live run was submitted.
pub(super) async fn purge(connection: &mut SqliteConnection, before_us: i64) -> Result<u32, LedgerError> {
    const DOING: &str = "removing old history";
    let keep_from = sql::first_month_to_keep(connection, before_us).await?;
    let mut removed = 0;
    loop {
        let oldest: Option<Uuid> = sqlx::query_scalar("SELECT run_id FROM attempts ORDER BY run_id LIMIT 1")
            .fetch_optional(&mut *connection)
            .await
            .doing(DOING)?;
        let Some(month) = oldest.map(|run| Month::of(RunId(run))).filter(|month| *month < keep_from) else {
            return Ok(removed);
        };
        sqlx::query("DELETE FROM attempts WHERE run_id < $1")
            .bind(month.next().first_id())
            .execute(&mut *connection)
            .await
            .doing(DOING)?;
        removed += 1;
    }
}
