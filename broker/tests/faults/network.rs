//! Faults of the network between us and the broker.

use std::collections::BTreeSet;

use anyhow::Result;
use backstitch_broker::{
    Acked, AckedAll, Acker, Broker, ConnectionState, Outgoing, RabbitMq, Target, Unconfirmed,
};
use backstitch_tests::message::{message, next, text};
use backstitch_tests::relay::Relay;
use backstitch_tests::wait::{SOON, soon, wait_for};
use futures_util::FutureExt;

use crate::world::{World, disconnected, take};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_unacknowledged_when_the_connection_broke_comes_back() -> Result<()> {
    let (world, relay) = World::behind_relay().await?;
    for body in ["0", "1", "2", "3"] {
        world.send(body).await?;
    }
    let mut consumer = world.broker.consume(&world.queue, 3).await?;
    assert_eq!(take(&mut consumer).await?, "0");
    // The third of these comes only when the acknowledgement has reached the broker.
    let before = [next(&mut consumer).await?, next(&mut consumer).await?, next(&mut consumer).await?];

    relay.cut();
    let mut after = Vec::new();
    for _ in 0..3 {
        let delivery = next(&mut consumer).await?;
        assert!(delivery.redelivered);
        after.push(delivery);
    }
    let mut bodies: Vec<String> = after.iter().map(text).collect();
    bodies.sort();
    assert_eq!(bodies, ["1", "2", "3"]);

    // Delivery tags start again at 1 on the new channel: the old ones must not touch it.
    let [first, second, third] = before;
    assert_eq!(Acker::ack_all(vec![first.acker, second.acker]).await, AckedAll { done: 0, lost: 2 });
    assert_eq!(third.acker.ack().await, Acked::Lost);
    let after: Vec<Acker> = after.into_iter().map(|delivery| delivery.acker).collect();
    assert_eq!(Acker::ack_all(after).await, AckedAll { done: 3, lost: 0 });
    world.send("marker").await?;
    assert_eq!(take(&mut consumer).await?, "marker");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prefetch_holds_after_a_reconnect() -> Result<()> {
    let (world, relay) = World::behind_relay().await?;
    let mut modest = world.broker.consume(&world.queue, 1).await?;
    relay.cut();
    for body in ["0", "1", "2"] {
        world.send(body).await?;
    }
    let held = next(&mut modest).await?;
    let mut other = world.consumer().await?;
    let rest = BTreeSet::from([take(&mut other).await?, take(&mut other).await?]);
    assert_eq!(rest.len(), 2);
    assert!(!rest.contains(&text(&held)));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_message_is_lost_while_the_connection_breaks_again_and_again() -> Result<()> {
    const MESSAGES: usize = 3_000;
    const CUT_EVERY: usize = 500;
    let (world, relay) = World::behind_relay().await?;
    let publisher = world.broker.publisher().await?;
    let publishing = async {
        let mut open: BTreeSet<usize> = (0..MESSAGES).collect();
        let mut published = 0;
        while !open.is_empty() {
            let mut confirms = Vec::new();
            for number in &open {
                confirms
                    .push((*number, publisher.publish(message(&world.queue, &number.to_string())).await?));
                published += 1;
                if published % CUT_EVERY == 0 && published <= 2 * MESSAGES {
                    relay.cut();
                }
            }
            for (number, confirm) in confirms {
                match confirm.await {
                    Ok(()) => drop(open.remove(&number)),
                    // Published again: what arrives twice is the price.
                    Err(Unconfirmed::Lost) => {}
                    Err(other) => anyhow::bail!("{other}"),
                }
            }
        }
        Ok(())
    };
    let consuming = async {
        let mut consumer = world.broker.consume(&world.queue, 500).await?;
        let mut missing: BTreeSet<String> = (0..MESSAGES).map(|number| number.to_string()).collect();
        while !missing.is_empty() {
            let delivery = next(&mut consumer).await?;
            missing.remove(&text(&delivery));
            let _ = delivery.acker.ack().await;
        }
        Ok(())
    };
    tokio::try_join!(publishing, consuming)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishing_waits_through_an_outage() -> Result<()> {
    let (world, relay) = World::behind_relay().await?;
    let publisher = world.broker.publisher().await?;
    relay.refuse();
    world.state(disconnected).await?;
    let confirm = publisher.publish(message(&world.queue, "patient")).await?;
    relay.restore();
    soon(confirm).await??;
    world.state(ConnectionState::is_connected).await?;
    assert_eq!(take(&mut world.consumer().await?).await?, "patient");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_network_is_noticed() -> Result<()> {
    let (world, relay) = World::behind_relay().await?;
    let mut consumer = world.consumer().await?;
    relay.silence();
    let confirm = world.broker.publisher().await?.publish(message(&world.queue, "unheard")).await?;
    world.state(disconnected).await?;
    assert_eq!(soon(confirm).await?, Err(Unconfirmed::Lost));
    // The cable is back, and the old connections with it, to a broker that has given them up.
    relay.restore();
    world.state(ConnectionState::is_connected).await?;
    world.send("heard").await?;
    while take(&mut consumer).await? != "heard" {}
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_returns_after_a_reconnect() -> Result<()> {
    let (world, relay) = World::behind_relay().await?;
    let mut subscriber = world.broker.subscribe(&world.fanout).await?;
    let publisher = world.broker.publisher().await?;
    let to_all = || Outgoing { target: Target::Fanout(world.fanout.clone()), ..message("", "news") };
    relay.cut();
    // What is sent while the subscriber is away is lost to it: control messages are repeated until they took effect.
    let repeating = async {
        loop {
            if let Ok(confirm) = publisher.publish(to_all()).await {
                let _ = confirm.await;
            }
        }
    };
    tokio::select! {
        got = take(&mut subscriber) => assert_eq!(got?, "news"),
        () = repeating => {}
    }
    Ok(())
}

/// A worker with short tasks asks two consumers at once, and drops the question to the one that is slower.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_whose_caller_never_waits_for_it_returns_after_a_reconnect_all_the_same() -> Result<()> {
    let (world, relay) = World::behind_relay().await?;
    let mut consumer = world.consumer().await?;
    relay.cut();
    world.state(disconnected).await?;
    world.state(ConnectionState::is_connected).await?;
    world.send("heard").await?;
    let heard = wait_for("a delivery", SOON, async || consumer.next().now_or_never().flatten()).await?;
    assert_eq!((text(&heard).as_str(), heard.redelivered), ("heard", false));
    assert_eq!(world.broker.depth(&world.queue).await?.consumers, 1, "no attempt was left behind");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connecting_to_nobody_ends_in_an_error_without_the_password() -> Result<()> {
    let relay = Relay::to(1).await?;
    relay.refuse();
    let url = format!("amqp://user:s3cret@127.0.0.1:{}/%2f", relay.port());
    let error =
        soon(RabbitMq::connect(&url, "nobody")).await?.err().map(|error| format!("{error} {error:?}"));
    let error = error.unwrap_or_default();
    assert!(error.contains("127.0.0.1") && !error.contains("s3cret"), "{error}");
    Ok(())
}
