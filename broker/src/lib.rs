#![doc = include_str!("../README.md")]

mod acker;
mod confirm;
mod contract;
mod error;
mod in_process;
mod limits;
mod message;
mod rabbitmq;
mod topology;
pub mod trace_context;

pub use acker::{Acked, AckedAll, Acker};
pub use confirm::{Confirm, Unconfirmed};
pub use contract::{Broker, ConnectionState, Consumer, Publisher, QueueDepth};
pub use error::BrokerError;
pub use in_process::InProcess;
pub use limits::{MESSAGE_BYTES_MAX, OPERATION_TIMEOUT};
pub use message::{Delivery, Outgoing, Target, header};
pub use rabbitmq::RabbitMq;
pub use topology::{DELIVERY_LIMIT, Topology, TransientQueue, WorkQueue, dead_letter_queue};
