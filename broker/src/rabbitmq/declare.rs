//! Topology on RabbitMQ: which queues and exchanges stand for it, with which properties.
//!
//! The properties are chosen to mean the same from 3.10 to 4.x: nothing is left to a default that changed.
//! Properties of an existing queue cannot be changed; changing them here asks every operator to delete queues.

use lapin::options::{
    ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, ErrorKind, ExchangeKind};

use super::short;
use crate::limits::{DEAD_LETTERS_MAX, QUEUE_MESSAGES_MAX, SUBSCRIPTION_MESSAGES_MAX};
use crate::{BrokerError, Topology, TransientQueue, WorkQueue, dead_letter_queue};

/// AMQP reply codes.
const ACCESS_REFUSED: u16 = 403;
const NOT_FOUND: u16 = 404;
const PRECONDITION_FAILED: u16 = 406;

/// Declares everything in `topology` on a channel of its own: the first error closes it.
pub(super) async fn declare(channel: Channel, topology: &Topology) -> Result<(), BrokerError> {
    let channel = &channel;
    let dead_letters = &topology.dead_letter_exchange;
    if !topology.work.is_empty() {
        exchange(channel, dead_letters, ExchangeKind::Direct).await?;
    }
    for work in &topology.work {
        let name = dead_letters_of(channel, &work.name).await?;
        // RabbitMQ is given the dead-letter queue's name as the key when it dead-letters.
        bind(channel, &name, dead_letters, &name).await?;
        queue(channel, &work.name, work_arguments(work, dead_letters)).await?;
    }
    for transient in &topology.transient {
        // Only for what its consumer cannot read. What ages or is dropped is not worth keeping.
        dead_letters_of(channel, &transient.name).await?;
        queue(channel, &transient.name, transient_arguments(transient)).await?;
    }
    for fanout in &topology.fanouts {
        exchange(channel, fanout, ExchangeKind::Fanout).await?;
    }
    Ok(())
}

/// Declares the queues of the release before this one.
pub(super) async fn declare_former(channel: Channel, topology: &Topology) -> Result<(), BrokerError> {
    for former in &topology.former {
        dead_letters_of(&channel, &former.name).await?;
        queue(&channel, &former.name, former_arguments(former)).await?;
    }
    Ok(())
}

/// Removes everything in `topology`. What is not there is no error.
pub(super) async fn remove(channel: Channel, topology: &Topology) -> Result<(), BrokerError> {
    for name in topology.queues() {
        for name in [name, &dead_letter_queue(name)] {
            let removed = channel.queue_delete(short(name)?, QueueDeleteOptions::default()).await;
            removed.map_err(|source| failed(name, source))?;
        }
    }
    let dead_letters = (!topology.dead_letter_exchange.is_empty()).then_some(&topology.dead_letter_exchange);
    for name in topology.fanouts.iter().chain(dead_letters) {
        let removed = channel.exchange_delete(short(name)?, ExchangeDeleteOptions::default()).await;
        removed.map_err(|source| failed(name, source))?;
    }
    Ok(())
}

/// Declares a queue that lives as long as this connection, fed by `fanout`.
pub(super) async fn subscription(channel: &Channel, name: &str, fanout: &str) -> Result<(), BrokerError> {
    let options = QueueDeclareOptions::exclusive().auto_delete();
    let arguments = bounded(SUBSCRIPTION_MESSAGES_MAX, "drop-head");
    let declared = channel.queue_declare(short(name)?, options, arguments).await;
    declared.map_err(|source| failed(name, source))?;
    bind(channel, name, fanout, "").await
}

/// What an error of an operation on queue or exchange `name` means.
pub(super) fn failed(name: &str, source: lapin::Error) -> BrokerError {
    let name = name.to_owned();
    match source.kind() {
        ErrorKind::ProtocolError(error) if error.get_id() == NOT_FOUND => BrokerError::NotDeclared { name },
        ErrorKind::ProtocolError(error) if error.get_id() == PRECONDITION_FAILED => {
            BrokerError::Conflict { name, source }
        }
        ErrorKind::ProtocolError(error) if error.get_id() == ACCESS_REFUSED => {
            BrokerError::Forbidden { name, source }
        }
        _ => BrokerError::Failed { doing: format!("using {name} on the broker"), source },
    }
}

