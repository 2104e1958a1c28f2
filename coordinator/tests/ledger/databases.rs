//! A database of its own for every test.

use std::sync::Arc;

use backstitch_coordinator::ledger::{Address, Ledger, connect, migrate};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tempfile::TempDir;
use uuid::Uuid;

/// Runs `property` on a new SQLite ledger.
pub(crate) async fn on_sqlite(property: impl AsyncFnOnce(Arc<dyn Ledger>)) {
    let (_folder, address) = sqlite_address();
    migrate(&address).await.expect("migrating");
    property(connect(&address).await.expect("connecting")).await;
}

/// Runs `property` on a new Postgres ledger.
pub(crate) async fn on_postgres(property: impl AsyncFnOnce(Arc<dyn Ledger>)) {
    let database = PostgresDatabase::create().await;
    migrate(&database.address()).await.expect("migrating");
    property(connect(&database.address()).await.expect("connecting")).await;
    database.remove().await;
}

/// A file that does not exist yet, in a folder that lives as long as the value.
pub(crate) fn sqlite_address() -> (TempDir, Address) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let address = Address::sqlite(folder.path().join("state/ledger.db"));
    (folder, address)
}

/// An empty database on the cluster of the tests. A test that fails leaves it behind, to be looked at.
pub(crate) struct PostgresDatabase {
    server: String,
    name: String,
}

impl PostgresDatabase {
    pub(crate) async fn create() -> Self {
        let server = std::env::var("BACKSTITCH_TEST_DATABASE_URL").expect(
            "BACKSTITCH_TEST_DATABASE_URL is not set: this test needs a real Postgres, run tests/run",
        );
        let name = format!("ledger_{}", Uuid::new_v4().simple());
        let database = Self { server, name };
        database.on_server(format!("CREATE DATABASE {}", database.name)).await;
        database
    }

    pub(crate) fn url(&self) -> String {
        let (server, _) = self.server.rsplit_once('/').expect("a URL with a database");
        format!("{server}/{}", self.name)
    }

    pub(crate) fn port(&self) -> u16 {
        let place = self.server.rsplit(':').next().and_then(|rest| rest.split('/').next());
        place.expect("a URL with a port").parse().expect("a port")
    }

    pub(crate) fn address(&self) -> Address {
        self.url().parse().expect("a valid address")
    }

    /// A session beside the ledger's.
    pub(crate) async fn session(&self) -> PgConnection {
        PgConnection::connect(&self.url()).await.expect("connecting")
    }

    pub(crate) async fn remove(self) {
        self.on_server(format!("DROP DATABASE {} WITH (FORCE)", self.name)).await;
    }

    async fn on_server(&self, statement: String) {
        let mut connection = PgConnection::connect(&self.server).await.expect("connecting to the cluster");
        sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await.expect("making a database");
    }
}
