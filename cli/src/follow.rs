//! A run from submission to its end.
//!
//! State is looked at, never gathered from events: a look that is missed costs nothing. A coordinator that does not
//! answer for a while is waited for, because a standby takes over within seconds.

use std::time::Duration;

use anyhow::Result;
use backstitch_coordinator::api::RunView;
use backstitch_coordinator::service::Handle;
use backstitch_proto::id::RunId;
use tokio::time::{Instant, sleep};

use crate::display::Progress;
use crate::embedded::Embedded;
use crate::exit::Exit;
use crate::signals::Signals;
use crate::source::{Ask, Leading, Look, Unanswered};

/// A coordinator elsewhere is looked at this often.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Longest silence of a coordinator elsewhere.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// How following ended.
pub(crate) struct Followed {
    /// The run, which has ended.
    pub(crate) run: RunView,
    /// The user interrupted it.
    pub(crate) interrupted: bool,
}

/// What an interrupt does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnInterrupt {
    /// It cancels the run: nobody would go on with it.
    Cancel,
    /// It ends the watching; the run goes on elsewhere.
    Leave,
}

/// Shows progress until the run ends; `None` when the user does not want to watch any longer.
///
/// `signals` are those of the whole command, so that one that came earlier counts.
pub(crate) async fn follow(
    leading: &mut Leading,
    run: RunId,
    on_interrupt: OnInterrupt,
    signals: &mut Signals,
) -> Result<Option<Followed>> {
    let Leading { look, ask, embedded } = leading;
    let here = embedded.as_ref().map(|embedded| embedded.handle().clone());
    let mut progress = Progress::start();
    let mut interrupted = false;
    let mut heard = Instant::now();
    let followed = loop {
        match look.run(run).await {
            Ok(view) => {
                heard = Instant::now();
                if let Some(counts) = view.counts {
                    progress.show(counts, view.status);
                }
                if view.status.is_terminal() {
                    break Ok(Some(Followed { run: view, interrupted }));
                }
            }
            Err(error) if error.is::<Unanswered>() && heard.elapsed() < SILENCE_MAX => {}
            Err(error) => break Err(error),
        }
        let every = if embedded.is_some() { progress.every() } else { POLL_INTERVAL };
        tokio::select! {
            () = sleep(every) => {}
            () = ended(here.as_ref(), run) => {}
            error = broken(embedded.as_mut()) => break Err(error),
            () = signals.next() => match on_interrupt {
                OnInterrupt::Leave => break Ok(None),
                // Whoever asks twice does not want to wait. What runs is killed with this process.
                OnInterrupt::Cancel if interrupted => {
                    progress.end();
                    Exit::Interrupted.end_process();
                }
                OnInterrupt::Cancel => {
                    interrupted = true;
                    progress.say("Cancelling: ending what runs (Ctrl-C again ends at once)");
                    cancel(look.as_ref(), ask.as_ref(), run).await?;
                }
            },
        }
    };
    progress.end();
    followed
}

/// A run that has ended in the meantime needs no cancelling.
async fn cancel(look: &dyn Look, ask: &dyn Ask, run: RunId) -> Result<()> {
    match ask.cancel(run).await {
        Err(error) if !look.run(run).await?.status.is_terminal() => Err(error),
        _ => Ok(()),
    }
}

/// Resolves when the coordinator in this process says that a run has ended.
async fn ended(here: Option<&Handle>, run: RunId) {
    let Some(here) = here else { return std::future::pending().await };
    let mut finished_runs = here.finished_runs();
    loop {
        match finished_runs.recv().await {
            Ok(finished) if finished.run == run => return,
            // Some were missed: this one may have been among them.
            Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => return,
            Ok(_) => {}
            Err(tokio::sync::broadcast::error::RecvError::Closed) => return std::future::pending().await,
        }
    }
}

async fn broken(embedded: Option<&mut Embedded>) -> anyhow::Error {
    match embedded {
        Some(embedded) => embedded.broken().await,
        None => std::future::pending().await,
    }
}
