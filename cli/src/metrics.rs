//! Metrics: the instruments of all parts write into one Prometheus registry, which the API serves at `/metrics`, and
//! to an OTLP receiver where the standard variables name one.
//!
//! OpenTelemetry has one provider per process, so the registry behind it is one per process too.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, Result};
use opentelemetry::global;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;

static REGISTRY: OnceLock<Arc<prometheus::Registry>> = OnceLock::new();

/// Keeps the exporter alive.
pub(crate) struct Metrics(SdkMeterProvider);

/// Sets up the provider. Before anything makes an instrument: one that was made earlier would write into nothing.
/// Outside of an async runtime: the exporter's client blocks.
pub(crate) fn start(resource: Resource, export: bool) -> Result<Metrics> {
    let exporter = opentelemetry_prometheus::exporter()
        .with_registry(registry().as_ref().clone())
        .build()
        .context("setting up metrics")?;
    let mut provider = SdkMeterProvider::builder().with_reader(exporter).with_resource(resource);
    if export {
        let exporter = opentelemetry_otlp::MetricExporter::builder().with_http().build();
        let exporter =
            exporter.context("setting up the OTLP exporter named by OTEL_EXPORTER_OTLP_ENDPOINT")?;
        provider = provider.with_periodic_exporter(exporter);
    }
    let provider = provider.build();
    global::set_meter_provider(provider.clone());
    Ok(Metrics(provider))
}

/// What `/metrics` serves.
pub(crate) fn registry() -> Arc<prometheus::Registry> {
    Arc::clone(REGISTRY.get_or_init(Arc::default))
}

impl Metrics {
    /// Sends what is left.
    pub(crate) fn end(&self, patience: Duration) {
        // A receiver that is gone must not change how the command ends.
        _ = self.0.shutdown_with_timeout(patience);
    }
}
