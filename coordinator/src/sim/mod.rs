//! Simulated histories: the real engine in a world made of models, where everything that can go wrong does.
//!
//! One seed is one history. A world holds the engine of the current leader (and of one that does not know yet that
//! its term is over), a ledger that checks what it is given, a broker without any order, workers, and a clock that
//! only this world moves. After every step the named invariants are checked; at the end the faults stop and every
//! run must come to its end. A history that failed is replayed from its seed, exactly: `backstitch chaos --seeds 1
//! --seed S`, or the test that found it, where that has other faults.
//!
//! | fault | how it is modelled |
//! |---|---|
//! | crash of a leader | between any two of: seal, commit, each effect, confirm, acknowledgement; a commit on its way arrives or not |
//! | crash of a worker | between any two of: delivery, announcement, start, end of each task, report, acknowledgement |
//! | poison task | executing it is a crash of its worker, every time |
//! | stale leader | it goes on reading, sealing, publishing and confirming beside its successor, until a commit tells it |
//! | ambiguous commit | the batch is applied and reported as failed, so it is committed again; or it is not applied at all |
//! | duplicate message | dispatches, reports, heartbeats and broadcasts arrive twice |
//! | reordered message | where messages are ever late the broker has no order: any may be the next |
//! | delayed message | it cannot be taken for up to half a minute, three leases |
//! | lost message | a dispatch or report does not arrive, no confirm comes, and its sender sends it again; a heartbeat or a broadcast is gone for good |
//! | broken promise | the broker loses a dispatch that it has confirmed |
//! | lost, duplicate confirm | the dispatch arrived and is published again; the engine is told twice |
//! | outage | the broker takes and gives nothing; all that is unacknowledged is delivered again; each worker finds it again at its own time |
//! | frozen worker | it does nothing for up to 35 seconds; perhaps its messages go to others meanwhile; then it goes on where it was |
//! | frozen leader | it does nothing for up to 35 seconds, in which everybody else goes on and nobody reads what they send; then it goes on where it was |
//! | takeover | after four seconds of that a standby may take over; the frozen one comes back beside it, as a stale leader |
//! | clock jump | every wall clock, or that of one worker, moves by up to an hour, in either direction |
//! | drain | a worker reports what has ended and hands the rest back |
//! | user | cancels, pauses, resumes, throttles and re-prioritises |
//!
//! | invariant | where it is checked |
//! |---|---|
//! | CONSERVE, COUNT, LIMIT, ORDER, BUDGET, BOUND | [`Engine::violations`](crate::engine::Engine::violations), after each step that touched the engine |
//! | ONCE, FENCE, BUDGET | each attempt that is committed, against the rows before it and what happened on workers |
//! | BUDGET, from below | a task fails for good when all is spent and not before; a retry is not decided before its delay is over; a loss needs a task that had its turn; what was lost goes out alone |
//! | LIMIT | open dispatches, after each commit that opens some; executions, when a task begins; no dispatch is executed twice where nothing excuses it |
//! | BOUND | open dispatches per class, against the slots that there are, at each commit that opens some |
//! | OUTBOX | each message that is published, against a row that was durable before |
//! | INTENT | what a user was told is durable is in the rows, in each later leader, and in what is dispatched and ends |
//! | ORDER | each task that begins, against what is durable then |
//! | CONSERVE, COUNT | each run that ends; and an engine with nothing uncommitted, against the rows |
//! | LIVE | no open dispatch is abandoned, at each broadcast; all runs end within a bound of steps once the faults have stopped; what cannot fail has succeeded |
//!
//! Each history has a mix of its own ([`Faults::some`]): a fault that happens all the time hides what another would
//! do. Three worlds in four measure leases by echoes, as production does. One world in eight has no fault that could
//! execute something twice, and half of these none that could end an execution: outages and frozen leaders alone must
//! cost nothing there.
//!
//! What really happened is counted ([`Happened`]), and the suite demands that every kind of it did, and often.
//!
//! What it refuses to do: use time, threads or I/O inside of a history.

mod audit;
mod broker;
mod faults;
mod happened;
mod history;
mod leader;
mod ledger;
mod limit;
mod outage;
mod project;
mod rng;
mod seeds;
mod spending;
mod standstill;
mod step;
mod storm;
mod traffic;
mod user;
mod witness;
mod worker;
mod world;

#[cfg(test)]
mod tests;

pub use faults::Faults;
pub use happened::{Happened, Mishap};
pub use history::History;
pub use seeds::{Played, Seeds};

use crate::engine::Options;
use world::World;

/// Settings of simulated engines: small dispatches, so that small runs have many.
fn options() -> Options {
    Options { dispatch_max_tasks: 8, ..Options::default() }
}

/// Plays the history of `seed`, with every step written down.
pub fn trace(seed: u64, faults: &Faults) -> History {
    World::new(seed, *faults, options(), true).play()
}

/// Plays the history of `seed` for its violations alone.
pub fn play(seed: u64, faults: &Faults) -> History {
    World::new(seed, *faults, options(), false).play()
}
