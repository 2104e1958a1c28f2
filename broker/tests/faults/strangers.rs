//! Messages that we did not write.

use anyhow::Result;
use backstitch_broker::{Acked, Broker, MESSAGE_BYTES_MAX, header};
use backstitch_tests::message::next;
use backstitch_tests::shared;
use lapin::options::BasicPublishOptions;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Connection, ConnectionProperties};

use crate::world::{World, take};

/// Publishes as any client in any language may.
async fn publish_raw(queue: &str, body: &[u8], properties: BasicProperties) -> Result<()> {
    let connection = Connection::connect(&shared::amqp_url()?, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let options = BasicPublishOptions::default();
    channel.basic_publish("".into(), queue.into(), options, body, properties).await?.await?;
    connection.close(200, "done".into()).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_oversized_message_of_a_stranger_is_dead_lettered_and_never_seen() -> Result<()> {
    let world = World::shared().await?;
    let mut consumer = world.consumer().await?;
    publish_raw(&world.queue, &vec![1; MESSAGE_BYTES_MAX + 1], BasicProperties::default()).await?;
    world.send("fine").await?;
    assert_eq!(take(&mut consumer).await?, "fine");
    let dead = next(&mut world.broker.consume(&world.dead, 1).await?).await?;
    assert_eq!(dead.body.len(), MESSAGE_BYTES_MAX + 1);
    assert_eq!(dead.headers[header::REASON], "8389633 bytes are more than the limit of 8389632");
    assert_eq!(dead.acker.ack().await, Acked::Done);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_that_are_not_text_are_left_out_and_the_rest_arrives() -> Result<()> {
    let world = World::shared().await?;
    let mut headers = FieldTable::default();
    headers.insert("number".into(), AMQPValue::LongInt(7));
    headers.insert("bytes".into(), AMQPValue::LongString(vec![0xff, 0xfe].into()));
    headers.insert("table".into(), AMQPValue::FieldTable(FieldTable::default()));
    headers.insert("text".into(), AMQPValue::LongString("kept".into()));
    publish_raw(&world.queue, b"stranger", BasicProperties::default().with_headers(headers)).await?;
    let mut consumer = world.consumer().await?;
    let delivery = next(&mut consumer).await?;
    assert_eq!(delivery.headers.into_iter().collect::<Vec<_>>(), [("text".to_owned(), "kept".to_owned())]);
    assert_eq!((delivery.body.as_slice(), delivery.message_id.as_str()), (b"stranger".as_slice(), ""));
    let _ = delivery.acker.ack().await;
    Ok(())
}
