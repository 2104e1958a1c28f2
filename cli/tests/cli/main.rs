//! The program as a user meets it: real processes, a tiny project in a folder of its own, no servers.

mod backfill;
mod chaos;
mod interrupted;
mod invalid;
mod json;
mod missing;
mod project;
mod settings;