async fn exchange(channel: &Channel, name: &str, kind: ExchangeKind) -> Result<(), BrokerError> {
    let options = ExchangeDeclareOptions { durable: true, ..Default::default() };
    let declared = channel.exchange_declare(short(name)?, kind, options, FieldTable::default()).await;
    declared.map_err(|source| failed(name, source))
}

async fn queue(channel: &Channel, name: &str, arguments: FieldTable) -> Result<(), BrokerError> {
    let declared = channel.queue_declare(short(name)?, QueueDeclareOptions::durable(), arguments).await;
    declared.map(drop).map_err(|source| failed(name, source))
}

/// Declares the dead-letter queue of the queue `name`, and gives its name.
async fn dead_letters_of(channel: &Channel, name: &str) -> Result<String, BrokerError> {
    let name = dead_letter_queue(name);
    queue(channel, &name, dead_letter_arguments()).await?;
    Ok(name)
}

async fn bind(channel: &Channel, queue: &str, exchange: &str, key: &str) -> Result<(), BrokerError> {
    let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
    let bound = channel.queue_bind(short(queue)?, short(exchange)?, short(key)?, options, arguments).await;
    bound.map_err(|source| failed(queue, source))
}

/// A quorum queue: replicated, and the only kind that counts redeliveries.
fn work_arguments(work: &WorkQueue, dead_letter_exchange: &str) -> FieldTable {
    // At-least-once dead-lettering requires that a full queue refuses.
    let mut arguments = bounded(QUEUE_MESSAGES_MAX, "reject-publish");
    text(&mut arguments, "x-queue-type", "quorum");
    // Without a limit before 4.0, 20 since: never left to the default.
    delivery_limit(&mut arguments, work.delivery_limit);
    text(&mut arguments, "x-dead-letter-exchange", dead_letter_exchange);
    text(&mut arguments, "x-dead-letter-routing-key", &dead_letter_queue(&work.name));
    text(&mut arguments, "x-dead-letter-strategy", "at-least-once");
    arguments
}

fn dead_letter_arguments() -> FieldTable {
    let mut arguments = bounded(DEAD_LETTERS_MAX, "drop-head");
    text(&mut arguments, "x-queue-type", "quorum");
    // 4.x would drop a dead letter that somebody looked at 20 times.
    delivery_limit(&mut arguments, u32::MAX);
    arguments
}

/// A quorum queue: it is there for as long as most nodes are.
fn transient_arguments(transient: &TransientQueue) -> FieldTable {
    let mut arguments = ageing(transient);
    text(&mut arguments, "x-queue-type", "quorum");
    // Who reads it may come and go: age is the limit.
    delivery_limit(&mut arguments, u32::MAX);
    arguments
}

/// A classic queue, declared durable although its messages are not: 4.x gives up transient shared queues.
fn former_arguments(former: &TransientQueue) -> FieldTable {
    let mut arguments = ageing(former);
    text(&mut arguments, "x-queue-type", "classic");
    arguments
}

fn ageing(transient: &TransientQueue) -> FieldTable {
    let mut arguments = bounded(transient.max_messages, "drop-head");
    let max_age_ms = i64::try_from(transient.max_age.as_millis()).unwrap_or(i64::MAX);
    arguments.insert(ShortString::from("x-message-ttl"), AMQPValue::LongLongInt(max_age_ms));
    arguments
}

fn bounded(max_messages: u32, when_full: &str) -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert(ShortString::from("x-max-length"), AMQPValue::LongLongInt(max_messages.into()));
    text(&mut arguments, "x-overflow", when_full);
    arguments
}

fn delivery_limit(arguments: &mut FieldTable, returns: u32) {
    arguments.insert(ShortString::from("x-delivery-limit"), AMQPValue::LongLongInt(returns.into()));
}

fn text(arguments: &mut FieldTable, key: &'static str, value: &str) {
    arguments.insert(ShortString::from(key), AMQPValue::LongString(value.into()));
}
