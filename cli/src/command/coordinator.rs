//! `backstitch coordinator`: leads, or stands by to lead, until it is told to stop.

use std::sync::Arc;

use anyhow::{Context, Result};
use backstitch_broker::{Broker, RabbitMq};
use backstitch_coordinator::service::{Coordinator, Options};
use backstitch_coordinator::{api, engine};
use clap::Args;
use tokio::net::TcpListener;

use super::servers;
use crate::exit::{Exit, Invalid};
use crate::metrics;
use crate::project::Project;
use crate::settings::{self, BrokerArgs, DatabaseArgs, HistoryArgs, ListenArgs, ProjectArgs};
use crate::signals::Signals;

#[derive(Args, Debug)]
pub(crate) struct CoordinatorArgs {
    #[command(flatten)]
    api: ListenArgs,
    /// URL under which others reach the API [env: BACKSTITCH_ADVERTISE] [default: host name and port of --listen]
    #[arg(long, env = "BACKSTITCH_ADVERTISE", hide_env = true, value_name = "URL")]
    advertise: Option<String>,
    /// Name of this process, for people [env: BACKSTITCH_NAME] [default: host name and process id]
    #[arg(long, env = "BACKSTITCH_NAME", hide_env = true, value_name = "NAME")]
    name: Option<String>,
    /// Tasks that one message to a worker carries at most, where they are short [env: BACKSTITCH_TASKS_PER_MESSAGE] [default: 1000]
    #[arg(long, env = "BACKSTITCH_TASKS_PER_MESSAGE", hide_env = true, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    tasks_per_message: Option<u32>,
    #[command(flatten)]
    history: HistoryArgs,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    broker: BrokerArgs,
    #[command(flatten)]
    project: ProjectArgs,
}

impl CoordinatorArgs {
    pub(crate) async fn run(self) -> Result<Exit> {
        let project = Project::load(&settings::project_dir(&self.project))?;
        let address = self.database.database(&self.project)?.ok_or_else(|| {
            Invalid::one("a coordinator needs a ledger: --database-url, or BACKSTITCH_DATABASE_URL")
        })?;
        let broker_url = self.broker.broker(&self.project)?.ok_or_else(|| {
            Invalid::one("a coordinator needs a broker: --broker-url, or BACKSTITCH_BROKER_URL")
        })?;
        let shutdown = Signals::listen()?.into_token();
        let listener = TcpListener::bind(self.api.listen)
            .await
            .with_context(|| format!("listening on {}", self.api.listen))?;
        let listening = listener.local_addr().context("reading our own address")?;
        let name = self.name.clone().unwrap_or_else(servers::process_name);

        let Some(ledger) = servers::ledger(&address, &shutdown).await? else { return Ok(Exit::Done) };
        let Some(broker) = servers::rabbitmq(&broker_url, &name, &shutdown).await? else {
            return Ok(Exit::Done);
        };
        let broker: Arc<RabbitMq> = Arc::new(broker);
        let mut engine = engine::Options::default();
        engine.dispatch_max_tasks = self.tasks_per_message.unwrap_or(engine.dispatch_max_tasks);
        let options = Options {
            name,
            api_address: self.advertise.unwrap_or_else(|| servers::advertised(listening)),
            engine,
            keep_history: self.history.keep(),
        };
        tracing::info!(listening = %listening, advertised = options.api_address, "the API is up");
        let shared: Arc<dyn Broker> = Arc::clone(&broker) as _;
        let coordinator = Coordinator::new(options, project.definitions, ledger, shared);
        let serving =
            tokio::spawn(api::serve(listener, coordinator.handle(), metrics::registry(), shutdown.clone()));
        let led = coordinator.run(shutdown.clone()).await;
        shutdown.cancel();
        let served = serving.await.context("the API panicked")?;
        broker.close().await;
        led?;
        served.context("serving the API")?;
        Ok(Exit::Done)
    }
}
