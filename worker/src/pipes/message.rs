//! The messages of a child, as the protocol writes them.

use serde::Deserialize;
use serde_json::{Map, Value};

/// One line of the message channel.
#[derive(Debug, Deserialize)]
pub(super) struct Envelope {
    /// Marks a message of the protocol.
    #[serde(rename = "__dagster_pipes_version")]
    pub(super) version: String,
    pub(super) method: String,
    #[serde(default)]
    pub(super) params: Value,
}

#[derive(Debug, Deserialize)]
pub(super) struct Log {
    pub(super) message: String,
    pub(super) level: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Materialization {
    pub(super) asset_key: String,
    #[serde(default)]
    pub(super) data_version: Option<String>,
    #[serde(default)]
    pub(super) metadata: Option<Map<String, Value>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Check {
    pub(super) asset_key: String,
    pub(super) check_name: String,
    pub(super) passed: bool,
    #[serde(default)]
    pub(super) metadata: Option<Map<String, Value>>,
    #[serde(default)]
    pub(super) severity: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ExternalStream {
    pub(super) text: String,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Closed {
    #[serde(default)]
    pub(super) exception: Option<Exception>,
}

/// An exception of the child with those that led to it.
#[derive(Debug, Deserialize)]
pub(super) struct Exception {
    #[serde(default)]
    pub(super) message: String,
    #[serde(default)]
    pub(super) stack: Vec<String>,
    #[serde(default)]
    pub(super) name: Option<String>,
    #[serde(default)]
    pub(super) cause: Option<Box<Exception>>,
    #[serde(default)]
    pub(super) context: Option<Box<Exception>>,
}

/// Payload of `report_custom_message` that gives the outcome of one partition of a batch:
/// `{"backstitch": {"partition": KEY, "status": "failed", ...}}`.
#[derive(Debug, Deserialize)]
pub(super) struct CustomPayload {
    pub(super) backstitch: PartitionReport,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PartitionReport {
    pub(super) partition: String,
    pub(super) status: PartitionStatus,
    #[serde(default)]
    pub(super) message: Option<String>,
    #[serde(default)]
    pub(super) metadata: Option<Map<String, Value>>,
    #[serde(default)]
    pub(super) data_version: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum PartitionStatus {
    Succeeded,
    Failed,
}

impl Exception {
    /// Name and message in one line, as the language prints it.
    pub(super) fn headline(&self) -> String {
        let message = self.message.trim_end();
        match &self.name {
            // Python puts the name into the message.
            Some(name) if !message.starts_with(name.as_str()) => format!("{name}: {message}"),
            _ => message.to_owned(),
        }
    }

    /// The stack, and those of the exceptions that led to it.
    pub(super) fn stack(&self) -> String {
        let mut text = String::new();
        self.write_stack(&mut text);
        text
    }

    fn write_stack(&self, text: &mut String) {
        // serde_json bounds the depth of the chain: its parser refuses more than 128 levels.
        let before = match (&self.cause, &self.context) {
            (Some(cause), _) => Some((cause, "The above exception was the direct cause of:")),
            (None, Some(context)) => Some((context, "During handling of the above exception:")),
            (None, None) => None,
        };
        if let Some((before, link)) = before {
            before.write_stack(text);
            text.push_str(&format!("\n{link}\n\n"));
        }
        text.extend(self.stack.iter().map(String::as_str));
        text.push_str(&self.headline());
        text.push('\n');
    }
}
