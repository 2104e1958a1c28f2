//! What a slow or silent line to Postgres must not do.

use std::sync::Arc;
use std::time::Duration;

use backstitch_coordinator::ledger::{FinalCounts, Ledger, RunStatus, connect, migrate};
use backstitch_tests::relay::Relay;

use crate::databases::PostgresDatabase;
use crate::fixtures::*;

/// A ledger behind a relay.
async fn behind_relay(database: &PostgresDatabase) -> (Relay, Arc<dyn Ledger>) {
    let relay = Relay::to(database.port()).await.expect("a relay");
    let address = relay.url(&database.url(), database.port()).parse().expect("an address");
    (relay, connect(&address).await.expect("connecting"))
}

async fn new_database() -> PostgresDatabase {
    let database = PostgresDatabase::create().await;
    migrate(&database.address()).await.expect("migrating");
    database
}

/// A statement for each of ten thousand assets would take minutes, and a commit may take 45 seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_of_ten_thousand_assets_is_committed_over_a_slow_line() {
    let database = new_database().await;
    let (relay, ledger) = behind_relay(&database).await;
    let term = lead(&*ledger).await;
    let run = wide_run();
    let counts = vec![FinalCounts { succeeded: 1, ..FinalCounts::default() }; run.assets.len()];
    relay.delay(Duration::from_millis(2));
    for batch in [submission(&run), first_of_each(&run), end_of(&run, RunStatus::Cancelled, counts)] {
        ledger.commit(term.epoch(), &batch).await.expect("committing");
    }
    relay.restore();
    assert!(ledger.run(run.id).await.expect("reading").expect("the run").counts.is_some());
    database.remove().await;
}
