//! What only Postgres can get wrong: sessions that die, leaders that freeze, readers that linger.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use backstitch_coordinator::ledger::{
    Address, Batch, CommitError, FinalCounts, Ledger, RunChange, RunStatus, Term, connect, migrate,
};
use backstitch_proto::id::Epoch;
use backstitch_tests::postgres::Postgres;
use backstitch_tests::relay::Relay;
use sqlx::{Connection, PgConnection};
use tokio::time::timeout;

use crate::databases::PostgresDatabase;
use crate::fixtures::*;

/// A takeover takes 5 seconds at most; the rest is for a machine that is busy with other tests.
const TAKEOVER: Duration = Duration::from_secs(5 + 5);

/// A test that fails waits this long.
const LONG: Duration = Duration::from_secs(60);

async fn new_database() -> PostgresDatabase {
    let database = PostgresDatabase::create().await;
    migrate(&database.address()).await.expect("migrating");
    database
}

async fn ledger_on(database: &PostgresDatabase) -> Arc<dyn Ledger> {
    connect(&database.address()).await.expect("connecting")
}

/// A second coordinator that waits for its turn.
async fn standby(database: &PostgresDatabase) -> tokio::task::JoinHandle<(Arc<dyn Ledger>, Term)> {
    let ledger = ledger_on(database).await;
    let waits = tokio::spawn(async move {
        let term = ledger.lead(&candidate("standby")).await.expect("leading");
        (ledger, term)
    });
    until_in_line(database).await;
    waits
}

