//! What is refused, what is dropped, and what can be seen of it.

use anyhow::Result;
use backstitch_broker::{BrokerError, MESSAGE_BYTES_MAX, Outgoing, QueueDepth, Target};
use backstitch_tests::message::{message, next};
use backstitch_tests::wait::{SOON, soon, wait_for};

use crate::world::{World, take};

pub(crate) async fn what_nobody_declared_is_refused(world: World) -> Result<()> {
    let missing = format!("{}-missing", world.queue);
    let not_declared = |error: Option<BrokerError>| match error {
        Some(error @ BrokerError::NotDeclared { .. }) => {
            assert!(error.is_permanent());
            assert!(error.to_string().contains(&missing), "{error}");
        }
        other => panic!("{other:?}"),
    };
    let publisher = world.publisher().await?;
    not_declared(publisher.publish(message(&missing, "lost")).await.err());
    let to_fanout = Outgoing { target: Target::Fanout(missing.clone()), ..message("", "lost") };
    not_declared(publisher.publish(to_fanout).await.err());
    not_declared(world.broker.consume(&missing, 1).await.err());
    not_declared(world.broker.subscribe(&missing).await.err());
    not_declared(world.broker.depth(&missing).await.err());
    // None of it harmed the connection.
    world.send(["marker"]).await?;
    assert_eq!(take(&mut world.consumer().await?).await?, ["marker"]);
    Ok(())
}

pub(crate) async fn the_largest_message_passes_and_a_larger_one_is_refused(world: World) -> Result<()> {
    let publisher = world.publisher().await?;
    let largest = Outgoing { body: vec![1; MESSAGE_BYTES_MAX], ..message(&world.queue, "largest") };
    let larger = Outgoing { body: vec![1; MESSAGE_BYTES_MAX + 1], ..message(&world.queue, "larger") };
    let refused = publisher.publish(larger).await.err();
    assert!(matches!(refused, Some(BrokerError::TooLarge { .. })), "{refused:?}");
    soon(publisher.publish(largest).await?).await??;
    let got = next(&mut world.consumer().await?).await?;
    assert_eq!(got.body.len(), MESSAGE_BYTES_MAX);
    Ok(())
}

pub(crate) async fn a_transient_queue_drops_its_oldest_messages(world: World) -> Result<()> {
    let publisher = world.publisher().await?;
    for body in ["0", "1", "2", "3", "4"] {
        let sent = Outgoing { persistent: false, ..message(&world.transient, body) };
        soon(publisher.publish(sent).await?).await??;
    }
    let mut consumer = world.broker.consume(&world.transient, 10).await?;
    assert_eq!(take(&mut consumer).await?, ["2", "3", "4"]);
    Ok(())
}

pub(crate) async fn a_transient_queue_drops_old_messages(world: World) -> Result<()> {
    let sent = Outgoing { persistent: false, ..message(&world.short_lived, "old") };
    soon(world.publisher().await?.publish(sent).await?).await??;
    wait_for("the message to expire", SOON, async || {
        let depth = world.broker.depth(&world.short_lived).await.ok()?;
        (depth.ready == 0).then_some(())
    })
    .await
}

pub(crate) async fn depth_counts_ready_messages_and_consumers(world: World) -> Result<()> {
    let expect = async |ready, consumers| {
        let expected = QueueDepth { ready, consumers };
        wait_for(&format!("{expected:?}"), SOON, async || {
            (world.broker.depth(&world.queue).await.ok()? == expected).then_some(())
        })
        .await
    };
    expect(0, 0).await?;
    world.send(["0", "1", "2"]).await?;
    expect(3, 0).await?;
    let mut consumer = world.broker.consume(&world.queue, 1).await?;
    let held = next(&mut consumer).await?;
    expect(2, 1).await?;
    let _ = held.acker.requeue().await;
    drop(consumer);
    expect(3, 0).await
}

pub(crate) async fn declaring_twice_is_harmless(world: World) -> Result<()> {
    world.send(["kept"]).await?;
    world.broker.declare(&world.topology).await?;
    assert_eq!(take(&mut world.consumer().await?).await?, ["kept"]);
    Ok(())
}
