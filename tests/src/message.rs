//! Messages as tests send and take them.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use backstitch_broker::{Consumer, Delivery, Outgoing, Target};

use crate::wait::soon;

/// A durable message with its body as id.
#[must_use]
pub fn message(queue: &str, body: &str) -> Outgoing {
    Outgoing { message_id: body.to_owned(), ..durable(Target::Queue(queue.to_owned()), body.into()) }
}

/// A durable message of nobody in particular.
#[must_use]
pub fn durable(target: Target, body: Vec<u8>) -> Outgoing {
    Outgoing { target, body, headers: BTreeMap::new(), message_id: "test".to_owned(), persistent: true }
}

/// The next delivery, which must come soon.
///
/// # Errors
/// When none comes.
pub async fn next(consumer: &mut Box<dyn Consumer>) -> Result<Delivery> {
    soon(consumer.next()).await?.context("the consumer ended")
}

/// The body of a delivery as text.
#[must_use]
pub fn text(delivery: &Delivery) -> String {
    String::from_utf8_lossy(&delivery.body).into_owned()
}