/// Somebody waits for their turn, as the server sees it.
async fn until_in_line(database: &PostgresDatabase) {
    let mut session = database.session().await;
    let in_line = "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted \
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))";
    timeout(TAKEOVER, async {
        while !sqlx::query_scalar::<_, bool>(in_line).fetch_one(&mut session).await.expect("looking") {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the standby stands in line");
}

async fn terminate(session: &mut PgConnection, which: &'static str) {
    sqlx::query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
        AND application_name LIKE $1 AND pid <> pg_backend_pid()",
    )
    .bind(which)
    .execute(session)
    .await
    .expect("ending sessions");
}

fn is_deposed(result: &Result<(), CommitError>) -> bool {
    matches!(result, Err(CommitError::Deposed { .. }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_leads_as_soon_as_the_session_of_the_leader_is_gone() {
    let database = new_database().await;
    let ledger = ledger_on(&database).await;
    let term = lead(&*ledger).await;
    let waits = standby(&database).await;
    terminate(&mut database.session().await, "backstitch leader coordinator-1").await;
    let (other, next) = timeout(TAKEOVER, waits).await.expect("in time").expect("leading");
    assert_eq!(next.epoch(), Epoch(term.epoch().0 + 1));
    timeout(TAKEOVER, term.lost().cancelled()).await.expect("the old leader notices");
    assert!(is_deposed(&ledger.commit(term.epoch(), &Batch::default()).await));
    other.commit(next.epoch(), &submission(&new_run(1))).await.expect("the new leader commits");
    // What is left of the old term takes nothing from the new one.
    term.resign().await;
    assert!(!next.lost().is_cancelled());
    assert_eq!(other.leader().await.expect("reading").expect("a leader").name, "standby");
    database.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_leads_as_soon_as_the_leader_resigns() {
    let database = new_database().await;
    let ledger = ledger_on(&database).await;
    let term = lead(&*ledger).await;
    let waits = standby(&database).await;
    term.resign().await;
    timeout(TAKEOVER, waits).await.expect("in time").expect("leading");
    database.remove().await;
}

/// A connection that says nothing for hours is forgotten by routers on its way, and neither end is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_that_the_network_forgot_in_line_finds_out_and_may_queue_again() {
    let database = new_database().await;
    let ledger = ledger_on(&database).await;
    let term = lead(&*ledger).await;
    let relay = Relay::to(database.port()).await.expect("a relay");
    let address = relay.url(&database.url(), database.port()).parse().expect("an address");
    let behind_relay = connect(&address).await.expect("connecting");
    let in_line = relay.accepted();
    let waits = tokio::spawn(async move { behind_relay.lead(&candidate("standby")).await });
    until_in_line(&database).await;
    relay.strand(in_line..in_line + 1);
    // Its turn comes, and it does not hear of it.
    term.resign().await;
    let lost = timeout(LONG, waits).await.expect("in time").expect("no panic").expect_err("no answer came");
    assert!(lost.is_transient(), "{lost:?}");
    timeout(TAKEOVER, lead(&*ledger)).await.expect("others lead meanwhile");
    database.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_leader_is_replaced_and_cannot_write_when_it_thaws() {
    let database = new_database().await;
    let url = database.url();
    let (tell, heard) = mpsc::channel();
    let (thaw, thawed) = mpsc::channel::<()>();
    // A runtime that nobody drives: its sessions stay open, and nothing in it moves.
    let frozen = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (ledger, term) = runtime.block_on(async {
            let ledger = connect(&url.parse().expect("an address")).await.expect("connecting");
            let term = lead(&*ledger).await;
            (ledger, term)
        });
        tell.send(term.epoch()).expect("the test listens");
        thawed.recv().expect("the test goes on");
        runtime.block_on(async {
            let deposed = is_deposed(&ledger.commit(term.epoch(), &Batch::default()).await);
            timeout(TAKEOVER, term.lost().cancelled()).await.expect("it notices");
            deposed
        })
    });
    let epoch = heard.recv().expect("a leader");
    let waits = standby(&database).await;
    let (_other, next) = timeout(TAKEOVER, waits).await.expect("in time").expect("leading");
    assert_eq!(next.epoch(), Epoch(epoch.0 + 1));
    thaw.send(()).expect("it is there");
    assert!(tokio::task::spawn_blocking(|| frozen.join()).await.expect("joining").expect("no panic"));
    assert!(!next.lost().is_cancelled());
    database.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_froze_in_the_middle_of_a_commit_does_not_hold_up_the_next() {
    let database = new_database().await;
    let ledger = ledger_on(&database).await;
    let first = lead(&*ledger).await;
    let mut commit = database.session().await;
    let mut transaction = commit.begin().await.expect("beginning");
    sqlx::query("SELECT 1 FROM leadership FOR SHARE").execute(&mut *transaction).await.expect("the fence");
    first.resign().await;
    let next = timeout(TAKEOVER, lead(&*ledger)).await.expect("in time");
    assert!(transaction.commit().await.is_err(), "its session was ended");
    ledger.commit(next.epoch(), &submission(&new_run(1))).await.expect("committing");
    database.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_go_on_after_the_server_ended_their_sessions() {
    let database = new_database().await;
    let ledger = ledger_on(&database).await;
    let term = lead(&*ledger).await;
    let mut session = database.session().await;
    for _ in 0..3 {
        let run = new_run(1);
        terminate(&mut session, "backstitch writer").await;
        terminate(&mut session, "backstitch reader").await;
        let batch = submission(&run);
        let committed = async {
            while let Err(error) = ledger.commit(term.epoch(), &batch).await {
                assert!(matches!(error, CommitError::Transient(_)), "{error:?}");
            }
        };
        timeout(TAKEOVER, committed).await.expect("in time");
        assert!(ledger.run(run.id).await.expect("reading").is_some());
    }
    database.remove().await;
}

/// It may be a standby that lacks the last commits: its ledger knows this term and no later one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_term_commits_nothing_on_a_server_that_was_started_since() {
    let mut server = Postgres::start().await.expect("a server");
    let address: Address = server.url().parse().expect("an address");
    migrate(&address).await.expect("migrating");
    let ledger = connect(&address).await.expect("connecting");
    let term = lead(&*ledger).await;
    let run = new_run(2);
    ledger.commit(term.epoch(), &submission(&run)).await.expect("committing");
    server.kill().await.expect("killing");
    server.restart().await.expect("restarting");
    let batch = batch_of(vec![succeeded(&run, 0, 1)]);
    let refused = async {
        loop {
            match ledger.commit(term.epoch(), &batch).await {
                Err(CommitError::Transient(_)) => {}
                done => return done,
            }
        }
    };
    let refused = timeout(LONG, refused).await.expect("in time");
    assert!(matches!(refused, Err(CommitError::Deposed { .. })), "{refused:?}");
    let next = lead(&*ledger).await;
    ledger.commit(next.epoch(), &batch).await.expect("committing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_lingers_in_its_transaction_neither_blocks_nor_slows_commits() {
    let database = new_database().await;
    let ledger = ledger_on(&database).await;
    let term = lead(&*ledger).await;
    let run = run_of(run_id_at(1_704_067_200), &["daily_temp"], 1_000);
    ledger.commit(term.epoch(), &submission(&run)).await.expect("committing");
    let mut lingering = database.session().await;
    let mut transaction = lingering.begin().await.expect("beginning");
    for table in [
        "SELECT count(*) FROM attempts",
        "SELECT count(*) FROM asset_partitions",
        "SELECT epoch FROM leadership",
    ] {
        sqlx::query(table).execute(&mut *transaction).await.expect("reading");
    }
    let mut session = database.session().await;
    let place = "SELECT ctid::text FROM leadership";
    let before: String = sqlx::query_scalar(place).fetch_one(&mut session).await.expect("reading");
    for ordinal in 0..100 {
        ledger.commit(term.epoch(), &batch_of(vec![succeeded(&run, ordinal, 1)])).await.expect("committing");
    }
    let after: String = sqlx::query_scalar(place).fetch_one(&mut session).await.expect("reading");
    assert_eq!(after, before, "commits write no new version of the row that all of them check");
    // A new month needs a new partition.
    let later = run_of(run_id_at(1_717_200_000), &["daily_temp"], 4);
    let mut batch = submission(&later);
    batch.attempts = vec![succeeded(&later, 0, 1)];
    timeout(TAKEOVER, ledger.commit(term.epoch(), &batch)).await.expect("in time").expect("committing");
    transaction.rollback().await.expect("ending");
    database.remove().await;
}

/// A run of one task, submitted in the month that begins at `unix_seconds`, from submission to end.
fn ended_run(unix_seconds: u64) -> Batch {
    let run = run_of(run_id_at(unix_seconds), &["daily_temp"], 1);
    let counts = vec![FinalCounts { succeeded: 1, ..FinalCounts::default() }];
    let finished = RunChange::Finished { status: RunStatus::Succeeded, at_us: 1, counts };
    let attempts = vec![succeeded(&run, 0, 1)];
    Batch { changes: vec![(run.id, finished)], attempts, ..submission(&run) }
}

async fn months(session: &mut PgConnection) -> Vec<String> {
    let tables =
        "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relname LIKE 'attempts%' ORDER BY 1";
    sqlx::query_scalar(tables).fetch_all(session).await.expect("reading")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_that_a_reader_cuts_short_holds_up_no_commit_and_is_made_good() {
    const APRIL: u64 = 1_711_929_600;
    let database = new_database().await;
    let ledger = ledger_on(&database).await;
    let term = lead(&*ledger).await;
    // January, February, March; and December, which a purge has detached and never dropped.
    for month in [1_704_067_200, 1_706_745_600, 1_709_251_200, APRIL] {
        ledger.commit(term.epoch(), &ended_run(month)).await.expect("committing");
    }
    let mut session = database.session().await;
    sqlx::query("CREATE TABLE attempts_2023_12 (LIKE attempts)").execute(&mut session).await.expect("a rest");

    let mut lingering = database.session().await;
    let mut reader = lingering.begin().await.expect("beginning");
    sqlx::query("SELECT count(*) FROM attempts").execute(&mut *reader).await.expect("reading");
    let purging = Arc::clone(&ledger);
    let purge = tokio::spawn(async move { purging.purge_history(APRIL as i64 * 1_000_000).await });
    let detaching = "SELECT EXISTS (SELECT 1 FROM pg_inherits WHERE inhdetachpending)";
    while !sqlx::query_scalar::<_, bool>(detaching).fetch_one(&mut session).await.expect("looking") {
        tokio::task::yield_now().await;
    }
    for _ in 0..10 {
        let batch = ended_run(APRIL);
        timeout(TAKEOVER, ledger.commit(term.epoch(), &batch)).await.expect("in time").expect("committing");
    }
    purge.await.expect("joining").expect_err("somebody reads what was to go");
    assert_eq!(months(&mut session).await.len(), 4, "three months and the one that stays");

    reader.rollback().await.expect("ending");
    assert_eq!(ledger.purge_history(APRIL as i64 * 1_000_000).await.expect("purging"), 3);
    assert_eq!(months(&mut session).await, ["attempts_2024_04"]);
    database.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_views_for_people_read_whatever_was_stored() {
    let database = new_database().await;
    let ledger = ledger_on(&database).await;
    let term = lead(&*ledger).await;
    let run = new_run(4);
    let mut batch = submission(&run);
    let mut nul = succeeded(&run, 1, 1);
    nul.metadata_json = Some("{\"row_count\":\"\\u0000\"}".to_owned());
    batch.attempts = vec![succeeded(&run, 0, 1), nul, failed(&run, 2, 1, true), lost(&run, 3, 1, true)];
    ledger.commit(term.epoch(), &batch).await.expect("committing");
    let mut session = database.session().await;
    let read =
        "SELECT partition, metadata->>'row_count', materialized_at::text FROM materializations ORDER BY 1";
    let rows: Vec<(String, String, String)> =
        sqlx::query_as(read).fetch_all(&mut session).await.expect("reading");
    assert_eq!((rows[0].0.as_str(), rows[0].1.as_str(), rows[1].1.as_str()), ("p0000000", "0", "\u{fffd}"));
    assert!(rows[0].2.starts_with("2023-11-1"), "{}", rows[0].2);
    let read = "SELECT count(*) FROM attempt_history WHERE asset = 'daily_temp' AND finished_at > started_at";
    assert_eq!(sqlx::query_scalar::<_, i64>(read).fetch_one(&mut session).await.expect("reading"), 4);
    database.remove().await;
}
