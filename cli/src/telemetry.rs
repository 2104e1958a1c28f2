//! Logs to standard error, spans and metrics to an OTLP receiver where the standard `OTEL_*` variables name one.
//!
//! The exporter uses a blocking HTTP client on its own thread: with an async client the SDK's batch thread dies
//! without a word and every later span is lost.

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::Context;
use opentelemetry::global;
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::display::AroundProgress;
use crate::metrics::{self, Metrics};

/// Time for the last spans to leave when the process ends.
const FLUSH: Duration = Duration::from_secs(5);

/// Keeps the exporter alive; dropping it sends what is left.
#[must_use]
pub(crate) struct Telemetry {
    provider: Option<SdkTracerProvider>,
    metrics: Metrics,
}

/// How a command logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verbosity {
    /// A service: what happens.
    Service,
    /// A command that prints results: only what goes wrong.
    Command,
}

impl Telemetry {
    /// Sets up logs and spans for this process, which is `service` towards a tracing backend.
    ///
    /// `BACKSTITCH_LOG` takes the directives of `tracing`'s filter; `BACKSTITCH_LOG_FORMAT=json` gives one JSON
    /// object a line.
    pub(crate) fn start(service: &'static str, verbosity: Verbosity) -> anyhow::Result<Self> {
        let default = match verbosity {
            // What lapin logs as an error, `backstitch_broker` has handled, and says in its own words.
            Verbosity::Service => "info,lapin=off,sqlx=warn",
            Verbosity::Command => "warn,lapin=off,sqlx=error",
        };
        let filter = match std::env::var("BACKSTITCH_LOG") {
            Ok(directives) => EnvFilter::try_new(&directives).context("reading BACKSTITCH_LOG")?,
            Err(_) => EnvFilter::new(default),
        };
        let json = std::env::var("BACKSTITCH_LOG_FORMAT").is_ok_and(|format| format == "json");
        let logs = tracing_subscriber::fmt::layer()
            .with_writer(|| AroundProgress)
            .with_ansi(std::io::stderr().is_terminal());
        let logs = if json { logs.json().boxed() } else { logs.boxed() };

        global::set_text_map_propagator(TraceContextPropagator::new());
        let metrics = metrics::start(resource(service), exporting("METRICS"))?;
        let provider = exporting("TRACES").then(|| provider(service)).transpose()?;
        let spans = provider.as_ref().map(|provider| {
            // Spans are chosen by the sampler, not by the filter of the logs.
            let ours = EnvFilter::new("off,backstitch_broker=info,backstitch_coordinator=info,backstitch_worker=info,backstitch=info");
            tracing_opentelemetry::layer()
                .with_tracer(provider.tracer("backstitch"))
                // Our source lines and threads say nothing to who reads the trace, and neither does how long a span was
                // polled; to measure it is a good part of what a span costs.
                .with_location(false)
                .with_threads(false)
                .with_tracked_inactivity(false)
                .with_filter(ours)
        });
        tracing_subscriber::registry().with(spans).with(logs.with_filter(filter)).init();
        Ok(Self { provider, metrics })
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(provider) = &self.provider {
            // A receiver that is gone must not change how the command ends.
            _ = provider.shutdown_with_timeout(FLUSH);
        }
        self.metrics.end(FLUSH);
    }
}

/// Whether this process, and those that it starts, have spans.
pub(crate) fn exports_traces() -> bool {
    exporting("TRACES")
}

/// The standard variables ask for a signal: `TRACES` or `METRICS`.
fn exporting(signal: &str) -> bool {
    let set = |name: &str| std::env::var(name).is_ok_and(|value| !value.is_empty());
    let is =
        |name: &str, value: &str| std::env::var(name).is_ok_and(|found| found.eq_ignore_ascii_case(value));
    (set("OTEL_EXPORTER_OTLP_ENDPOINT") || set(&format!("OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")))
        && !is("OTEL_SDK_DISABLED", "true")
        && !is(&format!("OTEL_{signal}_EXPORTER"), "none")
}

fn provider(service: &'static str) -> anyhow::Result<SdkTracerProvider> {
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .build()
        .context("setting up the OTLP exporter named by OTEL_EXPORTER_OTLP_ENDPOINT")?;
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource(service)).build())
}

fn resource(service: &'static str) -> Resource {
    let mut resource = Resource::builder();
    // The builder reads the variable itself; a name given here would win over it.
    if std::env::var("OTEL_SERVICE_NAME").is_err() {
        resource = resource.with_service_name(service);
    }
    resource.build()
}
