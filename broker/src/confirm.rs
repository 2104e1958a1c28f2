//! The broker's answer to a published message.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use thiserror::Error;
use tokio::sync::oneshot;

/// Resolves when the broker has taken responsibility for a message, or when it is known that it has not, or when
/// nothing more can be known. It may take as long as the broker is blocked.
#[derive(Debug)]
#[must_use = "an unconfirmed message may be lost"]
pub struct Confirm(oneshot::Receiver<Result<(), Unconfirmed>>);

/// The caller's half, and the broker's.
pub(crate) fn confirmation() -> (oneshot::Sender<Result<(), Unconfirmed>>, Confirm) {
    let (answer, confirm) = oneshot::channel();
    (answer, Confirm(confirm))
}

impl Future for Confirm {
    type Output = Result<(), Unconfirmed>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // A sender that is gone without an answer: the connection ended while it held the message.
        Pin::new(&mut self.0).poll(context).map(|answer| answer.unwrap_or(Err(Unconfirmed::Lost)))
    }
}

/// A message that the broker is not known to keep. The mend is the same each time: publish it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Unconfirmed {
    /// The queue is full, or the broker could not store the message.
    #[error("the broker refused the message")]
    Refused,
    /// There was no queue to put it in. The queue is declared again; the message is not there.
    #[error("the broker had no queue for the message")]
    Unroutable,
    /// The connection was lost before the answer came. The message may be there or not.
    #[error("the connection was lost before the broker confirmed the message")]
    Lost,
}
