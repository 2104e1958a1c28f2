//! Where executions stand in the trace: one span per dispatch, whatever the number of its tasks, so that a million
//! tiny tasks are not a million spans.

use std::collections::BTreeMap;

use backstitch_broker::trace_context::{extract, inject};
use backstitch_proto::message::{Dispatch, TraceContext};
use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tracing::{Span, field, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The span of the execution of one dispatch.
pub(crate) struct DispatchSpan {
    /// The span.
    pub(crate) span: Span,
    /// What names it to others. Without an exporter in this process it names the span that sent the dispatch, so
    /// that the trace goes on behind this worker.
    pub(crate) context: Option<TraceContext>,
}

impl DispatchSpan {
    /// A child of the span that sent the dispatch: a dispatch is one message, and its message is one span.
    pub(crate) fn new(dispatch: &Dispatch, headers: &BTreeMap<String, String>) -> Self {
        let sender = extract(headers);
        let span = info_span!(
            "process",
            otel.name = field::Empty,
            otel.kind = "consumer",
            messaging.system = "rabbitmq",
            messaging.operation.name = "process",
            messaging.operation.r#type = "process",
            messaging.batch.message_count = dispatch.tasks.len(),
            messaging.message.id = field::Empty,
            backstitch.asset = dispatch.asset,
            backstitch.run = field::Empty,
            backstitch.attempt = dispatch.attempt,
        );
        // Formatting is paid for only where somebody looks.
        if !span.is_disabled() {
            span.record("otel.name", format!("process {}", dispatch.asset));
            span.record("messaging.message.id", field::display(dispatch.id));
            span.record("backstitch.run", field::display(dispatch.run));
        }
        // It fails where there is no exporter; then there is no span that could have a parent.
        let _ = span.set_parent(sender.clone());
        let own = to_wire(span.context().span().span_context());
        let context = own.or_else(|| to_wire(sender.span().span_context()));
        Self { span, context }
    }
}

/// The headers that carry `trace`.
pub(crate) fn headers(trace: Option<TraceContext>) -> BTreeMap<String, String> {
    let mut headers = BTreeMap::new();
    if let Some(TraceContext { trace_id, span_id, flags }) = trace {
        let span = SpanContext::new(
            TraceId::from_bytes(trace_id),
            SpanId::from_bytes(span_id),
            TraceFlags::new(flags),
            true,
            TraceState::default(),
        );
        inject(&Context::new().with_remote_span_context(span), &mut headers);
    }
    headers
}

fn to_wire(span: &SpanContext) -> Option<TraceContext> {
    span.is_valid().then(|| TraceContext {
        trace_id: span.trace_id().to_bytes(),
        span_id: span.span_id().to_bytes(),
        flags: span.trace_flags().to_u8(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn the_senders_context_goes_on_where_no_exporter_is() {
        let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let sent = BTreeMap::from([("traceparent".to_owned(), traceparent.to_owned())]);
        let span = DispatchSpan::new(&testing::dispatch("a", &["k"]), &sent);
        assert_eq!(headers(span.context), sent);
        assert_eq!(
            headers(DispatchSpan::new(&testing::dispatch("a", &["k"]), &headers(None)).context),
            headers(None)
        );
    }

    #[test]
    fn the_dispatch_is_a_child_of_its_sender_where_an_exporter_is() {
        use opentelemetry::trace::TracerProvider;
        use tracing_subscriber::layer::SubscriberExt;
        let provider = opentelemetry_sdk::trace::SdkTracerProvider::builder().build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
        let sender = TraceContext { trace_id: [7; 16], span_id: [9; 8], flags: 1 };
        let DispatchSpan { context, .. } =
            DispatchSpan::new(&testing::dispatch("a", &["k"]), &headers(Some(sender)));
        let context = context.unwrap();
        assert_eq!((context.trace_id, context.flags), (sender.trace_id, sender.flags));
        assert_ne!(context.span_id, sender.span_id);
    }
}
