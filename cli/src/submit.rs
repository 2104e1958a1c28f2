//! Handing a run over, under the root span of its trace.
//!
//! The span covers submitting and planning only. A run of a million tasks must not be one trace: what is done for
//! it is linked to this span, and does not live in it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use backstitch_broker::trace_context;
use backstitch_coordinator::service::{Submission, Submitted};
use tokio::time::{Instant, sleep};
use tracing::{Instrument, Span, field, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use uuid::Uuid;

use crate::source::{Ask, Unanswered};

/// Time for a standby to take over from a leader that died, twice.
const RESUBMIT_FOR: Duration = Duration::from_secs(10);

/// Pause between two tries.
const RESUBMIT_PAUSE: Duration = Duration::from_millis(500);

/// Submits a run.
pub(crate) async fn submit(ask: &dyn Ask, mut submission: Submission) -> Result<Submitted> {
    // An answer may get lost after the run was accepted. With a key, asking again is asking for the same run.
    submission.client_key.get_or_insert_with(|| Uuid::new_v4().to_string());
    let span = info_span!(
        "run",
        backstitch.assets = submission.assets,
        backstitch.job = submission.job,
        backstitch.partitions = submission.partitions,
        backstitch.run = field::Empty,
        backstitch.tasks = field::Empty,
    );
    submission.traceparent = headers(&span).remove("traceparent");
    let submitted = patiently(ask, &submission).instrument(span.clone()).await?;
    if let Some(run) = submitted.run {
        span.record("backstitch.run", field::display(run));
    }
    span.record("backstitch.tasks", submitted.plan.tasks);
    Ok(submitted)
}

async fn patiently(ask: &dyn Ask, submission: &Submission) -> Result<Submitted> {
    let deadline = Instant::now() + RESUBMIT_FOR;
    let mut said = false;
    loop {
        match ask.submit(submission).await {
            Err(error) if error.is::<Unanswered>() && Instant::now() < deadline => {
                if !std::mem::replace(&mut said, true) {
                    eprintln!("{error}; trying again for {} s", RESUBMIT_FOR.as_secs());
                }
                sleep(RESUBMIT_PAUSE).await;
            }
            answer => return answer,
        }
    }
}

/// The headers that carry the current span to another process.
pub(crate) fn trace_headers() -> BTreeMap<String, String> {
    headers(&Span::current())
}

fn headers(span: &Span) -> BTreeMap<String, String> {
    let mut headers = BTreeMap::new();
    trace_context::inject(&span.context(), &mut headers);
    headers
}
