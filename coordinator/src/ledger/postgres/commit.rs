//! A commit in Postgres: one statement per kind of row, whatever the number of rows.

use backstitch_proto::id::{DispatchId, Epoch};
use sqlx::{Connection, PgConnection};

use super::leadership::{ServerStart, fence};
use super::{history, rows};
use crate::ledger::assets::AssetIds;
use crate::ledger::committed::Committed;
use crate::ledger::effects::effects;
use crate::ledger::error::Doing;
use crate::ledger::progress::segments;
use crate::ledger::sql::postgres as sql;
use crate::ledger::{Batch, CommitError};

pub(super) async fn commit(
    connection: &mut PgConnection,
    committed: &mut Committed,
    epoch: Epoch,
    server: Option<ServerStart>,
    batch: &Batch,
) -> Result<(), CommitError> {
    const DOING: &str = "committing a batch";
    let mut transaction = connection.begin().await.doing(DOING)?;
    fence(&mut transaction, epoch, server).await?;
    let mut asset_ids = AssetIds::new(&committed.asset_ids);
    sql::resolve_assets(&mut transaction, &mut asset_ids, batch).await?;
    sql::insert_definitions(&mut transaction, &batch.definitions, &committed.definitions).await?;
    for run in &batch.runs {
        history::ensure_month(&mut transaction, run.id).await?;
        sql::insert_run(&mut transaction, run, &asset_ids).await?;
    }
    rows::insert_dispatches(&mut transaction, &batch.dispatches).await?;
    rows::insert_attempts(&mut transaction, &batch.attempts, &asset_ids).await?;
    let effects = effects(&batch.attempts);
    rows::upsert_materializations(&mut transaction, &effects.succeeded, &asset_ids).await?;
    rows::upsert_failures(&mut transaction, &effects.failed, &asset_ids).await?;
    let (number, segments) = (committed.folding.number(epoch), segments(&batch.attempts));
    sql::insert_progress(&mut transaction, number, &segments).await?;
    let folds = committed.folding.due(number, &segments);
    for fold in &folds {
        sql::fold_progress(&mut transaction, number, fold).await?;
    }
    rows::delete_dispatches(&mut transaction, &batch.closed).await?;
    for (run, change) in &batch.changes {
        sql::change_run(&mut transaction, *run, change).await?;
    }
    // The engine says it seldom: a version of this only row per commit would slow every later commit down while some
    // reader keeps old versions alive.
    if batch.confirmed_through > DispatchId::default() {
        sqlx::query("UPDATE confirmations SET through = $1 WHERE through < $1")
            .bind(batch.confirmed_through.0 as i64)
            .execute(&mut *transaction)
            .await
            .doing(DOING)?;
    }
    transaction.commit().await.doing(DOING)?;
    let new_ids = asset_ids.into_new();
    committed.learn(batch, new_ids, number, &segments, &folds);
    Ok(())
}
