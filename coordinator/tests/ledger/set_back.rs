//! A ledger that is not what this process left: set back to a backup, or damaged.

use std::sync::Arc;

use backstitch_coordinator::ledger::{Ledger, connect, migrate};
use sqlx::{Connection, SqliteConnection};

use crate::databases::{PostgresDatabase, sqlite_address};
use crate::fixtures::*;

/// Runs `property` on both databases, with a way to change rows behind the ledger's back.
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
                    sqlx::query(sql).execute(&mut session).await.expect("changing rows");
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
                    sqlx::query(sql).execute(&mut session).await.expect("changing rows");
                })
                .await;
                database.remove().await;
            })+
        }
    };
}

on_both!(definitions_are_sent_once_a_term,);

async fn definitions_are_sent_once_a_term(
    ledger: Arc<dyn Ledger>,
    mut change: impl AsyncFnMut(&'static str),
) {
    let term = lead(&*ledger).await;
    ledger.commit(term.epoch(), &submission(&new_run(1))).await.expect("committing");
    change("DELETE FROM definitions").await;
    ledger.commit(term.epoch(), &submission(&new_run(1))).await.expect("committing");
    // Nothing but the test deletes them: a row that stays away is one that was not sent again.
    assert_eq!(ledger.definitions(FINGERPRINT).await.expect("reading"), None);
}
