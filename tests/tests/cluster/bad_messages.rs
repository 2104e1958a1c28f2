//! Strangers put garbage into every queue. It ends in the dead-letter queue with the reason, and the run goes on. What
//! is said to all workers at once has no such queue: each worker logs it.

use anyhow::{Result, ensure};
use backstitch_broker::Target;
use backstitch_proto::message::{
    CONTROL_FANOUT, FORMER_HEARTBEAT_QUEUE, HEARTBEAT_QUEUE, REPORT_QUEUE, task_queue,
};
use backstitch_tests::stranger::Stranger;

use crate::world::{PATIENCE, World};

/// Not ours; ours but of a version that nobody knows; ours but cut.
fn garbage() -> [Vec<u8>; 3] {
    [b"\x00\xffgarbage".to_vec(), b"BS\x01\xc8".to_vec(), b"BS\x01\x01\x05".to_vec()]
}

#[tokio::test]
async fn garbage_in_every_queue_is_dead_lettered_with_the_reason_and_stops_nobody() -> Result<()> {
    let mut world = World::start(1).await?;
    // A fan-out reaches those who listen: a worker says that it lives after it has begun to.
    world.until_workers(3).await?;
    let stranger = Stranger::at(&world.rabbitmq.url()).await?;
    let tasks = task_queue("default");
    let queues = [tasks.as_str(), REPORT_QUEUE, HEARTBEAT_QUEUE, FORMER_HEARTBEAT_QUEUE];
    for queue in queues {
        stranger.send(&Target::Queue(queue.to_owned()), garbage()).await?;
    }
    stranger.send(&Target::Fanout(CONTROL_FANOUT.to_owned()), garbage()).await?;
    for worker in &world.workers {
        worker.line("a control message cannot be read", PATIENCE).await?;
    }
    let run = world.submit_all().await?;
    world.until_done(&run).await?;
    world.audit().await?;
    for queue in queues {
        let reasons = stranger.reasons(queue, garbage().len()).await?;
        ensure!(
            reasons.iter().all(|reason| !reason.is_empty()),
            "{queue}: a dead letter without a reason: {reasons:?}"
        );
    }
    stranger.leave().await;
    for worker in &mut world.workers {
        ensure!(worker.ended().is_none(), "a worker ended:\n{}", worker.output());
    }
    ensure!(world.output().exists(), "the commands left their results");
    Ok(())
}
