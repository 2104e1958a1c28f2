//! How many messages are at the broker, over time: a curve of bounded length.
//!
//! AMQP tells what no consumer has been given yet, and not what a consumer was given and has not acknowledged. That is
//! asked of those who have it: workers list what they hold in their heartbeats, and the coordinator counts the reports
//! that wait for a commit. What lies unread in a client's buffer is missing there. A heartbeat is acknowledged as soon
//! as it is read.

use anyhow::Result;
use backstitch_broker::Broker;
use backstitch_proto::message::{HEARTBEAT_QUEUE, REPORT_QUEUE, task_queue};
use serde::Serialize;
use tokio::time::Instant;

use super::bed::Bed;
use super::metrics::Scrape;
use super::project::QUEUE;
use super::servers::Servers;

/// Points of a curve at most.
const POINTS_MAX: usize = 200;

/// The queues at one moment, in messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Depth {
    /// Since the submission.
    seconds: f64,
    tasks_ready: u64,
    tasks_unacknowledged: u64,
    reports_ready: u64,
    reports_unacknowledged: u64,
    heartbeats_ready: u64,
}

impl Depth {
    /// Looks at every queue of the measurement.
    pub(super) async fn look(bed: &Bed, servers: &Servers, begin: Instant) -> Result<Self> {
        let ready = async |queue: &str| anyhow::Ok(servers.broker.depth(queue).await?.ready);
        Ok(Self {
            seconds: (begin.elapsed().as_secs_f64() * 100.0).round() / 100.0,
            tasks_ready: ready(&task_queue(QUEUE)).await?,
            tasks_unacknowledged: bed.fleet().await?.held,
            reports_ready: ready(REPORT_QUEUE).await?,
            reports_unacknowledged: Scrape::read(bed.server.url())
                .await?
                .value("backstitch_reports_unacknowledged") as u64,
            heartbeats_ready: ready(HEARTBEAT_QUEUE).await?,
        })
    }

    /// Messages that wait for a worker, and for the coordinator.
    fn waiting(&self) -> u64 {
        self.tasks_ready + self.reports_ready
    }
}

/// Looks at the queues, evenly thinned where there are many.
#[derive(Clone, Debug, Default)]
pub(super) struct Curve {
    points: Vec<Depth>,
    /// Looks so far.
    looks: usize,
    /// Of so many looks one is kept, as a power of two.
    halved: u32,
    most: u64,
}

impl Curve {
    /// Takes a look in.
    pub(super) fn push(&mut self, depth: Depth) {
        self.most = self.most.max(depth.waiting());
        if self.looks.is_multiple_of(1 << self.halved) {
            self.points.push(depth);
        }
        self.looks += 1;
        // One place is left for the end.
        if self.points.len() >= POINTS_MAX {
            let mut number = 0_usize;
            self.points.retain(|_| {
                number += 1;
                !number.is_multiple_of(2)
            });
            self.halved += 1;
        }
    }

    /// The curve with its last point, which is kept whatever is left out, and the most that waited at any look.
    pub(super) fn end(mut self, last: Depth) -> (Vec<Depth>, u64) {
        self.points.push(last);
        (self.points, self.most.max(last.waiting()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_curve_keeps_even_distances_its_end_and_its_peak() {
        let at = |second: u32| Depth {
            seconds: second.into(),
            tasks_ready: u64::from(second == 12_345) * 7,
            ..Depth::default()
        };
        let mut curve = Curve::default();
        (0..20_000).for_each(|second| curve.push(at(second)));
        let (points, most) = curve.end(at(20_000));
        assert!((POINTS_MAX / 2..=POINTS_MAX).contains(&points.len()), "{}", points.len());
        let (last, even) = points.split_last().unwrap();
        assert!(even.windows(2).all(|pair| pair[1].seconds - pair[0].seconds == 128.0), "{points:?}");
        assert_eq!((even[0].seconds, last.seconds, most), (0.0, 20_000.0, 7));
    }
}
