//! The coordinator: turns submissions into dispatches, and what workers report into the ledger.
//!
//! [`engine`] decides and is pure, [`ledger`] remembers, [`service`] performs, [`api`] answers, [`sim`] doubts.

pub mod api;
pub mod engine;
pub mod ledger;
pub mod service;
pub mod sim;
