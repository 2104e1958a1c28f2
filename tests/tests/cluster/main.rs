//! The whole of it: real RabbitMQ, real Postgres, coordinators and workers as processes of their own, and the weather
//! of two cities. What the ledger holds in the end is compared with what the raw files say.

mod bad_commands;
mod bad_messages;
mod embedded;
mod expected;
mod faults;
mod silence;
mod stopping;
mod traces;
mod world;
