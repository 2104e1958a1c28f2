//! A ledger that is not what this process left: set back to a backup, or damaged.

use std::sync::Arc;

use backstitch_coordinator::ledger::{Ledger, LedgerError, RunFilter, connect, migrate};
use backstitch_proto::partition::PartitionSubset;
use sqlx::{Connection, SqliteConnection};

use crate::databases::{PostgresDatabase, sqlite_address};
use crate::fixtures::*;

/// Runs `property` on both databases, with a way to change rows behind the ledger's back, which tells how many.
macro_rules! on_both {
    ($($property:ident),+ $(,)?) => {
        mod sqlite {
            use super::*;
            $(#[tokio::test]
            async fn $property() {
                let (folder, address) = sqlite_address();
                migrate(&address).await.expect("migrating");
                let path = format!("sqlite:{}", folder.path().join("state/ledger.db").display());
                let mut session = SqliteConnection::connect(&path).await.expect("opening");
                super::$property(connect(&address).await.expect("connecting"), async |sql| {
                    sqlx::query(sql).execute(&mut session).await.expect("changing rows").rows_affected()
                })
                .await;
            })+
        }
        mod postgres {
            use super::*;
            $(#[tokio::test]
            async fn $property() {
                let database = PostgresDatabase::create().await;
                migrate(&database.address()).await.expect("migrating");
                let mut session = database.session().await;
                super::$property(connect(&database.address()).await.expect("connecting"), async |sql| {
                    sqlx::query(sql).execute(&mut session).await.expect("changing rows").rows_affected()
                })
                .await;
                database.remove().await;
            })+
        }
    };
}

on_both!(
    definitions_are_sent_once_a_term,
    a_term_on_a_ledger_that_was_set_back_writes_again_what_is_gone,
    a_run_that_has_lost_an_asset_is_unreadable_and_no_other_run,
    progress_is_folded_with_what_others_have_left_and_then_from_the_last_fold_on,
);

async fn definitions_are_sent_once_a_term(
    ledger: Arc<dyn Ledger>,
    mut change: impl AsyncFnMut(&'static str) -> u64,
) {
    let term = lead(&*ledger).await;
    ledger.commit(term.epoch(), &submission(&new_run(1))).await.expect("committing");
    change("DELETE FROM definitions").await;
    ledger.commit(term.epoch(), &submission(&new_run(1))).await.expect("committing");
    // Nothing but the test deletes them: a row that stays away is one that was not sent again.
    assert_eq!(ledger.definitions(FINGERPRINT).await.expect("reading"), None);
}

async fn a_term_on_a_ledger_that_was_set_back_writes_again_what_is_gone(
    ledger: Arc<dyn Ledger>,
    mut change: impl AsyncFnMut(&'static str) -> u64,
) {
    let first = lead(&*ledger).await;
    let names = ["hourly_temp", "daily_temp"];
    ledger.commit(first.epoch(), &submission(&run_of(new_run(1).id, &names, 4))).await.expect("committing");
    first.resign().await;
    for table in
        ["DELETE FROM runs", "DELETE FROM run_assets", "DELETE FROM assets", "DELETE FROM definitions"]
    {
        change(table).await;
    }
    let next = lead(&*ledger).await;
    let run = run_of(new_run(1).id, &names, 4);
    ledger.commit(next.epoch(), &submission(&run)).await.expect("committing");
    assert_eq!(ledger.load_live().await.expect("loading").runs[0].record, run);
    assert!(ledger.definitions(FINGERPRINT).await.expect("reading").is_some());
}

async fn a_run_that_has_lost_an_asset_is_unreadable_and_no_other_run(
    ledger: Arc<dyn Ledger>,
    mut change: impl AsyncFnMut(&'static str) -> u64,
) {
    let term = lead(&*ledger).await;
    let run = run_of(new_run(1).id, &["hourly_temp", "daily_temp", "monthly_avg"], 4);
    ledger.commit(term.epoch(), &submission(&run)).await.expect("committing");
    // Its name first, its row second: either way the assets behind it would move up by one.
    for loss in [
        "DELETE FROM assets WHERE name = 'daily_temp'",
        "DELETE FROM run_assets WHERE position = 1",
        "DELETE FROM run_assets",
    ] {
        change(loss).await;
        let filter = RunFilter { limit: 9, ..RunFilter::default() };
        for read in [
            ledger.load_live().await.map(drop),
            ledger.run(run.id).await.map(drop),
            ledger.runs(&filter).await.map(drop),
        ] {
            assert!(matches!(read, Err(LedgerError::Unreadable { .. })), "{loss}: {read:?}");
        }
        if loss.ends_with("position = 1") {
            let shifted = ledger.succeeded(run.id).await;
            assert!(matches!(shifted, Err(LedgerError::Unreadable { .. })), "{shifted:?}");
        }
    }
}

async fn progress_is_folded_with_what_others_have_left_and_then_from_the_last_fold_on(
    ledger: Arc<dyn Ledger>,
    mut change: impl AsyncFnMut(&'static str) -> u64,
) {
    // Commits of an asset until the next one folds them.
    const FOLD_AFTER: u32 = 512;
    const COUNT: &str = "UPDATE progress SET segment = segment";
    let run = new_run(4 * FOLD_AFTER);
    let mut ended = 0..;
    let mut commit = async |epoch, times: u32| {
        for ordinal in ended.by_ref().take(times as usize) {
            ledger.commit(epoch, &batch_of(vec![succeeded(&run, ordinal, 1)])).await.expect("committing");
        }
    };
    let first = lead(&*ledger).await;
    ledger.commit(first.epoch(), &submission(&run)).await.expect("committing");
    commit(first.epoch(), 3).await;
    first.resign().await;
    // As releases before this one named them, at both ends.
    change("UPDATE progress SET segment = -5 WHERE segment = (SELECT min(segment) FROM progress)").await;
    change("UPDATE progress SET segment = 9000000000000000000 WHERE segment = (SELECT max(segment) FROM progress)").await;

    let term = lead(&*ledger).await;
    commit(term.epoch(), FOLD_AFTER).await;
    assert_eq!(change(COUNT).await, u64::from(3 + FOLD_AFTER));
    for _ in 0..2 {
        commit(term.epoch(), 1).await;
        assert_eq!(change(COUNT).await, 1, "those of the first term too");
        commit(term.epoch(), FOLD_AFTER - 1).await;
        assert_eq!(change(COUNT).await, u64::from(FOLD_AFTER));
    }
    let live = ledger.load_live().await.expect("loading");
    assert_eq!(live.runs[0].assets[0].succeeded, PartitionSubset::from_range(0..3 + 3 * FOLD_AFTER));
}
