//! One queue in memory: what it holds, and what its rule makes of it.
//!
//! The lock is held for single steps that never wait; whoever waits for a message waits on `wake`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::limits::{DEAD_LETTERS_MAX, QUEUE_MESSAGES_MAX, SUBSCRIPTION_MESSAGES_MAX};
use crate::{QueueDepth, Unconfirmed, header};

/// Bytes of bodies that one queue holds at most. There is no disk behind it.
const QUEUE_BYTES_MAX: usize = 256 << 20;

/// A queue and those who wait on it.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) name: String,
    rule: Rule,
    contents: Mutex<Contents>,
    /// Woken when a message arrives, a delivery is decided, or the queue's consumers shall look again.
    pub(super) wake: Notify,
}

#[derive(Debug, Default)]
struct Contents {
    ready: VecDeque<Stored>,
    /// Bytes of the bodies in `ready`.
    bytes: usize,
    consumers: u32,
}

/// A message at rest.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) body: Arc<[u8]>,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) message_id: String,
    /// How often it was given back.
    pub(super) returns: u32,
    arrived: Instant,
}

/// What a queue does with too many messages, old ones, and ones that come back.
#[derive(Debug)]
pub(super) struct Rule {
    max_messages: u32,
    when_full: WhenFull,
    max_age: Option<Duration>,
    /// Returns of one message after which it goes to `dead_letters`.
    delivery_limit: u32,
    dead_letters: Option<Arc<Queue>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum WhenFull {
    Refuse,
    DropOldest,
}

impl Rule {
    pub(super) fn work(delivery_limit: u32, dead_letters: Arc<Queue>) -> Self {
        Self {
            max_messages: QUEUE_MESSAGES_MAX,
            when_full: WhenFull::Refuse,
            max_age: None,
            delivery_limit,
            dead_letters: Some(dead_letters),
        }
    }

    pub(super) fn transient(max_messages: u32, max_age: Duration, dead_letters: Arc<Queue>) -> Self {
        Self { max_age: Some(max_age), dead_letters: Some(dead_letters), ..Self::dropping(max_messages) }
    }

    pub(super) fn dead_letters() -> Self {
        Self::dropping(DEAD_LETTERS_MAX)
    }

    pub(super) fn subscription() -> Self {
        Self::dropping(SUBSCRIPTION_MESSAGES_MAX)
    }

    fn dropping(max_messages: u32) -> Self {
        Self {
            max_messages,
            when_full: WhenFull::DropOldest,
            max_age: None,
            delivery_limit: u32::MAX,
            dead_letters: None,
        }
    }
}

impl Stored {
    pub(super) fn new(body: Vec<u8>, headers: BTreeMap<String, String>, message_id: String) -> Self {
        Self { body: body.into(), headers, message_id, returns: 0, arrived: Instant::now() }
    }
}

impl Queue {
    pub(super) fn new(name: String, rule: Rule) -> Arc<Self> {
        Arc::new(Self { name, rule, contents: Mutex::default(), wake: Notify::new() })
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a message at the end.
    pub(super) fn push(&self, message: Stored) -> Result<(), Unconfirmed> {
        let mut contents = self.contents();
        while contents.ready.len() >= self.rule.max_messages as usize
            || contents.bytes + message.body.len() > QUEUE_BYTES_MAX
        {
            if self.rule.when_full == WhenFull::Refuse {
                return Err(Unconfirmed::Refused);
            }
            if contents.pop().is_none() {
                break;
            }
        }
        contents.bytes += message.body.len();
        contents.ready.push_back(message);
        drop(contents);
        self.wake.notify_waiters();
        Ok(())
    }

    /// Takes the message at the front.
    pub(super) fn pop(&self) -> Option<Stored> {
        let mut contents = self.contents();
        contents.drop_expired(self.rule.max_age);
        contents.pop()
    }

    /// Puts a message back at the front, or where its limit sends it.
    pub(super) fn give_back(&self, mut message: Stored) {
        message.returns += 1;
        if message.returns > self.rule.delivery_limit {
            message.headers.insert(header::BROKER_REASON.to_owned(), "delivery_limit".to_owned());
            self.dead_letter(message);
            return;
        }
        let mut contents = self.contents();
        contents.bytes += message.body.len();
        contents.ready.push_front(message);
        drop(contents);
        self.wake.notify_waiters();
    }

    /// Moves a message to this queue's dead letters; drops it where there are none.
    pub(super) fn dead_letter(&self, mut message: Stored) {
        let Some(dead_letters) = &self.rule.dead_letters else { return };
        message.returns = 0;
        message.arrived = Instant::now();
        // Dead letters make room by dropping their oldest: they never refuse.
        let _ = dead_letters.push(message);
    }

    pub(super) fn depth(&self) -> QueueDepth {
        let mut contents = self.contents();
        contents.drop_expired(self.rule.max_age);
        QueueDepth { ready: contents.ready.len() as u64, consumers: contents.consumers }
    }

    pub(super) fn add_consumer(&self) {
        self.contents().consumers += 1;
    }

    pub(super) fn remove_consumer(&self) {
        self.contents().consumers -= 1;
    }
}

impl Contents {
    /// The oldest are in front: what follows a message that is young enough is younger still.
    fn drop_expired(&mut self, max_age: Option<Duration>) {
        let Some(max_age) = max_age else { return };
        while self.ready.front().is_some_and(|message| message.arrived.elapsed() >= max_age) {
            self.pop();
        }
    }

    fn pop(&mut self) -> Option<Stored> {
        let message = self.ready.pop_front()?;
        self.bytes -= message.body.len();
        Some(message)
    }
}
