//! The test harness: real servers, real processes, real faults.
//!
//! - [`rabbitmq`], [`postgres`]: private servers that a test may start, stop, kill, freeze and restart.
//! - [`relay`]: a TCP relay between a program and a server, to cut, delay or silence the network.
//! - [`cluster`]: a running Backstitch between them, with a relay on every line and a journal of what really ran.
//! - [`process`]: the programs under test, with their output and every signal; [`usage`]: what they take of the machine.
//! - [`clock`]: the wall clock of one process; [`disk`]: a disk that is full; [`loss`]: packets that do not arrive.
//! - [`stranger`]: somebody at the broker who is none of ours; [`message`]: what tests send and take.
//! - [`verify`]: `backstitch verify`, which has to look at everything.
//! - [`port`]: ports for programs that want to be told theirs.
//! - [`wait`]: waiting for something to become true, with a deadline. Nothing here sleeps and hopes.
//!
//! Tests that only need *a* server use the one that `tests/run` started for all of them ([`shared`]); they keep out of
//! each other's way by names. Tests that harm a server start their own. Everything ends with its value, also when the
//! test panics.

mod child;
pub mod clock;
pub mod cluster;
pub mod disk;
pub mod loss;
pub mod message;
pub mod port;
pub mod postgres;
pub mod process;
pub mod rabbitmq;
pub mod relay;
mod server;
pub mod shared;
pub mod stranger;
pub mod usage;
pub mod verify;
pub mod wait;
