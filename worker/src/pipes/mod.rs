//! The Dagster Pipes protocol, spoken with a child process that knows it.
//!
//! ```text
//!   worker                                            child
//!   ------                                            -----
//!   context file, empty messages file
//!   DAGSTER_PIPES_CONTEXT, DAGSTER_PIPES_MESSAGES ->  open_dagster_pipes()
//!   tail of the messages file                     <-  opened, log, report_..., closed
//! ```
//!
//! [`context`] says what the child is told, [`lines`] and [`tail`] read what it writes, [`session`] makes sense of
//! it. A child that does not know the protocol ignores two variables; nothing is asked of it.
//!
//! Where Dagster falls short this does not: a batch of partitions is told in full, a half-written line is waited
//! for, a line that is no message is a warning in the output and never an end of the reading.

pub(crate) mod context;
pub(crate) mod lines;
mod message;
pub(crate) mod metadata;
pub(crate) mod session;
pub(crate) mod tail;

#[cfg(test)]
mod client_tests;
