//! How an execution is told to end before its time.

use tokio::sync::watch;

/// Why an execution is to end. A later reason replaces an earlier one only when it is stronger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stop {
    /// The worker shuts down and the drain grace is over: tasks without an outcome are handed back.
    Interrupt,
    /// The run was cancelled: tasks without an outcome are reported as cancelled.
    Cancel,
    /// The tasks are fenced: nothing is reported.
    Abandon,
}

/// The side that ends executions.
#[derive(Debug)]
pub(crate) struct Stopper(watch::Sender<Option<Stop>>);

/// The side of the execution.
#[derive(Clone, Debug)]
pub(crate) struct StopSignal(watch::Receiver<Option<Stop>>);

/// A connected pair.
pub(crate) fn channel() -> (Stopper, StopSignal) {
    let (sender, receiver) = watch::channel(None);
    (Stopper(sender), StopSignal(receiver))
}

impl Stopper {
    /// Asks the execution to end.
    pub(crate) fn stop(&self, reason: Stop) {
        self.0.send_if_modified(|current| {
            let stronger = *current < Some(reason);
            if stronger {
                *current = Some(reason);
            }
            stronger
        });
    }
}

impl StopSignal {
    /// The reason to end, if there is one already.
    pub(crate) fn now(&self) -> Option<Stop> {
        *self.0.borrow()
    }

    /// Waits for a reason to end. Waits for ever when nobody is left to give one.
    pub(crate) async fn requested(&mut self) -> Stop {
        let reason = self.0.wait_for(Option::is_some).await.map(|reason| *reason);
        match reason {
            Ok(Some(reason)) => reason,
            _ => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_weaker_reason_never_replaces_a_stronger_one() {
        let (stopper, mut signal) = channel();
        assert_eq!(signal.now(), None);
        stopper.stop(Stop::Cancel);
        stopper.stop(Stop::Interrupt);
        assert_eq!(signal.requested().await, Stop::Cancel);
        stopper.stop(Stop::Abandon);
        assert_eq!(signal.now(), Some(Stop::Abandon));
    }
}
