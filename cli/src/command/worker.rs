//! `backstitch worker`: executes tasks until it is told to stop, then drains.

use std::sync::Arc;

use anyhow::Result;
use backstitch_broker::{Broker, RabbitMq};
use backstitch_proto::definition::{HumanDuration, QueueName};
use backstitch_worker::{Worker, WorkerOptions};
use clap::Args;

use super::servers;
use crate::exit::{Exit, Invalid};
use crate::settings::{
    self, BrokerArgs, ProjectArgs, SettingsFile, SlotsArgs, environment, flag_or_variable,
};
use crate::signals::Signals;

#[derive(Args, Debug)]
pub(crate) struct WorkerArgs {
    #[command(flatten)]
    slots: SlotsArgs,
    /// Queues to take tasks from [env: BACKSTITCH_QUEUES] [default: default]
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    queues: Vec<QueueName>,
    /// Name of this worker, for people [env: BACKSTITCH_NAME] [default: host name and process id]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Time for what runs to finish after TERM, such as 30s or 5m [env: BACKSTITCH_DRAIN_GRACE] [default: 30s]
    #[arg(long, value_name = "TIME")]
    drain_grace: Option<HumanDuration>,
    #[command(flatten)]
    broker: BrokerArgs,
    #[command(flatten)]
    project: ProjectArgs,
}

impl WorkerArgs {
    pub(crate) async fn run(self) -> Result<Exit> {
        let broker_url = self
            .broker
            .broker(&self.project)?
            .ok_or_else(|| Invalid::one("a worker needs a broker: --broker-url, or BACKSTITCH_BROKER_URL"))?;
        let shutdown = Signals::listen()?.into_token();
        let file = SettingsFile::of(&self.project)?;
        let slots = self.slots.slots(&file)?;
        let name = self.name.or_else(|| environment("BACKSTITCH_NAME")).or(file.name);
        let mut options = WorkerOptions {
            slots,
            project_dir: settings::project_dir(&self.project),
            name: name.unwrap_or_else(servers::process_name),
            ..WorkerOptions::default()
        };
        let flag = (!self.queues.is_empty()).then_some(self.queues);
        let queues = flag_or_variable(flag, "BACKSTITCH_QUEUES", |names| {
            names.split(',').map(str::parse).collect::<Result<Vec<QueueName>, _>>()
        })?;
        if let Some(queues) = queues.or_else(|| (!file.queues.is_empty()).then_some(file.queues)) {
            options.queues = queues.iter().map(QueueName::to_string).collect();
        }
        let drain_grace =
            flag_or_variable(self.drain_grace, "BACKSTITCH_DRAIN_GRACE", str::parse::<HumanDuration>)?;
        options.drain_grace =
            drain_grace.or(file.drain_grace).map_or(options.drain_grace, HumanDuration::get);
        tracing::info!(
            name = options.name,
            broker = settings::without_userinfo(&broker_url),
            slots = options.slots,
            queues = options.queues.join(","),
            drain_grace = ?options.drain_grace,
            "the worker starts"
        );
        let Some(broker) = RabbitMq::connect_until(&broker_url, &options.name, &shutdown).await? else {
            return Ok(Exit::Done);
        };
        let broker = Arc::new(broker);
        let shared: Arc<dyn Broker> = Arc::clone(&broker) as _;
        let ran = Worker::builder().options(options).broker(shared).run_until(shutdown).await;
        broker.close().await;
        ran?;
        Ok(Exit::Done)
    }
}
