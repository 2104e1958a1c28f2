//! Faults of real processes, real servers and the network between them. `tests/FAULTS.md` lists which, and what
//! cannot be made here.
//!
//! Every test ends in heal, quiesce and a full audit (`backstitch_tests::cluster`).

mod brokers;
mod clocks;
mod ledgers;
mod limits;
mod messages;
mod network;
mod processes;
mod steps;
mod storms;
mod telemetry;
mod verify;
mod versions;
