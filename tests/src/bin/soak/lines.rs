//! The network between processes and servers.

use std::time::Duration;

use backstitch_tests::relay::{Relay, Side};
use rand::Rng;

use super::fault::{Strike, Weather};

/// Of each chunk, each way.
const DELAY: Duration = Duration::from_millis(150);

/// The same weather on one, two or three lines: of a worker, and of a coordinator to either server.
pub(super) async fn spoil(strike: &mut Strike<'_>, weather: Weather) {
    let (cluster, rng) = (&*strike.cluster, &mut *strike.rng);
    let worker = &cluster.workers[rng.random_range(0..cluster.workers.len())];
    let coordinator = &cluster.coordinators[rng.random_range(0..cluster.coordinators.len())];
    let side = if rng.random_bool(0.5) { Side::Program } else { Side::Server };
    // At least one of them.
    let chosen = rng.random_range(1..8);
    let lines = [&worker.to_broker, &coordinator.to_broker, &coordinator.to_ledger];
    for (number, line) in lines.into_iter().enumerate() {
        if chosen >> number & 1 == 1 {
            break_line(line, weather, side);
        }
    }
    strike.stay_broken(1.0).await;
}

fn break_line(line: &Relay, weather: Weather, side: Side) {
    match weather {
        Weather::Cut => line.cut(),
        Weather::Refuse => line.refuse(),
        Weather::Silence => line.silence(),
        Weather::HalfOpen => line.half_open(side),
        Weather::Slow => line.delay(DELAY),
    }
}
