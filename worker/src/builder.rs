//! How a worker is put together.

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;

use backstitch_broker::{Broker, RabbitMq};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::command::Watchdog;
use crate::error::WorkerError;
use crate::execution::Executors;
use crate::native::{Context, IntoBatchOutcome, IntoOutcome, Registry};
use crate::options::WorkerOptions;
use crate::service;

/// A process that executes tasks.
#[derive(Debug)]
pub struct Worker(());

impl Worker {
    /// A worker that is to be put together.
    pub fn builder() -> WorkerBuilder {
        WorkerBuilder { options: WorkerOptions::default(), broker: None, registry: Registry::default() }
    }
}

/// A worker that is being put together.
#[must_use = "a worker does nothing until it runs"]
pub struct WorkerBuilder {
    options: WorkerOptions,
    broker: Option<Arc<dyn Broker>>,
    registry: Registry,
}

impl WorkerBuilder {
    /// Registers the function that computes one partition of `asset`. The last one of an asset counts.
    pub fn asset<F, Fut>(mut self, asset: impl Into<String>, function: F) -> Self
    where
        F: Fn(Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoOutcome> + Send + 'static,
    {
        self.registry.insert(asset.into(), function);
        self
    }

    /// Registers the function that computes up to `batch_size` partitions of `asset` in one call.
    pub fn asset_batch<F, Fut>(mut self, asset: impl Into<String>, function: F) -> Self
    where
        F: Fn(Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoBatchOutcome> + Send + 'static,
    {
        self.registry.insert_batch(asset.into(), function);
        self
    }

    /// Replaces the options.
    pub fn options(mut self, options: WorkerOptions) -> Self {
        self.options = options;
        self
    }

    /// Sets the broker.
    pub fn broker(mut self, broker: Arc<dyn Broker>) -> Self {
        self.broker = Some(broker);
        self
    }

    /// Runs until `shutdown` is cancelled, then drains: hands back what has not started, gives what runs its grace,
    /// reports everything.
    ///
    /// # Errors
    /// When the worker cannot start: senseless options, no project folder, no broker or one that refuses it. A
    /// broker that is not there yet is waited for.
    pub async fn run_until(self, shutdown: CancellationToken) -> Result<(), WorkerError> {
        let Self { mut options, broker, registry } = self;
        let broker = broker.ok_or(WorkerError::NoBroker)?;
        if options.slots == 0 {
            return Err(WorkerError::Options("a worker needs at least one slot".to_owned()));
        }
        if options.queues.is_empty() {
            return Err(WorkerError::Options("a worker needs at least one queue".to_owned()));
        }
        // As between two commas. Nothing is ever sent to such a queue.
        if options.queues.iter().any(String::is_empty) {
            let problem = "a queue of the worker has no name: leave it out, or name it";
            return Err(WorkerError::Options(problem.to_owned()));
        }
        let mut named = HashSet::new();
        options.queues.retain(|queue| named.insert(queue.clone()));
        let folder = options.project_dir.clone();
        let project_dir = tokio::fs::canonicalize(&folder)
            .await
            .map_err(|source| WorkerError::ProjectDir { folder, source })?;
        let executors = Executors { native: registry, watchdog: Watchdog::default() };
        service::run(options, broker, executors, project_dir.into(), shutdown).await
    }

    /// Runs until TERM or INT. Without a broker it connects to the RabbitMQ at `BACKSTITCH_BROKER_URL`, and waits for it.
    ///
    /// # Errors
    /// As [`run_until`](Self::run_until).
    pub async fn run(mut self) -> Result<(), WorkerError> {
        let shutdown = stop_signals().map_err(WorkerError::Signals)?;
        if self.broker.is_none() {
            let url = std::env::var("BACKSTITCH_BROKER_URL").ok().filter(|url| !url.is_empty());
            let url = url.ok_or(WorkerError::NoBroker)?;
            let broker = RabbitMq::connect_until(&url, &self.options.name, &shutdown).await;
            let Some(broker) = broker.map_err(WorkerError::Broker)? else { return Ok(()) };
            self.broker = Some(Arc::new(broker));
        }
        let broker = self.broker.clone();
        let ran = self.run_until(shutdown).await;
        if let Some(broker) = broker {
            broker.close().await;
        }
        ran
    }
}

/// Cancelled by the first TERM or INT.
fn stop_signals() -> std::io::Result<CancellationToken> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let token = CancellationToken::new();
    let stop = token.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
    });
    Ok(token)
}

#[cfg(test)]
mod tests {
    use backstitch_broker::InProcess;

    use super::*;

    #[tokio::test]
    async fn a_queue_without_a_name_is_refused_with_the_mend() {
        let queues = vec!["default".to_owned(), String::new()];
        let options = WorkerOptions { queues, ..WorkerOptions::default() };
        let worker = Worker::builder().options(options).broker(Arc::new(InProcess::new()));
        let refused = worker.run_until(CancellationToken::new()).await.expect_err("a refusal").to_string();
        assert_eq!(refused, "a queue of the worker has no name: leave it out, or name it");
    }
}
