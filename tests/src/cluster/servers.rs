//! The two servers of a cluster: shared ones with a corner of our own, or private ones to be harmed.

use anyhow::{Context, Result};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::postgres::Postgres;
use crate::rabbitmq::RabbitMq;
use crate::shared;

/// Which RabbitMQ a cluster uses.
#[derive(Debug)]
pub enum Broker {
    /// A virtual host on the node of all tests.
    Shared,
    /// A node of its own.
    Own,
    /// Three nodes of its own.
    Three,
    /// This node.
    Given(Box<RabbitMq>),
}

/// Which Postgres a cluster uses.
#[derive(Debug)]
pub enum Database {
    /// A database on the cluster of all tests.
    Shared,
    /// A server of its own.
    Own,
    /// This one.
    Given(Box<Postgres>),
}

/// Where the broker is, and what of it is ours.
#[derive(Debug)]
pub(super) struct BrokerPlace {
    pub(super) nodes: Vec<RabbitMq>,
    pub(super) ports: Vec<u16>,
    pub(super) host: String,
}

impl BrokerPlace {
    pub(super) async fn open(which: Broker) -> Result<Self> {
        let nodes = match which {
            Broker::Shared => return Self::shared().await,
            Broker::Own => vec![RabbitMq::start().await?],
            Broker::Three => RabbitMq::start_three().await?.into(),
            Broker::Given(node) => vec![*node],
        };
        let ports = nodes.iter().map(RabbitMq::port).collect();
        Ok(Self { nodes, ports, host: "%2f".to_owned() })
    }

    async fn shared() -> Result<Self> {
        let host = format!("faults-{}", uuid::Uuid::new_v4().simple());
        shared::rabbitmqctl(["add_vhost", &host]).await?;
        shared::rabbitmqctl(["set_permissions", "-p", &host, "guest", ".*", ".*", ".*"]).await?;
        Ok(Self { nodes: Vec::new(), ports: vec![port_of(&shared::amqp_url()?)?], host })
    }

    /// Runs `rabbitmqctl eval` with what `expression` makes of the name of our virtual host.
    pub(super) async fn eval(&self, expression: impl FnOnce(&str) -> String) -> Result<String> {
        let expression = expression(if self.host == "%2f" { "/" } else { &self.host });
        match self.nodes.first() {
            Some(node) => node.ctl(["eval", &expression]).await,
            None => shared::rabbitmqctl(["eval", &expression]).await,
        }
    }

    pub(super) fn url(&self, port: u16) -> String {
        format!("amqp://guest:guest@127.0.0.1:{port}/{}", self.host)
    }
}

/// Where the database is.
#[derive(Debug)]
pub(super) struct DatabasePlace {
    pub(super) server: Option<Postgres>,
    pub(super) port: u16,
    name: String,
}

impl DatabasePlace {
    pub(super) async fn open(which: Database) -> Result<Self> {
        let server = match which {
            Database::Shared => return Self::shared().await,
            Database::Own => Postgres::start().await?,
            Database::Given(server) => *server,
        };
        Ok(Self { port: server.port(), server: Some(server), name: "postgres".to_owned() })
    }

    async fn shared() -> Result<Self> {
        let server = shared::database_url()?;
        let name = format!("faults_{}", uuid::Uuid::new_v4().simple());
        let mut session = PgConnection::connect(&server).await?;
        sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut session).await?;
        Ok(Self { server: None, port: port_of(&server)?, name })
    }

    pub(super) fn url(&self, port: u16) -> String {
        format!("postgres://postgres@127.0.0.1:{port}/{}", self.name)
    }
}

fn port_of(url: &str) -> Result<u16> {
    let place = url.rsplit(':').next().and_then(|rest| rest.split('/').next());
    place.context("a URL with a port")?.parse().context("a URL with a port")
}
