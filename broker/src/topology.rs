//! The queues and fan-outs that a program needs, as data.
//!
//! A *work queue* keeps what it took: durable, replicated, with a limit on redelivery and a dead-letter queue of its
//! own. A *transient queue* holds what is worthless once it is old (heartbeats): replicated all the same, because a leader
//! that hears nobody decides nothing; bounded in length and age, the oldest message goes first; its dead-letter queue holds
//! what its consumer could not read. A *fan-out* copies each message to everybody who listens.

use std::time::Duration;

use backstitch_proto::message as wire;

/// Returns of one message after which it is dead-lettered.
///
/// A worker that drains hands back what it has not started, so a rolling restart of a large fleet returns a message
/// a few times without any fault; a message that kills its consumer shall not take all workers down one by one.
pub const DELIVERY_LIMIT: u32 = 20;

/// Heartbeats are sent every few seconds and leases last less than a minute: an older one says nothing.
const HEARTBEAT_AGE_MAX: Duration = Duration::from_secs(60);

/// Ten heartbeats of each of a thousand workers.
const HEARTBEATS_MAX: u32 = 10_000;

/// Everything that must exist before messages flow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    /// The exchange through which the broker dead-letters.
    pub dead_letter_exchange: String,
    /// Queues that keep what they took.
    pub work: Vec<WorkQueue>,
    /// Queues whose messages age.
    pub transient: Vec<TransientQueue>,
    /// The same of the release before this one, as its processes declare them: on one node of the broker. Where they
    /// cannot be declared, because that node is away, everything else goes on without them.
    pub former: Vec<TransientQueue>,
    /// Exchanges that copy to everybody who listens.
    pub fanouts: Vec<String>,
}

/// A queue that keeps what it took. Its dead-letter queue is [`dead_letter_queue`] of its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkQueue {
    /// Its name.
    pub name: String,
    /// Returns of one message after which it is dead-lettered.
    pub delivery_limit: u32,
}

/// A queue whose messages age. Its dead-letter queue is [`dead_letter_queue`] of its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransientQueue {
    /// Its name.
    pub name: String,
    /// Messages that it holds; the oldest go first.
    pub max_messages: u32,
    /// Age at which a message is dropped.
    pub max_age: Duration,
}

impl Topology {
    /// What coordinator and workers need to talk about the worker queues `names`.
    pub fn for_worker_queues<I>(names: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let tasks = names.into_iter().map(|name| wire::task_queue(name.as_ref()));
        let heartbeats = |name: &str| TransientQueue {
            name: name.to_owned(),
            max_messages: HEARTBEATS_MAX,
            max_age: HEARTBEAT_AGE_MAX,
        };
        Self {
            dead_letter_exchange: format!("{}.dead-letters", wire::PREFIX),
            work: tasks
                .chain([wire::REPORT_QUEUE.to_owned()])
                .map(|name| WorkQueue { name, delivery_limit: DELIVERY_LIMIT })
                .collect(),
            transient: vec![heartbeats(wire::HEARTBEAT_QUEUE)],
            former: vec![heartbeats(wire::FORMER_HEARTBEAT_QUEUE)],
            fanouts: vec![wire::CONTROL_FANOUT.to_owned()],
        }
    }

    /// Names of all queues but those of dead letters.
    pub(crate) fn queues(&self) -> impl Iterator<Item = &String> {
        let work = self.work.iter().map(|queue| &queue.name);
        work.chain(self.transient.iter().chain(&self.former).map(|queue| &queue.name))
    }
}

/// The queue that holds the dead letters of the queue `name`.
#[must_use]
pub fn dead_letter_queue(name: &str) -> String {
    format!("{name}.dead")
}
