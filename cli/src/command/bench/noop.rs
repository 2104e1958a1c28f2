//! `backstitch bench-worker`: a worker whose assets do nothing, or wait.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use backstitch_broker::{Broker, RabbitMq};
use backstitch_worker::{AssetError, Materialization, Worker, WorkerOptions};
use clap::Args;

use super::project::{CHAIN, QUEUE, URGENT, asset};
use crate::exit::{Exit, Invalid};
use crate::settings::{BrokerArgs, ProjectArgs, SettingsFile, SlotsArgs};
use crate::signals::Signals;

#[derive(Args, Debug)]
pub(crate) struct NoopArgs {
    #[command(flatten)]
    slots: SlotsArgs,
    /// Assets of the measurement
    #[arg(long, default_value_t = 1, value_name = "K")]
    assets: u64,
    /// Time that a task takes, milliseconds
    #[arg(long, default_value_t = 0, value_name = "M")]
    task_ms: u64,
    #[command(flatten)]
    broker: BrokerArgs,
    #[command(flatten)]
    project: ProjectArgs,
}

impl NoopArgs {
    pub(crate) async fn run(self) -> Result<Exit> {
        let url = self
            .broker
            .broker(&self.project)?
            .ok_or_else(|| Invalid::one("a worker needs a broker: --broker-url, or BACKSTITCH_BROKER_URL"))?;
        let shutdown = Signals::listen()?.into_token();
        let options = WorkerOptions {
            slots: self.slots.slots(&SettingsFile::of(&self.project)?)?,
            queues: vec![QUEUE.to_owned()],
            ..WorkerOptions::default()
        };
        let broker = Arc::new(RabbitMq::connect(&url, &options.name).await?);
        let shared: Arc<dyn Broker> = Arc::clone(&broker) as _;
        let takes = Duration::from_millis(self.task_ms);
        let task = move |_| async move {
            if !takes.is_zero() {
                tokio::time::sleep(takes).await;
            }
            Ok::<_, AssetError>(Materialization::new())
        };
        // Beside a large run of slow tasks the small ones do nothing.
        let nothing = |_| async { Ok::<_, AssetError>(Materialization::new()) };
        let mut worker = Worker::builder().options(options).broker(shared);
        for number in 0..self.assets {
            worker = worker.asset(asset(number), task);
        }
        let ran = worker.asset(URGENT, nothing).asset(CHAIN, task).run_until(shutdown).await;
        broker.close().await;
        ran?;
        Ok(Exit::Done)
    }
}
