//! Messages that nobody can process.

use anyhow::Result;
use backstitch_broker::{Acked, Outgoing, Target, dead_letter_queue, header};
use backstitch_tests::message::{message, next, text};
use backstitch_tests::wait::soon;

use crate::world::{DELIVERY_LIMIT, World, take};

pub(crate) async fn a_dead_letter_keeps_its_content_and_says_why(world: World) -> Result<()> {
    let mut sent = Outgoing { body: vec![0xff, 0, 0xfe], ..message(&world.queue, "undecodable") };
    sent.headers.insert("traceparent".into(), "00-1-2-01".into());
    soon(world.publisher().await?.publish(sent).await?).await??;
    let mut consumer = world.consumer().await?;
    let delivery = next(&mut consumer).await?;
    assert_eq!(soon(delivery.dead_letter("not a dispatch: bad magic — 東京")).await?, Acked::Done);

    let dead = next(&mut world.broker.consume(&world.dead, 1).await?).await?;
    assert_eq!(dead.body, [0xff, 0, 0xfe]);
    assert_eq!(dead.message_id, "undecodable");
    assert_eq!(dead.headers["traceparent"], "00-1-2-01");
    assert_eq!(dead.headers[header::REASON], "not a dispatch: bad magic — 東京");
    assert_eq!(dead.headers[header::SOURCE_QUEUE], world.queue);

    world.send(["marker"]).await?;
    assert_eq!(take(&mut consumer).await?, ["marker"], "the consumer lives on, and the message is gone");
    Ok(())
}

pub(crate) async fn a_long_reason_is_cut(world: World) -> Result<()> {
    world.send(["bad"]).await?;
    let delivery = next(&mut world.consumer().await?).await?;
    assert_eq!(soon(delivery.dead_letter(&"x".repeat(100_000))).await?, Acked::Done);
    let dead = next(&mut world.broker.consume(&world.dead, 1).await?).await?;
    assert_eq!(dead.headers[header::REASON], "x".repeat(2048));
    Ok(())
}

pub(crate) async fn a_message_that_is_returned_too_often_is_dead_lettered(world: World) -> Result<()> {
    world.send(["poison", "marker"]).await?;
    let mut consumer = world.broker.consume(&world.queue, 1).await?;
    for returns in 0..=DELIVERY_LIMIT {
        let delivery = next(&mut consumer).await?;
        assert_eq!((text(&delivery).as_str(), delivery.redelivered), ("poison", returns > 0));
        assert_eq!(delivery.acker.requeue().await, Acked::Done);
    }
    assert_eq!(take(&mut consumer).await?, ["marker"]);
    let dead = next(&mut world.broker.consume(&world.dead, 1).await?).await?;
    assert_eq!(text(&dead), "poison");
    assert_eq!(dead.headers[header::BROKER_REASON], "delivery_limit");
    Ok(())
}

pub(crate) async fn a_dead_letter_can_be_put_back_for_ever(world: World) -> Result<()> {
    world.send(["bad"]).await?;
    let delivery = next(&mut world.consumer().await?).await?;
    assert_eq!(soon(delivery.dead_letter("first look")).await?, Acked::Done);
    // People look at dead letters and put them back, more often than any limit.
    let mut dead = world.broker.consume(&world.dead, 1).await?;
    for _ in 0..=2 * DELIVERY_LIMIT {
        assert_eq!(next(&mut dead).await?.acker.requeue().await, Acked::Done);
    }
    assert_eq!(take(&mut dead).await?, ["bad"]);
    Ok(())
}

pub(crate) async fn what_cannot_be_read_in_a_transient_queue_is_dead_lettered(world: World) -> Result<()> {
    let publisher = world.publisher().await?;
    soon(publisher.publish(message(&world.transient, "garbage")).await?).await??;
    let mut consumer = world.broker.consume(&world.transient, 1).await?;
    assert_eq!(soon(next(&mut consumer).await?.dead_letter("not a heartbeat")).await?, Acked::Done);
    let dead = next(&mut world.broker.consume(&dead_letter_queue(&world.transient), 1).await?).await?;
    assert_eq!(text(&dead), "garbage");
    assert_eq!(dead.headers[header::REASON], "not a heartbeat");
    Ok(())
}

pub(crate) async fn what_cannot_be_read_in_a_subscription_is_dropped(world: World) -> Result<()> {
    let mut subscriber = world.broker.subscribe(&world.fanout).await?;
    let publisher = world.publisher().await?;
    let to_all = |body| Outgoing { target: Target::Fanout(world.fanout.clone()), ..message("", body) };
    for body in ["garbage", "marker"] {
        soon(publisher.publish(to_all(body)).await?).await??;
    }
    assert_eq!(soon(next(&mut subscriber).await?.dead_letter("not for us")).await?, Acked::Done);
    assert_eq!(take(&mut subscriber).await?, ["marker"]);
    Ok(())
}
