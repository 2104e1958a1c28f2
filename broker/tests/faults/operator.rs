//! What people do to a running broker.

use anyhow::{Context, Result};
use backstitch_broker::{Broker, BrokerError, Outgoing, RabbitMq, Target, Topology, Unconfirmed, WorkQueue};
use backstitch_tests::message::message;
use backstitch_tests::shared;
use backstitch_tests::wait::soon;
use lapin::options::{ExchangeDeleteOptions, QueueDeleteOptions};
use lapin::{Channel, Connection, ConnectionProperties};
use uuid::Uuid;

use crate::world::{World, take};

/// A channel of somebody who may do anything.
async fn operator() -> Result<(Connection, Channel)> {
    let connection = Connection::connect(&shared::amqp_url()?, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    Ok((connection, channel))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_queue_refuses_messages_and_is_declared_again() -> Result<()> {
    let world = World::shared().await?;
    let publisher = world.broker.publisher().await?;
    let (_connection, channel) = operator().await?;
    channel.queue_delete(world.queue.as_str().into(), QueueDeleteOptions::default()).await?;
    let refused = soon(publisher.publish(message(&world.queue, "refused")).await?).await?;
    assert_eq!(refused, Err(Unconfirmed::Unroutable));
    world.send("again").await?;
    assert_eq!(take(&mut world.consumer().await?).await?, "again");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_survives_the_deletion_of_its_queue() -> Result<()> {
    let world = World::shared().await?;
    let mut consumer = world.consumer().await?;
    let (_connection, channel) = operator().await?;
    channel.queue_delete(world.queue.as_str().into(), QueueDeleteOptions::default()).await?;
    // 3.10 does not tell the consumers of a quorum queue: this one finds out when it has been idle for a while.
    let (got, sent) = tokio::join!(take(&mut consumer), world.send("after"));
    sent?;
    assert_eq!(got?, "after");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_survives_the_deletion_of_a_fanout() -> Result<()> {
    let world = World::shared().await?;
    let publisher = world.broker.publisher().await?;
    let (_connection, channel) = operator().await?;
    channel.exchange_delete(world.fanout.as_str().into(), ExchangeDeleteOptions::default()).await?;
    let to_all = || Outgoing { target: Target::Fanout(world.fanout.clone()), ..message("", "news") };
    assert_eq!(soon(publisher.publish(to_all()).await?).await?, Err(Unconfirmed::Lost));
    soon(publisher.publish(to_all()).await?).await?.context("the fan-out was declared again")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_with_other_properties_is_a_conflict_that_names_it() -> Result<()> {
    let world = World::shared().await?;
    let other = Topology {
        work: vec![WorkQueue { name: world.queue.clone(), delivery_limit: 1 }],
        dead_letter_exchange: format!("other-{}", world.fanout),
        ..Topology::default()
    };
    let error = world.broker.declare(&other).await.err().context("a conflict")?;
    assert!(matches!(&error, BrokerError::Conflict { name, .. } if *name == world.queue), "{error:?}");
    assert!(error.is_permanent());
    // It cost a channel, not the connection.
    world.send("fine").await?;
    assert_eq!(take(&mut world.consumer().await?).await?, "fine");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_or_virtual_host_is_refused_at_once_and_not_repeated() -> Result<()> {
    let url = shared::amqp_url()?;
    let wrong_password = url.replace("guest:guest", "guest:s3cret");
    let wrong_host = url.replace("%2f", "s3cret-missing");
    for (wrong, secret) in [(wrong_password, "s3cret"), (wrong_host, "guest:guest")] {
        let error = soon(RabbitMq::connect(&wrong, "stranger")).await?.err().context("a refusal")?;
        assert!(matches!(error, BrokerError::Refused { .. }), "{error:?}");
        assert!(error.is_permanent());
        assert!(!format!("{error} {error:?}").contains(secret), "{error:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_without_permission_is_told_what_is_missing() -> Result<()> {
    let name = format!("visitor-{}", Uuid::new_v4());
    shared::rabbitmqctl(["add_user", &name, "pw"]).await?;
    shared::rabbitmqctl(["set_permissions", &name, "^$", "^$", "^$"]).await?;
    let url = shared::amqp_url()?.replace("guest:guest", &format!("{name}:pw"));
    let error = World::at(&url).await.err().context("a refusal")?;
    let error = error.downcast::<BrokerError>()?;
    assert!(matches!(error, BrokerError::Forbidden { .. }), "{error:?}");
    assert!(error.is_permanent());
    Ok(())
}
