//! The two servers, and a place on each that is ours alone.
//!
//! A database of its own beside the one that was named: same server, same settings, no row of anybody else in it, and
//! gone afterwards. On the broker a worker queue of its own; reports and heartbeats have one queue for all, so a broker
//! on which a coordinator listens is refused.

use std::time::Duration;

use anyhow::{Context, Result};
use backstitch_broker::{Broker, BrokerError, RabbitMq, Topology};
use backstitch_coordinator::ledger::{self, Address, COUNTED_EPOCH_MAX};
use backstitch_proto::message::REPORT_QUEUE;
use chrono::Utc;
use serde::Serialize;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use tokio::time::timeout;

use super::options::Urls;
use super::project::QUEUE;
use super::usage::Tree;
use crate::exit::Invalid;

/// A RabbitMQ port that a URL does not name.
const AMQP_PORT: u16 = 5672;

/// Longest wait for PostgreSQL: a host that is not there would be waited for for minutes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Terms are numbered by the minute in which they begin, and two measurements can begin in the same one: so these count
/// seconds, some weeks of them, above the minutes of this decade.
const EPOCHS: std::ops::Range<i64> = 4_000_000..COUNTED_EPOCH_MAX;

/// The servers of a measurement.
pub(super) struct Servers {
    admin: PgConnectOptions,
    pub(super) broker_url: String,
    pub(super) broker: RabbitMq,
    /// Others use the broker too: what they declared stays.
    shared: bool,
    /// Workers that are not ours need all queues, and would declare them again.
    others: bool,
    pub(super) postgres: Option<Tree>,
    pub(super) rabbitmq: Option<Tree>,
    pub(super) settings: Settings,
    databases: std::sync::Mutex<Vec<String>>,
}

/// What decides how fast a server may be.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Settings {
    postgres_version: String,
    fsync: String,
    synchronous_commit: String,
    full_page_writes: String,
    wal_sync_method: String,
    shared_buffers: String,
    max_wal_size: String,
    broker_queues: &'static str,
    broker_confirms: bool,
}

impl Servers {
    /// Looks at the servers and refuses what must not be disturbed.
    /// `others` says that somebody else's workers take part.
    pub(super) async fn prepare(urls: &Urls, others: bool) -> Result<Self> {
        let admin: PgConnectOptions = match urls.database.split_once(':') {
            Some(("postgres" | "postgresql", _)) => {
                urls.database.parse().context("the URL of the database")?
            }
            _ => {
                return Err(
                    Invalid::one("a measurement needs PostgreSQL: --database-url postgres://...").into()
                );
            }
        };
        let mut session = connect(&admin).await?;
        let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut session).await?;
        let settings = Settings::read(&mut session).await?;
        let postgres = is_here(admin.get_host()).then(|| Tree::parent_of(pid as u32, "postgres")).flatten();
        session.close().await?;

        let broker = RabbitMq::connect(&urls.broker, "backstitch-bench").await?;
        let shared = match broker.depth(REPORT_QUEUE).await {
            Ok(depth) if depth.consumers > 0 => {
                let problem = "a coordinator is at work on this broker: name another, or a vhost of its own";
                return Err(Invalid::one(problem).into());
            }
            Ok(_) => true,
            Err(BrokerError::NotDeclared { .. }) => false,
            Err(error) => return Err(error.into()),
        };
        let rabbitmq = listening(&urls.broker).and_then(Tree::listening_on);
        let broker_url = urls.broker.clone();
        let databases = std::sync::Mutex::default();
        Ok(Self { admin, broker_url, broker, shared, others, postgres, rabbitmq, settings, databases })
    }

    /// Makes an empty ledger, and gives its URL, which may hold a password.
    pub(super) async fn ledger(&self) -> Result<String> {
        let mut session = connect(&self.admin).await?;
        let name = self.name_a_database();
        let created =
            sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut session).await;
        created.context("making a database for the measurement: its user needs CREATEDB")?;
        session.close().await?;
        let url = self.admin.clone().database(&name).to_url_lossy().to_string();
        let address: Address = url.parse()?;
        ledger::migrate(&address).await?;
        // A worker knows dispatches by ids that begin with the epoch, and one that took part in the last measurement
        // would hand those of this one back as seen before.
        let mut session = connect(&self.admin.clone().database(&name)).await?;
        let epoch = EPOCHS.start + Utc::now().timestamp() % (EPOCHS.end - EPOCHS.start);
        sqlx::query("UPDATE leadership SET epoch = $1").bind(epoch).execute(&mut session).await?;
        session.close().await?;
        Ok(url)
    }

    /// A new name, noted for removal.
    fn name_a_database(&self) -> String {
        let mut made = self.databases();
        let name = format!("backstitch_bench_{}_{}", std::process::id(), made.len());
        made.push(name.clone());
        name
    }

    /// Removes what was made.
    pub(super) async fn remove(self, keep: bool) -> Result<()> {
        let worker_queue = Topology::for_worker_queues([QUEUE]);
        let topology = if self.shared {
            let of_bench = |queue: &backstitch_broker::WorkQueue| queue.name != REPORT_QUEUE;
            Topology {
                dead_letter_exchange: String::new(),
                work: worker_queue.work.into_iter().filter(of_bench).collect(),
                ..Topology::default()
            }
        } else {
            worker_queue
        };
        if !self.others {
            self.broker.remove(&topology).await?;
        }
        self.broker.close().await;
        let databases = std::mem::take(&mut *self.databases());
        if keep {
            for name in databases {
                eprintln!("left behind: database {name}");
            }
            return Ok(());
        }
        let mut session = connect(&self.admin).await?;
        for name in databases {
            // The coordinator that was killed may still have sessions.
            let dropped = sqlx::query(AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")));
            dropped.execute(&mut session).await.with_context(|| format!("dropping database {name}"))?;
        }
        Ok(session.close().await?)
    }

    fn databases(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        // Nothing can panic while it holds the lock.
        self.databases.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Settings {
    async fn read(session: &mut PgConnection) -> Result<Self> {
        let mut show = async |name: &str| -> Result<String> {
            Ok(sqlx::query_scalar("SELECT current_setting($1)").bind(name).fetch_one(&mut *session).await?)
        };
        Ok(Self {
            postgres_version: show("server_version").await?,
            fsync: show("fsync").await?,
            synchronous_commit: show("synchronous_commit").await?,
            full_page_writes: show("full_page_writes").await?,
            wal_sync_method: show("wal_sync_method").await?,
            shared_buffers: show("shared_buffers").await?,
            max_wal_size: show("max_wal_size").await?,
            // What this program declares and does, always.
            broker_queues: "quorum, durable",
            broker_confirms: true,
        })
    }
}

/// A session of our own on the database of `options`.
pub(super) async fn connect(options: &PgConnectOptions) -> Result<PgConnection> {
    let named = options.clone().application_name("backstitch bench");
    let connected = timeout(CONNECT_TIMEOUT, named.connect()).await;
    let doing = || format!("connecting to PostgreSQL at {}:{}", options.get_host(), options.get_port());
    connected
        .unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()))
        .with_context(doing)
}

/// The port of a broker on this machine.
fn listening(url: &str) -> Option<u16> {
    let url = reqwest::Url::parse(url).ok()?;
    is_here(url.host_str()?).then(|| url.port().unwrap_or(AMQP_PORT))
}

fn is_here(host: &str) -> bool {
    // A path is a socket of this machine.
    host.starts_with('/') || ["localhost", "127.0.0.1", "::1", "[::1]"].contains(&host)
}
