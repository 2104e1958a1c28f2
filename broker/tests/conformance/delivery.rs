//! From the publisher to the consumer, and what the consumer decides.

use std::collections::BTreeMap;

use anyhow::Result;
use backstitch_broker::{Acked, AckedAll, Acker, BrokerError, ConnectionState, Outgoing, trace_context};
use backstitch_tests::message::{message, next, text};
use backstitch_tests::wait::{SOON, soon, wait_for};
use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};

use crate::world::{World, take};

pub(crate) async fn a_confirmed_message_arrives_as_it_was_sent(world: World) -> Result<()> {
    let headers = BTreeMap::from([("plain".into(), "value".into()), ("empty".into(), String::new())]);
    let headers: BTreeMap<String, String> =
        headers.into_iter().chain([("unicode-ß".to_owned(), "zürich — 東京".to_owned())]).collect();
    let publisher = world.publisher().await?;
    let mut consumer = world.consumer().await?;
    for (body, persistent) in [(vec![0, 255, 10, 13, 0], true), (Vec::new(), true), (vec![7; 300_000], false)]
    {
        let sent = Outgoing {
            body: body.clone(),
            headers: headers.clone(),
            message_id: format!("id-{}", body.len()),
            persistent,
            ..message(&world.queue, "")
        };
        soon(publisher.publish(sent).await?).await??;
        let got = next(&mut consumer).await?;
        assert_eq!(got.body, body);
        assert_eq!(got.headers, headers);
        assert_eq!(got.message_id, format!("id-{}", body.len()));
        assert!(!got.redelivered);
        assert_eq!(got.acker.ack().await, Acked::Done);
    }
    Ok(())
}

pub(crate) async fn a_trace_context_crosses_the_broker(world: World) -> Result<()> {
    let (trace, span) = (TraceId::from_bytes([3; 16]), SpanId::from_bytes([5; 8]));
    let state: TraceState = "vendor=value".parse()?;
    let span = SpanContext::new(trace, span, TraceFlags::SAMPLED, true, state);
    let mut sent = message(&world.queue, "traced");
    trace_context::inject(&Context::new().with_remote_span_context(span.clone()), &mut sent.headers);
    soon(world.publisher().await?.publish(sent).await?).await??;
    let got = next(&mut world.consumer().await?).await?;
    assert_eq!(trace_context::extract(&got.headers).span().span_context(), &span);
    Ok(())
}

pub(crate) async fn messages_of_one_publisher_keep_their_order(world: World) -> Result<()> {
    const MESSAGES: usize = 2_000;
    let publisher = world.publisher().await?;
    let mut confirms = Vec::new();
    for number in 0..MESSAGES {
        confirms.push(publisher.publish(message(&world.queue, &number.to_string())).await?);
    }
    for confirm in confirms {
        soon(confirm).await??;
    }
    let mut consumer = world.consumer().await?;
    for number in 0..MESSAGES {
        assert_eq!(take::<1>(&mut consumer).await?, [number.to_string()]);
    }
    Ok(())
}

pub(crate) async fn an_acknowledged_message_is_gone(world: World) -> Result<()> {
    world.send(["done", "open"]).await?;
    let mut first = world.consumer().await?;
    let (done, open) = (next(&mut first).await?, next(&mut first).await?);
    assert_eq!(done.acker.ack().await, Acked::Done);
    drop(open);
    first.cancel().await;
    world.send(["marker"]).await?;
    let mut second = world.consumer().await?;
    let got: [String; 2] = take(&mut second).await?;
    assert_eq!(got, ["open", "marker"]);
    Ok(())
}

pub(crate) async fn a_requeued_message_comes_back_first_and_marked(world: World) -> Result<()> {
    world.send(["returned"]).await?;
    let mut consumer = world.broker.consume(&world.queue, 1).await?;
    let delivery = next(&mut consumer).await?;
    assert!(!delivery.redelivered);
    // Behind it in the queue: with a prefetch of one it has not been delivered.
    world.send(["marker"]).await?;
    assert_eq!(delivery.acker.requeue().await, Acked::Done);
    let again = next(&mut consumer).await?;
    assert_eq!((text(&again).as_str(), again.redelivered), ("returned", true));
    assert_eq!(again.acker.ack().await, Acked::Done);
    let marker = next(&mut consumer).await?;
    assert_eq!((text(&marker).as_str(), marker.redelivered), ("marker", false));
    Ok(())
}

pub(crate) async fn an_acker_dropped_undecided_gives_its_message_back(world: World) -> Result<()> {
    world.send(["forgotten"]).await?;
    let mut consumer = world.broker.consume(&world.queue, 1).await?;
    drop(next(&mut consumer).await?);
    let again = next(&mut consumer).await?;
    assert_eq!((text(&again).as_str(), again.redelivered), ("forgotten", true));
    Ok(())
}

