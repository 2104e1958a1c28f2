//! One message to everybody who listens.

use anyhow::Result;
use backstitch_broker::{Consumer, Outgoing, Target};
use backstitch_tests::message::message;
use backstitch_tests::wait::soon;

use crate::world::{World, take};

fn to_all(world: &World, body: &str) -> Outgoing {
    Outgoing { target: Target::Fanout(world.fanout.clone()), persistent: false, ..message("", body) }
}

pub(crate) async fn every_subscriber_receives_every_message(world: World) -> Result<()> {
    let mut subscribers: Vec<Box<dyn Consumer>> = Vec::new();
    for _ in 0..3 {
        subscribers.push(world.broker.subscribe(&world.fanout).await?);
    }
    let publisher = world.publisher().await?;
    for body in ["first", "second"] {
        soon(publisher.publish(to_all(&world, body)).await?).await??;
    }
    for subscriber in &mut subscribers {
        assert_eq!(take(subscriber).await?, ["first", "second"]);
    }
    Ok(())
}

pub(crate) async fn a_fanout_without_subscribers_confirms(world: World) -> Result<()> {
    soon(world.publisher().await?.publish(to_all(&world, "unheard")).await?).await??;
    // Who comes later has missed it.
    let mut late = world.broker.subscribe(&world.fanout).await?;
    soon(world.publisher().await?.publish(to_all(&world, "marker")).await?).await??;
    assert_eq!(take(&mut late).await?, ["marker"]);
    Ok(())
}

pub(crate) async fn a_subscriber_that_left_is_forgotten(world: World) -> Result<()> {
    let leaving = world.broker.subscribe(&world.fanout).await?;
    let mut staying = world.broker.subscribe(&world.fanout).await?;
    drop(leaving);
    soon(world.publisher().await?.publish(to_all(&world, "news")).await?).await??;
    assert_eq!(take(&mut staying).await?, ["news"]);
    Ok(())
}
