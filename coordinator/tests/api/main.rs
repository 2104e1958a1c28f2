//! The HTTP API as a client meets it: requests to the router of a coordinator that leads on a SQLite ledger of its
//! own, with an in-process broker and a worker.

mod answers;
mod document;
mod problems;
mod world;
