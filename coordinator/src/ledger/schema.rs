//! The schema of a ledger: which migrations it has, which it lacks, and opening one that is current.
//!
//! Migrations are files in `migrations/`, embedded in the program. Opening never migrates by itself: in production
//! that is a step of its own, which may be looked at first.

use std::path::Path;
use std::sync::Arc;

use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection, SqliteConnection};

use super::address::Place;
use super::error::Doing;
use super::postgres::{self, PostgresLedger};
use super::sqlite::{self, SqliteLedger};
use super::{Address, Ledger, LedgerError};

static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");
static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");

/// A migration that was not applied yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingMigration {
    /// Its number.
    pub version: i64,
    /// Its name.
    pub description: String,
    /// Its statements.
    pub sql: String,
}

/// Opens a ledger whose schema is current.
///
/// # Errors
/// When the schema is behind or ahead of this program, or the database does not answer or cannot be opened.
pub async fn connect(address: &Address) -> Result<Arc<dyn Ledger>, LedgerError> {
    let pending = pending_migrations(address).await?;
    if let Some(first) = pending.first() {
        let problem = format!(
            "its schema is behind this program ({} pending from {:04}): run `backstitch migrate`",
            match pending.len() {
                1 => "1 migration is".to_owned(),
                many => format!("{many} migrations are"),
            },
            first.version
        );
        return Err(LedgerError::Schema { address: address.to_string(), problem });
    }
    Ok(match &address.0 {
        Place::Postgres(options) => Arc::new(PostgresLedger::open(options.as_ref().clone()).await?),
        Place::Sqlite(path) => Arc::new(SqliteLedger::open(path).await?),
    })
}

/// Applies what is missing. A file that does not exist is made, its folder too. Returns what was applied.
///
/// Safe to run from several processes at once: they take turns.
///
/// # Errors
/// When the schema is ahead of this program, or the database does not answer, cannot be opened, or refuses a statement.
pub async fn migrate(address: &Address) -> Result<Vec<PendingMigration>, LedgerError> {
    let pending = pending_migrations(address).await?;
    if pending.is_empty() {
        return Ok(pending);
    }
    let failed = |source| LedgerError::Migrate { address: address.to_string(), source };
    match &address.0 {
        Place::Postgres(options) => {
            let mut connection = connect_postgres(options).await?;
            POSTGRES.run(&mut connection).await.map_err(failed)?;
        }
        Place::Sqlite(path) => {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder).map_err(|error| failed(sqlx::Error::Io(error).into()))?;
            }
            let mut connection = connect_sqlite(path).await?;
            SQLITE.run(&mut connection).await.map_err(failed)?;
        }
    }
    Ok(pending)
}

/// What [`migrate`] would apply, in order. Changes nothing.
///
/// # Errors
/// When the schema is ahead of this program, or the database does not answer or cannot be opened.
pub async fn pending_migrations(address: &Address) -> Result<Vec<PendingMigration>, LedgerError> {
    const DOING: &str = "reading which migrations a ledger has";
    const APPLIED: &str = "SELECT version, checksum FROM _sqlx_migrations WHERE success ORDER BY version";
    type Applied = Vec<(i64, Vec<u8>)>;
    let (applied, known): (Applied, &Migrator) = match &address.0 {
        Place::Postgres(options) => {
            let mut connection = connect_postgres(options).await?;
            let applied = async {
                let any = "SELECT to_regclass('_sqlx_migrations') IS NOT NULL";
                let applied = match sqlx::query_scalar(any).fetch_one(&mut connection).await.doing(DOING)? {
                    true => sqlx::query_as(APPLIED).fetch_all(&mut connection).await.doing(DOING)?,
                    false => Applied::new(),
                };
                drop(connection.close().await);
                Ok::<_, LedgerError>(applied)
            };
            (postgres::in_time(postgres::ANSWER_TIMEOUT, DOING, applied).await?, &POSTGRES)
        }
        Place::Sqlite(path) if !path.exists() => (Applied::new(), &SQLITE),
        Place::Sqlite(path) => {
            let mut connection = connect_sqlite(path).await?;
            let any = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = '_sqlx_migrations')";
            let applied = match sqlx::query_scalar(any).fetch_one(&mut connection).await.doing(DOING)? {
                true => sqlx::query_as(APPLIED).fetch_all(&mut connection).await.doing(DOING)?,
                false => Applied::new(),
            };
            drop(connection.close().await);
            (applied, &SQLITE)
        }
    };
    pending(known, &applied).map_err(|problem| LedgerError::Schema { address: address.to_string(), problem })
}

/// What is known and not applied; or what is wrong with what is applied.
fn pending(known: &Migrator, applied: &[(i64, Vec<u8>)]) -> Result<Vec<PendingMigration>, String> {
    for (version, checksum) in applied {
        match known.iter().find(|migration| migration.version == *version) {
            None => {
                return Err(format!(
                    "its schema has migration {version:04}, which this program does not know: use the version of \
                     backstitch that made it, or a newer one"
                ));
            }
            Some(migration) if *migration.checksum != **checksum => {
                return Err(format!(
                    "its migration {version:04} is not the one of this program: use the version of backstitch that \
                     made it"
                ));
            }
            Some(_) => {}
        }
    }
    let missing =
        known.iter().filter(|migration| applied.iter().all(|(version, _)| *version != migration.version));
    let pending = missing.map(|migration| PendingMigration {
        version: migration.version,
        description: migration.description.to_string(),
        sql: migration.sql.as_str().to_owned(),
    });
    Ok(pending.collect())
}

async fn connect_postgres(options: &PgConnectOptions) -> Result<PgConnection, LedgerError> {
    postgres::connect(options, "migrate", &[], "connecting to the ledger").await
}

async fn connect_sqlite(path: &Path) -> Result<SqliteConnection, LedgerError> {
    sqlite::options(path).connect().await.doing("opening the ledger file")
}
