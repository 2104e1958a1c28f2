//! Makes sense of a child's messages. Pure: lines go in, what they report is kept.
//!
//! Every line that is no message of the protocol becomes a warning in the output. A child's bad line never costs it
//! the lines after it.

use std::collections::HashMap;

use backstitch_proto::message::{CheckResult, MetadataValue, Severity};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::lines::Line;
use super::message::{
    Check, Closed, CustomPayload, Envelope, Exception, ExternalStream, Log, Materialization, PartitionStatus,
};
use super::metadata::entries;
use crate::command::capture::Capture;
use crate::limits::{CHECKS, bounded_metadata};

/// Warnings about one child's messages; after so many the rest is only counted.
const WARNINGS: u32 = 20;

/// Partitions whose outcomes are kept: as many as a dispatch has tasks at most.
const PARTITIONS: usize = 1_000;

/// What one child has reported so far.
#[derive(Debug)]
pub(crate) struct Session {
    asset: String,
    capture: Capture,
    opened: bool,
    closed: bool,
    warnings: u32,
    /// What the child said of the asset as a whole: it holds for every partition of the batch.
    pub(crate) reported: Reported,
    /// What the child said of single partitions.
    pub(crate) partitions: HashMap<String, PartitionOutcome>,
    /// The exception that ended the child, as it reported it.
    pub(crate) exception: Option<ChildError>,
}

/// A materialization with its checks.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Reported {
    pub(crate) metadata: Vec<(String, MetadataValue)>,
    pub(crate) data_version: Option<String>,
    pub(crate) checks: Vec<CheckResult>,
}

/// The outcome that a child gave one partition of its batch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PartitionOutcome {
    /// `Err` holds the message of the failure.
    pub(crate) result: Result<(), String>,
    pub(crate) metadata: Vec<(String, MetadataValue)>,
    pub(crate) data_version: Option<String>,
}

/// An error as the child described it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChildError {
    pub(crate) message: String,
    pub(crate) stack: String,
}

impl Session {
    /// A session of an execution of `asset` that logs to `capture`.
    pub(crate) fn new(asset: &str, capture: Capture) -> Self {
        Self {
            asset: asset.to_owned(),
            capture,
            opened: false,
            closed: false,
            warnings: 0,
            reported: Reported::default(),
            partitions: HashMap::new(),
            exception: None,
        }
    }

    /// Takes one line.
    pub(crate) fn line(&mut self, line: Line<'_>) {
        let bytes = match line {
            Line::Whole(bytes) => bytes.trim_ascii(),
            Line::TooLong => return self.warn("a Dagster Pipes message was too long and was skipped"),
        };
        if bytes.is_empty() {
            return;
        }
        match serde_json::from_slice::<Envelope>(bytes) {
            Ok(envelope) => self.message(envelope),
            Err(error) => {
                let excerpt: String = String::from_utf8_lossy(bytes).chars().take(120).collect();
                self.warn(&format!(
                    "a line is no Dagster Pipes message and was skipped ({error}): {excerpt}"
                ));
            }
        }
    }

    /// The child is gone.
    pub(crate) fn finish(&mut self) {
        if self.opened && !self.closed {
            self.warn("the child opened Dagster Pipes and never closed it: messages may be missing");
        }
        if self.warnings > WARNINGS {
            let more = self.warnings - WARNINGS;
            self.capture.line(&format!("[backstitch] WARNING {more} more warnings about messages"));
        }
    }

    /// Adds a warning to the output.
    pub(crate) fn warn(&mut self, warning: &str) {
        self.warnings += 1;
        if self.warnings <= WARNINGS {
            self.capture.line(&format!("[backstitch] WARNING {warning}"));
        }
    }

    fn message(&mut self, Envelope { version, method, params }: Envelope) {
        if !version.starts_with("0.") {
            self.warn(&format!("a message has the unknown Dagster Pipes version {version}"));
        }
        if self.closed {
            self.warn(&format!("message `{method}` came after `closed`"));
        }
        match method.as_str() {
            "opened" => self.opened = true,
            "closed" => {
                self.closed = true;
                // `params` may be null.
                let closed = serde_json::from_value::<Option<Closed>>(params);
                self.exception =
                    closed.ok().flatten().and_then(|closed| closed.exception).map(|e| child_error(&e));
            }
            "log" => self.with(&method, params, |session, Log { message, level }| {
                session.capture.line(&format!("{level} {message}"));
            }),
            "log_external_stream" => self.with(&method, params, |session, stream: ExternalStream| {
                session.capture.push(stream.text.as_bytes());
            }),
            "report_asset_materialization" => self.with(&method, params, Self::materialization),
            "report_asset_check" => self.with(&method, params, Self::check),
            "report_custom_message" => self.custom(&params),
            _ => self.warn(&format!("message `{method}` is unknown and was skipped")),
        }
    }

    fn with<T: DeserializeOwned>(&mut self, method: &str, params: Value, act: impl FnOnce(&mut Self, T)) {
        match serde_json::from_value(params) {
            Ok(params) => act(self, params),
            Err(error) => self.warn(&format!("message `{method}` was skipped: {error}")),
        }
    }

    fn materialization(&mut self, params: Materialization) {
        if self.is_other_asset(&params.asset_key) {
            return;
        }
        self.reported.metadata = entries(params.metadata.unwrap_or_default());
        self.reported.data_version = params.data_version;
    }

    fn check(&mut self, params: Check) {
        if self.is_other_asset(&params.asset_key) {
            return;
        }
        if self.reported.checks.len() >= CHECKS {
            return self.warn("a check result too many was skipped");
        }
        self.reported.checks.push(CheckResult {
            name: params.check_name,
            passed: params.passed,
            severity: match params.severity.as_deref() {
                Some("WARN") => Severity::Warn,
                _ => Severity::Error,
            },
            metadata: entries(params.metadata.unwrap_or_default()),
        });
    }

    fn is_other_asset(&mut self, asset_key: &str) -> bool {
        let other = asset_key != self.asset;
        if other {
            let asset = self.asset.clone();
            self.warn(&format!("a report about asset \"{asset_key}\" was skipped: this is \"{asset}\""));
        }
        other
    }

    fn custom(&mut self, params: &Value) {
        let payload = params.get("payload").cloned().unwrap_or_default();
        if payload.get("backstitch").is_none() {
            // Somebody else's convention; kept where people can see it.
            return self.capture.line(&format!("custom message {payload}"));
        }
        self.with("report_custom_message", payload, |session, CustomPayload { backstitch: report }| {
            let result = match report.status {
                PartitionStatus::Succeeded => Ok(()),
                PartitionStatus::Failed => {
                    Err(report.message.unwrap_or_else(|| "the asset's code reported a failure".to_owned()))
                }
            };
            if session.partitions.len() >= PARTITIONS && !session.partitions.contains_key(&report.partition) {
                return session.warn("an outcome of one partition too many was skipped");
            }
            let (metadata, _) = bounded_metadata(entries(report.metadata.unwrap_or_default()));
            let outcome = PartitionOutcome { result, metadata, data_version: report.data_version };
            session.partitions.insert(report.partition, outcome);
        });
    }
}

fn child_error(exception: &Exception) -> ChildError {
    ChildError { message: exception.headline(), stack: exception.stack() }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
