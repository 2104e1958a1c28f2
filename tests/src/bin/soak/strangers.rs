//! Somebody at the broker who is none of ours: sends what nobody can read, and what was sent already.

use std::time::Duration;

use anyhow::Result;
use backstitch_broker::Target;
use backstitch_proto::message::{
    CONTROL_FANOUT, FORMER_HEARTBEAT_QUEUE, HEARTBEAT_QUEUE, REPORT_QUEUE, task_queue,
};
use backstitch_tests::stranger::Stranger;
use rand::Rng;

use super::fault::Strike;

/// The longest message that nobody can read.
const GARBAGE_BYTES_MAX: usize = 2_000;

/// So many of them for everybody who reads.
const GARBAGE: usize = 3;

/// Dispatches that are in the hands of a stranger before they come back, and how long they are waited for.
const TAKEN_MAX: u16 = 20;
const TAKEN_WITHIN: Duration = Duration::from_secs(3);

pub(super) async fn send_garbage(strike: &mut Strike<'_>) -> Result<()> {
    let stranger = Stranger::at(&strike.cluster.broker_url()).await?;
    let queues = [&*task_queue("default"), REPORT_QUEUE, HEARTBEAT_QUEUE, FORMER_HEARTBEAT_QUEUE]
        .map(|name| Target::Queue(name.to_owned()));
    for target in queues.into_iter().chain([Target::Fanout(CONTROL_FANOUT.to_owned())]) {
        let garbage = std::iter::repeat_with(|| {
            let mut body = vec![0; strike.rng.random_range(0..GARBAGE_BYTES_MAX)];
            strike.rng.fill(&mut body[..]);
            body
        });
        stranger.send(&target, garbage.take(GARBAGE)).await?;
    }
    stranger.leave().await;
    Ok(())
}

/// Takes dispatches that were for workers, and puts each back several times. False where none came.
pub(super) async fn send_copies(strike: &mut Strike<'_>) -> Result<bool> {
    let stranger = Stranger::at(&strike.cluster.broker_url()).await?;
    let taken = stranger.triple(&task_queue("default"), TAKEN_MAX, TAKEN_WITHIN).await?;
    stranger.leave().await;
    Ok(taken > 0)
}
