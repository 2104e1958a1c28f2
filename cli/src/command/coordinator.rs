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
use crate::settings::{
    self, BrokerArgs, DatabaseArgs, HistoryArgs, ListenArgs, ProjectArgs, SettingsFile, environment,
    flag_or_variable, tasks_per_message,
};
use crate::signals::Signals;

#[derive(Args, Debug)]
pub(crate) struct CoordinatorArgs {
    #[command(flatten)]
    api: ListenArgs,
    /// URL under which others reach the API [env: BACKSTITCH_ADVERTISE] [default: host name and port of --listen]
    #[arg(long, value_name = "URL")]
    advertise: Option<String>,
    /// Name of this process, for people [env: BACKSTITCH_NAME] [default: host name and process id]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Tasks that one message to a worker carries at most, where they are short [env: BACKSTITCH_TASKS_PER_MESSAGE] [default: 1000]
    #[arg(long, value_name = "N", value_parser = tasks_per_message)]
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
        let file = SettingsFile::of(&self.project)?;
        let (listen, keep_history) = (self.api.listen(&file)?, self.history.keep(&file)?);
        let name = self.name.or_else(|| environment("BACKSTITCH_NAME")).or(file.name);
        let name = name.unwrap_or_else(servers::process_name);
        let advertise = self.advertise.or_else(|| environment("BACKSTITCH_ADVERTISE")).or(file.advertise);
        let tasks =
            flag_or_variable(self.tasks_per_message, "BACKSTITCH_TASKS_PER_MESSAGE", tasks_per_message)?;
        let mut engine = engine::Options::default();
        engine.dispatch_max_tasks = tasks.or(file.tasks_per_message).unwrap_or(engine.dispatch_max_tasks);
        tracing::info!(
            name,
            ledger = %address,
            broker = settings::without_userinfo(&broker_url),
            %listen,
            advertise = advertise.as_deref().map(settings::without_userinfo),
            tasks_per_message = engine.dispatch_max_tasks,
            keep_history_days = keep_history.map(|keep| keep.days.get()),
            "the coordinator starts"
        );
        let shutdown = Signals::listen()?.into_token();
        let listener = TcpListener::bind(listen).await.with_context(|| format!("listening on {listen}"))?;
        let listening = listener.local_addr().context("reading our own address")?;

        let Some(ledger) = servers::ledger(&address, &shutdown).await? else { return Ok(Exit::Done) };
        let Some(broker) = RabbitMq::connect_until(&broker_url, &name, &shutdown).await? else {
            return Ok(Exit::Done);
        };
        let broker: Arc<RabbitMq> = Arc::new(broker);
        let api_address = advertise.unwrap_or_else(|| servers::advertised(listening));
        tracing::info!(%listening, advertised = settings::without_userinfo(&api_address), "the API is up");
        let options = Options { name, api_address, engine, keep_history };
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