pub(crate) async fn acknowledging_many_leaves_out_the_ones_in_between(world: World) -> Result<()> {
    world.send(["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]).await?;
    let mut consumer = world.consumer().await?;
    let mut deliveries = Vec::new();
    for _ in 0..10 {
        deliveries.push(next(&mut consumer).await?);
    }
    let (undecided, decided): (Vec<_>, Vec<_>) =
        deliveries.into_iter().partition(|delivery| ["3", "6"].contains(&text(delivery).as_str()));
    // In any order.
    let ackers: Vec<Acker> = decided.into_iter().rev().map(|delivery| delivery.acker).collect();
    assert_eq!(Acker::ack_all(ackers).await, AckedAll { done: 8, lost: 0 });
    for delivery in undecided {
        assert_eq!(delivery.acker.requeue().await, Acked::Done);
    }
    let mut back: [String; 2] = take(&mut consumer).await?;
    back.sort();
    assert_eq!(back, ["3", "6"]);
    world.send(["marker"]).await?;
    assert_eq!(take(&mut consumer).await?, ["marker"]);
    Ok(())
}

pub(crate) async fn a_consumer_holds_no_more_than_its_prefetch(world: World) -> Result<()> {
    world.send(["0", "1", "2", "3", "4"]).await?;
    let mut modest = world.broker.consume(&world.queue, 2).await?;
    let held = [next(&mut modest).await?, next(&mut modest).await?];
    assert_eq!(held.each_ref().map(text), ["0", "1"]);
    // All others are there for somebody else.
    let mut other = world.broker.consume(&world.queue, 100).await?;
    let got: [String; 3] = take(&mut other).await?;
    assert_eq!(got, ["2", "3", "4"]);
    // And a decision makes room.
    drop(other);
    let [first, _second] = held;
    assert_eq!(first.acker.ack().await, Acked::Done);
    world.send(["5"]).await?;
    assert_eq!(text(&next(&mut modest).await?), "5");
    Ok(())
}

pub(crate) async fn a_cancelled_consumer_hands_out_what_it_had_not_seen(world: World) -> Result<()> {
    world.send(["0", "1", "2", "3"]).await?;
    let mut first = world.consumer().await?;
    let held = next(&mut first).await?;
    let unseen = first.cancel().await;
    assert!(unseen.iter().all(|delivery| !delivery.redelivered), "nobody has seen them: {unseen:?}");
    drop(unseen);
    assert!(soon(first.next()).await?.is_none());
    let mut second = world.consumer().await?;
    let mut rest: [String; 3] = take(&mut second).await?;
    rest.sort();
    assert_eq!(rest, ["1", "2", "3"]);
    assert_eq!(held.acker.ack().await, Acked::Done, "what was handed out can still be acknowledged");
    drop(first);
    world.send(["marker"]).await?;
    assert_eq!(take(&mut second).await?, ["marker"]);
    Ok(())
}

pub(crate) async fn a_dropped_consumer_hands_back_what_it_had_not_seen(world: World) -> Result<()> {
    world.send(["0", "1", "2", "3"]).await?;
    let mut first = world.consumer().await?;
    let held = next(&mut first).await?;
    drop(first);
    let mut second = world.consumer().await?;
    let mut rest: [String; 3] = take(&mut second).await?;
    rest.sort();
    assert_eq!(rest, ["1", "2", "3"]);
    assert_eq!(held.acker.ack().await, Acked::Done, "what was handed out can still be acknowledged");
    world.send(["marker"]).await?;
    assert_eq!(take(&mut second).await?, ["marker"]);
    Ok(())
}

pub(crate) async fn dropped_confirms_cost_no_message(world: World) -> Result<()> {
    // More than any window holds: it must move on although nobody asks.
    const MESSAGES: usize = 10_000;
    let publisher = world.publisher().await?;
    for number in 0..MESSAGES {
        drop(soon(publisher.publish(message(&world.queue, &number.to_string()))).await??);
    }
    drop(publisher);
    let all = wait_for("all messages to arrive", SOON, async || {
        let depth = world.broker.depth(&world.queue).await.ok()?;
        (depth.ready == MESSAGES as u64).then_some(())
    });
    all.await
}

pub(crate) async fn closing_ends_consumers_and_publishers(world: World) -> Result<()> {
    let publisher = world.publisher().await?;
    let mut consumer = world.consumer().await?;
    assert_eq!(*world.broker.state().borrow(), ConnectionState::Connected);
    soon(world.broker.close()).await?;
    assert!(soon(consumer.next()).await?.is_none());
    let refused = soon(publisher.publish(message(&world.queue, "late"))).await?;
    assert!(matches!(refused.err(), Some(BrokerError::Closed)));
    assert!(matches!(world.broker.publisher().await.err(), Some(BrokerError::Closed)));
    assert!(matches!(soon(world.broker.declare(&world.topology)).await?, Err(BrokerError::Closed)));
    assert!(matches!(*world.broker.state().borrow(), ConnectionState::Disconnected { .. }));
    Ok(())
}
