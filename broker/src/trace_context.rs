//! W3C trace context in message headers, so that one trace follows a task across the broker.

use std::collections::BTreeMap;

use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry_sdk::propagation::TraceContextPropagator;

/// Writes the span of `context` into `headers` as `traceparent` and `tracestate`. Without a span it writes nothing.
pub fn inject(context: &Context, headers: &mut BTreeMap<String, String>) {
    TraceContextPropagator::new().inject_context(context, &mut Headers(headers));
}

/// The context that `headers` name; an empty one if they name none or cannot be read.
#[must_use]
pub fn extract(headers: &BTreeMap<String, String>) -> Context {
    TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(headers))
}

struct Headers<M>(M);

impl Injector for Headers<&mut BTreeMap<String, String>> {
    fn set(&mut self, key: &str, value: String) {
        // The propagator always sets a tracestate; an empty one only costs bytes.
        if !value.is_empty() {
            self.0.insert(key.to_owned(), value);
        }
    }
}

impl Extractor for Headers<&BTreeMap<String, String>> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};

    #[test]
    fn a_span_context_survives_the_headers() {
        let span = SpanContext::new(
            TraceId::from_hex("0af7651916cd43dd8448eb211c80319c").unwrap(),
            SpanId::from_hex("b7ad6b7169203331").unwrap(),
            TraceFlags::SAMPLED,
            true,
            TraceState::default(),
        );
        let mut headers = BTreeMap::new();
        inject(&Context::new().with_remote_span_context(span.clone()), &mut headers);
        let expected = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(headers, BTreeMap::from([("traceparent".to_owned(), expected.to_owned())]));
        assert_eq!(extract(&headers).span().span_context(), &span);
    }

    #[test]
    fn headers_without_a_readable_context_give_an_empty_one() {
        for value in ["", "garbage", "00-00000000000000000000000000000000-b7ad6b7169203331-01"] {
            let headers = BTreeMap::from([("traceparent".to_owned(), value.to_owned())]);
            assert!(!extract(&headers).span().span_context().is_valid(), "{value:?}");
        }
    }
}
