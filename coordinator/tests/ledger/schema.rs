//! Migrations, and opening ledgers that are not as they should be.

use backstitch_coordinator::ledger::{Address, connect, migrate, pending_migrations};
use sqlx::{Connection, SqliteConnection};

use crate::databases::{PostgresDatabase, sqlite_address};
use crate::fixtures::{candidate, lead};

async fn a_dry_run_shows_the_statements_and_changes_nothing(address: &Address) {
    let pending = pending_migrations(address).await.expect("a dry run");
    assert!(pending[0].sql.contains("CREATE TABLE attempts"), "{pending:?}");
    assert_eq!((pending[0].version, pending[0].description.as_str()), (1, "ledger"));
    assert_eq!(pending_migrations(address).await.expect("a dry run"), pending);
    let refused = connect(address).await.err().expect("a ledger without schema").to_string();
    assert!(refused.contains("run `backstitch migrate`"), "{refused}");
    assert_eq!(migrate(address).await.expect("migrating"), pending);
    assert_eq!(pending_migrations(address).await.expect("a dry run"), []);
    assert_eq!(migrate(address).await.expect("migrating again"), []);
    connect(address).await.expect("connecting");
}

#[tokio::test]
async fn a_dry_run_on_sqlite_shows_the_statements_and_changes_nothing() {
    let (folder, address) = sqlite_address();
    pending_migrations(&address).await.expect("a dry run");
    assert!(std::fs::read_dir(folder.path()).expect("the folder").next().is_none(), "it made a file");
    a_dry_run_shows_the_statements_and_changes_nothing(&address).await;
}

#[tokio::test]
async fn a_dry_run_on_postgres_shows_the_statements_and_changes_nothing() {
    let database = PostgresDatabase::create().await;
    a_dry_run_shows_the_statements_and_changes_nothing(&database.address()).await;
    database.remove().await;
}

#[tokio::test]
async fn two_coordinators_that_migrate_at_once_take_turns() {
    let database = PostgresDatabase::create().await;
    let address = database.address();
    let (one, other) = tokio::join!(migrate(&address), migrate(&address));
    one.expect("migrating");
    other.expect("migrating beside it");
    connect(&address).await.expect("connecting");
    database.remove().await;
}

/// What a later version of the program would leave.
const FROM_THE_FUTURE: &str = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
    VALUES (9999, 'from the future', TRUE, $1, 1)";

#[tokio::test]
async fn a_schema_that_is_newer_than_the_program_is_refused() {
    let database = PostgresDatabase::create().await;
    let (folder, file) = sqlite_address();
    for address in [database.address(), file] {
        migrate(&address).await.expect("migrating");
    }
    let mut session = database.session().await;
    sqlx::query(FROM_THE_FUTURE).bind(vec![1_u8]).execute(&mut session).await.expect("changing the schema");
    let path = folder.path().join("state/ledger.db");
    let mut session =
        SqliteConnection::connect(&format!("sqlite:{}", path.display())).await.expect("opening");
    sqlx::query(FROM_THE_FUTURE).bind(vec![1_u8]).execute(&mut session).await.expect("changing the schema");
    for address in [database.address(), Address::sqlite(path)] {
        for refused in [connect(&address).await.err(), migrate(&address).await.err()] {
            let refused = refused.expect("a newer schema").to_string();
            assert!(
                refused.contains(&address.to_string()) && refused.contains("migration 9999"),
                "{refused}"
            );
        }
    }
    database.remove().await;
}

#[tokio::test]
async fn a_second_process_on_the_same_file_is_told_who_is_in_the_way() {
    let (_folder, address) = sqlite_address();
    migrate(&address).await.expect("migrating");
    let (one, other) =
        (connect(&address).await.expect("connecting"), connect(&address).await.expect("connecting"));
    let term = lead(&*one).await;
    let refused = other.lead(&candidate("two")).await.expect_err("the file is locked").to_string();
    assert!(refused.contains("ledger.db is in use") && refused.contains("stop that process"), "{refused}");
    // Reading is allowed to everybody.
    assert_eq!(other.leader().await.expect("reading").expect("a leader").epoch, term.epoch());
    term.resign().await;
    lead(&*other).await;
}
