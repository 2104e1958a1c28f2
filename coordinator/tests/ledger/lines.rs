//! What a slow or silent line to Postgres must not do.

use std::sync::Arc;
use std::time::Duration;

use backstitch_coordinator::ledger::{Batch, FinalCounts, Ledger, RunStatus, connect, migrate};
use backstitch_proto::message::Output;
use backstitch_tests::relay::{Relay, Side};
use sqlx::PgConnection;
use tokio::time::timeout;

use crate::databases::PostgresDatabase;
use crate::fixtures::*;

/// A test that fails waits this long.
const LONG: Duration = Duration::from_secs(60);

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

/// Waits until so many sessions have answered a statement with `words` and heard nothing since.
async fn until_answered(session: &mut PgConnection, words: &'static str, sessions: i64) {
    let answered = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
        AND pid <> pg_backend_pid() AND state LIKE 'idle%' AND query LIKE '%' || $1 || '%'";
    let waits = async {
        while sqlx::query_scalar::<_, i64>(answered)
            .bind(words)
            .fetch_one(&mut *session)
            .await
            .expect("looking")
            < sessions
        {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, waits).await.expect("the server has answered");
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

/// The pool has two connections to commit with. One that was given up must not take its place with it, whether its
/// answer did not come or what was to be sent fills every buffer on the way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_that_were_given_up_on_a_silent_line_leave_room_for_the_next() {
    const WORDS: &str = "open sesame";
    let database = new_database().await;
    let mut session = database.session().await;
    let term = lead(&*connect(&database.address()).await.expect("connecting")).await;
    let (relay, ledger) = behind_relay(&database).await;
    let run = new_run(3);
    ledger.commit(term.epoch(), &submission(&run)).await.expect("committing");

    let mut endless = succeeded(&run, 0, 1);
    endless.output = Some(Output { text: WORDS.to_owned() + &"x".repeat(64 << 20), omitted_bytes: 0 });
    relay.half_open_from(Side::Program, WORDS);
    give_up(&ledger, term.epoch(), batch_of(vec![endless]), async || {
        // It is prepared; its rows do not pass.
        until_answered(&mut session, "INSERT INTO attempts", 1).await;
    })
    .await;
    relay.strand(0..relay.accepted());

    relay.half_open_from(Side::Server, "FOR SHARE");
    give_up(&ledger, term.epoch(), batch_of(vec![succeeded(&run, 1, 1)]), async || {
        until_answered(&mut session, "FOR SHARE", 1).await;
    })
    .await;
    relay.strand(0..relay.accepted());

    let batch = batch_of(vec![succeeded(&run, 2, 1)]);
    timeout(LONG, ledger.commit(term.epoch(), &batch)).await.expect("in time").expect("committing");
    database.remove().await;
}

/// Begins a commit, and ends it as the end of a term does when it has come so far.
async fn give_up(
    ledger: &Arc<dyn Ledger>,
    epoch: backstitch_proto::id::Epoch,
    batch: Batch,
    so_far: impl AsyncFnOnce(),
) {
    let ledger = Arc::clone(ledger);
    let commit = tokio::spawn(async move { ledger.commit(epoch, &batch).await });
    so_far().await;
    commit.abort();
    assert!(commit.await.is_err_and(|ended| ended.is_cancelled()));
}
