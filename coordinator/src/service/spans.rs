//! Where coordinator work stands in the trace.
//!
//! A run has one root span, made by whoever submitted it. The first dispatches of the run are children of it, so that
//! a run of ordinary size is one trace from submit to commit; those after [`DISPATCHES_IN_ROOT_MAX`] begin traces of
//! their own with a link to the root, because no tracing backend survives a trace of a million spans.
//!
//! `dispatch` (here) ─▶ `process` (worker) ─▶ `record` (here, until the outcome is durable).

use std::collections::BTreeMap;

use backstitch_broker::trace_context;
use backstitch_proto::id::DispatchId;
use backstitch_proto::message::{Dispatch, DispatchReport, Report, TraceContext};
use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tracing::{Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Dispatches of a run that are inside its root trace; with the spans below them some 3,000 spans.
pub(super) const DISPATCHES_IN_ROOT_MAX: u64 = 1_000;

/// The span of publishing a dispatch. `number` counts the dispatches of the run.
pub(super) fn dispatch_span(dispatch: &Dispatch, traceparent: Option<&str>, number: u64) -> Span {
    let span = info_span!(
        parent: None,
        "dispatch",
        otel.kind = "producer",
        backstitch.asset = %dispatch.asset,
        backstitch.run = %dispatch.run,
        backstitch.dispatch = %dispatch.id,
        backstitch.attempt = dispatch.attempt,
        messaging.system = "rabbitmq",
        messaging.operation.name = "publish",
        messaging.operation.type = "send",
        messaging.batch.message_count = dispatch.tasks.len()
    );
    if let Some(traceparent) = traceparent {
        let root = context_of(traceparent);
        if number <= DISPATCHES_IN_ROOT_MAX {
            // It fails only when no exporter is set up, and then nobody misses it.
            _ = span.set_parent(root);
        } else {
            span.add_link(root.span().span_context().clone());
        }
    }
    span
}

/// Spans from the arrival of outcomes until they are durable, inside the traces of the executions.
pub(super) fn record_spans(report: &Report) -> Vec<Span> {
    let traced = report.dispatches.iter().filter_map(|news| match news {
        DispatchReport::Outcomes { dispatch, trace: Some(trace), outcomes } if trace.flags & 1 == 1 => {
            Some(record_span(*dispatch, trace, outcomes.len()))
        }
        _ => None,
    });
    traced.collect()
}

fn record_span(dispatch: DispatchId, trace: &TraceContext, outcomes: usize) -> Span {
    let span = info_span!(
        parent: None,
        "record",
        otel.kind = "consumer",
        backstitch.dispatch = %dispatch,
        messaging.system = "rabbitmq",
        messaging.operation.name = "process",
        messaging.operation.type = "process",
        messaging.batch.message_count = outcomes
    );
    let parent = SpanContext::new(
        TraceId::from_bytes(trace.trace_id),
        SpanId::from_bytes(trace.span_id),
        TraceFlags::new(trace.flags),
        true,
        TraceState::NONE,
    );
    _ = span.set_parent(Context::new().with_remote_span_context(parent));
    span
}

fn context_of(traceparent: &str) -> Context {
    let headers = BTreeMap::from([("traceparent".to_owned(), traceparent.to_owned())]);
    trace_context::extract(&headers)
}
