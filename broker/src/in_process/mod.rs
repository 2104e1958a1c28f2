//! A broker inside the process: the embedded default, and the double that tests use.
//!
//! It behaves as RabbitMQ does where a caller can tell (confirms, prefetch, redelivery, delivery limit, dead letters,
//! bounded queues, fan-out) and passes the same conformance suite. It differs in one thing, and says so: its messages
//! end with the process ([`Broker::survives_restart`] is false).

mod consumer;
mod queue;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use async_trait::async_trait;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::confirm::confirmation;
use crate::limits::{MESSAGE_BYTES_MAX, SUBSCRIPTION_PREFETCH};
use crate::{
    Broker, BrokerError, Confirm, ConnectionState, Consumer, Outgoing, Publisher, QueueDepth, Target,
    Topology, TransientQueue, Unconfirmed, WorkQueue, dead_letter_queue,
};

pub(crate) use consumer::Held;
use consumer::InProcessConsumer;
use queue::{Queue, Rule, Stored};

/// A broker inside this process. Cloning gives another handle to the same broker.
#[derive(Clone)]
pub struct InProcess {
    shared: Arc<Shared>,
}

struct Shared {
    registry: Mutex<Registry>,
    state: watch::Sender<ConnectionState>,
    closed: CancellationToken,
}

#[derive(Default)]
struct Registry {
    queues: HashMap<String, Arc<Queue>>,
    /// Subscribers own their queues: one that is gone leaves a dead pointer, swept at the next publish.
    fanouts: HashMap<String, Vec<Weak<Queue>>>,
}

impl Registry {
    fn ensure(&mut self, name: String, rule: impl FnOnce() -> Rule) -> Arc<Queue> {
        self.queues.entry(name.clone()).or_insert_with(|| Queue::new(name, rule())).clone()
    }
}

impl InProcess {
    /// An empty broker.
    #[must_use]
    pub fn new() -> Self {
        let (state, _) = watch::channel(ConnectionState::Connected);
        Self {
            shared: Arc::new(Shared { registry: Mutex::default(), state, closed: CancellationToken::new() }),
        }
    }
}

impl Default for InProcess {
    fn default() -> Self {
        Self::new()
    }
}

impl Shared {
    fn registry(&self) -> std::sync::MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ensure_open(&self) -> Result<(), BrokerError> {
        if self.closed.is_cancelled() { Err(BrokerError::Closed) } else { Ok(()) }
    }

    fn queue(&self, name: &str) -> Result<Arc<Queue>, BrokerError> {
        self.ensure_open()?;
        let queue = self.registry().queues.get(name).cloned();
        queue.ok_or_else(|| BrokerError::NotDeclared { name: name.to_owned() })
    }

    fn publish(&self, message: Outgoing) -> Result<Result<(), Unconfirmed>, BrokerError> {
        let stored = Stored::new(message.body, message.headers, message.message_id);
        match message.target {
            Target::Queue(name) => Ok(self.queue(&name)?.push(stored)),
            Target::Fanout(name) => {
                self.ensure_open()?;
                let mut registry = self.registry();
                let subscribers = registry.fanouts.get_mut(&name).ok_or(BrokerError::NotDeclared { name })?;
                subscribers.retain(|queue| match queue.upgrade() {
                    Some(queue) => {
                        // A subscription drops its oldest message when full: it never refuses.
                        let _ = queue.push(stored.clone());
                        true
                    }
                    None => false,
                });
                Ok(Ok(()))
            }
        }
    }
}

#[async_trait]
impl Broker for InProcess {
    async fn declare(&self, topology: &Topology) -> Result<(), BrokerError> {
        self.shared.ensure_open()?;
        let mut registry = self.shared.registry();
        for WorkQueue { name, delivery_limit } in &topology.work {
            let dead_letters = registry.ensure(dead_letter_queue(name), Rule::dead_letters);
            registry.ensure(name.clone(), || Rule::work(*delivery_limit, dead_letters));
        }
        for TransientQueue { name, max_messages, max_age } in
            topology.transient.iter().chain(&topology.former)
        {
            let dead_letters = registry.ensure(dead_letter_queue(name), Rule::dead_letters);
            registry.ensure(name.clone(), || Rule::transient(*max_messages, *max_age, dead_letters));
        }
        for fanout in &topology.fanouts {
            registry.fanouts.entry(fanout.clone()).or_default();
        }
        Ok(())
    }

    async fn publisher(&self) -> Result<Arc<dyn Publisher>, BrokerError> {
        self.shared.ensure_open()?;
        Ok(Arc::new(InProcessPublisher { shared: self.shared.clone() }))
    }

    async fn consume(&self, queue: &str, prefetch: u16) -> Result<Box<dyn Consumer>, BrokerError> {
        let queue = self.shared.queue(queue)?;
        Ok(Box::new(InProcessConsumer::new(queue, prefetch, self.shared.closed.clone())))
    }

    async fn subscribe(&self, fanout: &str) -> Result<Box<dyn Consumer>, BrokerError> {
        self.shared.ensure_open()?;
        let queue = Queue::new(format!("{fanout}.{}", Uuid::new_v4()), Rule::subscription());
        self.shared
            .registry()
            .fanouts
            .get_mut(fanout)
            .ok_or_else(|| BrokerError::NotDeclared { name: fanout.to_owned() })?
            .push(Arc::downgrade(&queue));
        Ok(Box::new(InProcessConsumer::new(queue, SUBSCRIPTION_PREFETCH, self.shared.closed.clone())))
    }

    fn state(&self) -> watch::Receiver<ConnectionState> {
        self.shared.state.subscribe()
    }

    fn survives_restart(&self) -> bool {
        false
    }

    async fn depth(&self, queue: &str) -> Result<QueueDepth, BrokerError> {
        Ok(self.shared.queue(queue)?.depth())
    }

    async fn close(&self) {
        self.shared.closed.cancel();
        self.shared.state.send_replace(ConnectionState::Disconnected { reason: "closed".to_owned() });
    }
}

struct InProcessPublisher {
    shared: Arc<Shared>,
}

#[async_trait]
impl Publisher for InProcessPublisher {
    async fn publish(&self, message: Outgoing) -> Result<Confirm, BrokerError> {
        if message.body.len() > MESSAGE_BYTES_MAX {
            return Err(BrokerError::TooLarge { bytes: message.body.len(), limit: MESSAGE_BYTES_MAX });
        }
        let answer = self.shared.publish(message)?;
        let (resolve, confirm) = confirmation();
        // The caller still holds the confirm, so somebody is there to hear the answer.
        let _ = resolve.send(answer);
        Ok(confirm)
    }
}
