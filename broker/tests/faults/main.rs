//! What RabbitMQ, the network and its operators do to a connection, and what is left of our promises.
//!
//! Faults of the network go through a relay to the shared node; faults of the node itself get a node of their own.

mod network;
mod node;
mod operator;
mod strangers;
mod world;
