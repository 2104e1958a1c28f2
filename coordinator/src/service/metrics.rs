//! The instruments of the coordinator: one set, scraped at `/metrics` and pushed over OTLP alike.
//!
//! Names and attributes are few and fixed; nothing has a label per partition, per run or per worker.

use std::time::Duration;

use backstitch_broker::ConnectionState;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter};

use crate::engine::{Engine, Statistics};
use crate::ledger::Batch;

/// Instruments, and what was recorded last.
pub(super) struct Metrics {
    succeeded: Counter<u64>,
    failed: Counter<u64>,
    stale: Counter<u64>,
    lost_attempts: Counter<u64>,
    lost_workers: Counter<u64>,
    republished: Counter<u64>,
    dispatches: Counter<u64>,
    dispatched_bytes: Counter<u64>,
    commit_seconds: Histogram<f64>,
    commit_attempts: Histogram<u64>,
    reports: Counter<u64>,
    reported_bytes: Counter<u64>,
    unacknowledged: Gauge<u64>,
    dispatch_wait: Histogram<f64>,
    outcome_delay: Histogram<f64>,
    live_runs: Gauge<u64>,
    in_flight: Gauge<u64>,
    workers: Gauge<u64>,
    tasks: Gauge<u64>,
    broker_blocked: Gauge<u64>,
    last: Statistics,
}

impl Metrics {
    pub(super) fn new(meter: &Meter) -> Self {
        let counter = |name, about| meter.u64_counter(name).with_description(about).build();
        let gauge = |name, about| meter.u64_gauge(name).with_description(about).build();
        let seconds = |name, about| {
            meter
                .f64_histogram(name)
                .with_unit("s")
                .with_description(about)
                .with_boundaries(latencies())
                .build()
        };
        Self {
            succeeded: counter("backstitch.tasks.succeeded", "Tasks that succeeded"),
            failed: counter("backstitch.tasks.failed", "Tasks that failed for good"),
            stale: counter("backstitch.outcomes.stale", "Outcomes that the fence rejected"),
            lost_attempts: counter("backstitch.attempts.lost", "Attempts that were lost with their worker"),
            lost_workers: counter(
                "backstitch.workers.lost",
                "Workers whose lease ran out before they had drained",
            ),
            republished: counter("backstitch.dispatches.republished", "Messages published again, unclaimed"),
            dispatches: counter("backstitch.dispatches", "Dispatches made"),
            dispatched_bytes: counter("backstitch.dispatches.bytes", "Bodies of messages to workers"),
            commit_seconds: meter
                .f64_histogram("backstitch.commit.duration")
                .with_unit("s")
                .with_description("Time to make one batch durable")
                .build(),
            commit_attempts: meter
                .u64_histogram("backstitch.commit.attempts")
                .with_description("Attempts in one batch")
                .build(),
            reports: counter("backstitch.reports", "Messages from workers about their dispatches"),
            reported_bytes: counter("backstitch.reports.bytes", "Bodies of messages from workers"),
            unacknowledged: gauge(
                "backstitch.reports.unacknowledged",
                "Messages from workers that are taken in, and whose effect is not durable yet",
            ),
            dispatch_wait: seconds(
                "backstitch.dispatch.wait",
                "Time from the decision to send a dispatch until its first task starts",
            ),
            outcome_delay: seconds(
                "backstitch.outcome.delay",
                "Time from the start of the first task that a report tells of until its outcome is durable",
            ),
            live_runs: gauge("backstitch.runs.live", "Runs that are not terminal"),
            in_flight: gauge("backstitch.dispatches.in_flight", "Dispatches that are not closed"),
            workers: gauge("backstitch.workers", "Workers within their lease"),
            tasks: gauge("backstitch.tasks", "Tasks of live runs by state"),
            broker_blocked: gauge(
                "backstitch.broker.blocked",
                "1 while the broker takes no messages, short of memory or disk",
            ),
            last: Statistics::default(),
        }
    }

