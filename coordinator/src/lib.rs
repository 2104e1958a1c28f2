#![doc = include_str!("../README.md")]

pub mod api;
pub mod engine;
pub mod ledger;
pub mod service;
pub mod sim;
