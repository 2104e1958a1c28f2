//! Faults of the broker itself. Each test harms a node of its own.

use anyhow::{Context, Result};
use backstitch_broker::{Acked, Broker, ConnectionState, Unconfirmed};
use backstitch_tests::message::{message, next, text};
use backstitch_tests::rabbitmq::RabbitMq as Node;
use backstitch_tests::wait::soon;

use crate::world::{World, disconnected, take};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_survive_a_restart_and_a_crash_of_the_broker() -> Result<()> {
    let mut node = Node::start().await?;
    let world = World::at(&node.url()).await?;
    let mut consumer = world.consumer().await?;
    world.send("held").await?;
    let held = next(&mut consumer).await?;

    node.stop().await?;
    world.state(disconnected).await?;
    node.restart().await?;
    world.state(ConnectionState::is_connected).await?;
    let again = next(&mut consumer).await?;
    assert_eq!((text(&again).as_str(), again.redelivered), ("held", true));
    assert_eq!(held.acker.ack().await, Acked::Lost);
    assert_eq!(again.acker.ack().await, Acked::Done);

    world.send("confirmed").await?;
    drop(consumer);
    node.kill().await?;
    world.state(disconnected).await?;
    node.restart().await?;
    let mut consumer = world.consumer().await?;
    assert_eq!(take(&mut consumer).await?, "confirmed");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocked_broker_is_reported_and_consuming_goes_on() -> Result<()> {
    let node = Node::start().await?;
    let world = World::at(&node.url()).await?;
    world.send("before").await?;
    let mut consumer = world.consumer().await?;
    let publisher = world.broker.publisher().await?;

    node.ctl(["set_vm_memory_high_watermark", "absolute", "1000000"]).await?;
    // RabbitMQ tells a connection that it is blocked when that connection publishes.
    let confirm = publisher.publish(message(&world.queue, "blocked")).await?;
    let state = world.state(|state| matches!(state, ConnectionState::Blocked { .. })).await?;
    let ConnectionState::Blocked { reason } = state else { anyhow::bail!("{state:?}") };
    assert!(reason.contains("memory"), "{reason}");
    assert_eq!(take(&mut consumer).await?, "before");
    world.broker.depth(&world.queue).await.context("looking at a queue while publishers are blocked")?;

    node.ctl(["set_vm_memory_high_watermark", "absolute", "512MB"]).await?;
    world.state(ConnectionState::is_connected).await?;
    soon(confirm).await??;
    assert_eq!(take(&mut consumer).await?, "blocked");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_broker_is_given_up_and_found_again() -> Result<()> {
    let node = Node::start().await?;
    let world = World::at(&format!("{}?heartbeat=1", node.url())).await?;
    let publisher = world.broker.publisher().await?;
    node.freeze()?;
    let confirm = publisher.publish(message(&world.queue, "frozen")).await?;
    world.state(disconnected).await?;
    assert_eq!(soon(confirm).await?, Err(Unconfirmed::Lost));
    node.thaw()?;
    world.state(ConnectionState::is_connected).await?;
    world.send("thawed").await?;
    let mut consumer = world.consumer().await?;
    while take(&mut consumer).await? != "thawed" {}
    Ok(())
}
