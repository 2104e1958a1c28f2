//! One batch at a time, until it is durable or the term is over.

use std::sync::Arc;
use std::time::Duration;

use backstitch_proto::id::Epoch;
use tracing::warn;

use crate::ledger::{Batch, CommitError, Ledger};

/// Pause before the first repetition of a commit whose outcome is unknown.
const PAUSE_MIN: Duration = Duration::from_millis(50);

/// Longest pause between repetitions: a database that restarts is back within seconds.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Commits `batch`, again and again while the outcome is unknown: it is the same batch, so the second time changes
/// nothing. Gives it back once it is durable. There is no limit on repetitions; the caller drops the future when the term is over.
pub(super) async fn commit(
    ledger: Arc<dyn Ledger>,
    epoch: Epoch,
    batch: Batch,
) -> Result<Batch, CommitError> {
    let mut pause = PAUSE_MIN;
    loop {
        match ledger.commit(epoch, &batch).await {
            Ok(()) => return Ok(batch),
            Err(CommitError::Transient(error)) => {
                warn!(error = &error as &dyn std::error::Error, "commit failed; trying the same batch again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
            Err(error) => {
                if let CommitError::Deposed { .. } = error {
                    // Said here: the term may have ended in another way meanwhile, and then nobody hears of this.
                    warn!(attempts = batch.attempts.len(), "a commit was refused: the term is over");
                }
                return Err(error);
            }
        }
    }
}