    /// Whether messages can flow has changed.
    pub(super) fn broker(&self, state: &ConnectionState) {
        let blocked = matches!(state, ConnectionState::Blocked { .. });
        self.broker_blocked.record(blocked.into(), &[]);
    }

    /// A batch is durable.
    pub(super) fn committed(&mut self, batch: &BatchSize, took: Duration) {
        self.dispatches.add(batch.dispatches as u64, &[]);
        self.commit_seconds.record(took.as_secs_f64(), &[]);
        self.commit_attempts.record(batch.attempts as u64, &[]);
    }

    /// A report came in that tells of the first tasks of a dispatch: this long after it was decided, the first of
    /// them had started.
    pub(super) fn started(&self, wait: Duration) {
        self.dispatch_wait.record(wait.as_secs_f64(), &[]);
    }

    /// A message to a worker is handed over, with a body of so many bytes.
    pub(super) fn dispatched(&self, bytes: usize) {
        self.dispatched_bytes.add(bytes as u64, &[]);
    }

    /// A report came in, in a message with a body of so many bytes.
    pub(super) fn reported(&self, bytes: usize) {
        self.reports.add(1, &[]);
        self.reported_bytes.add(bytes as u64, &[]);
    }

    /// So many reports are taken in and not acknowledged.
    pub(super) fn unacknowledged(&self, reports: usize) {
        self.unacknowledged.record(reports as u64, &[]);
    }

    /// Outcomes are durable, this long after their first task started.
    pub(super) fn recorded(&self, delay: Duration) {
        self.outcome_delay.record(delay.as_secs_f64(), &[]);
    }

    /// Brings counters and gauges in step with the engine.
    pub(super) fn observe(&mut self, engine: &Engine) {
        let (now, last) = (engine.statistics(), self.last);
        self.succeeded.add(now.succeeded - last.succeeded, &[]);
        self.failed.add(now.failed - last.failed, &[]);
        self.stale.add(now.stale_outcomes - last.stale_outcomes, &[]);
        self.lost_attempts.add(now.lost_attempts - last.lost_attempts, &[]);
        self.lost_workers.add(now.lost_workers - last.lost_workers, &[]);
        self.republished.add(now.republished - last.republished, &[]);
        self.last = now;
        self.in_flight.record(engine.dispatches_in_flight() as u64, &[]);
        self.workers.record(engine.workers().count() as u64, &[]);
        let (runs, counts) = engine.totals();
        self.live_runs.record(runs, &[]);
        let states = [
            ("waiting", counts.waiting),
            ("ready", counts.ready),
            ("in_flight", counts.in_flight),
            ("succeeded", counts.succeeded),
            ("failed", counts.failed),
            ("skipped", counts.skipped),
            ("cancelled", counts.cancelled),
        ];
        for (state, tasks) in states {
            self.tasks.record(tasks, &[KeyValue::new("state", state)]);
        }
    }
}

/// Bounds of latencies: from a millisecond to minutes, twelve in each factor of ten, so that a bound is a quarter above
/// what is in its bucket at most.
fn latencies() -> Vec<f64> {
    const PER_DECADE: [u32; 12] = [10, 12, 15, 18, 22, 27, 33, 39, 47, 56, 68, 82];
    // A quotient of whole numbers is the double that is nearest to the decimal: bounds are labels, and short.
    let bound = |decade: u32, step: u32| f64::from(step * 10_u32.pow(decade)) / 1e4;
    (0..6).flat_map(|decade| PER_DECADE.map(|step| bound(decade, step))).collect()
}

/// How much a batch holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchSize {
    pub(super) attempts: usize,
    dispatches: usize,
}

impl BatchSize {
    pub(super) fn of(batch: &Batch) -> Self {
        Self { attempts: batch.attempts.len(), dispatches: batch.dispatches.len() }
    }
}
