//! The answers: JSON for programs, lines for people.

use serde::Serialize;
use serde_json::{Map, Value};

use super::options::Plan;
use super::servers::{Servers, Settings};
use crate::display::plural;

/// What was measured, under which conditions, and whether the ledger holds together afterwards.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    configuration: Configuration,
    #[serde(flatten)]
    figures: Map<String, Value>,
    violations: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Configuration {
    #[serde(flatten)]
    plan: Plan,
    version: &'static str,
    optimised: bool,
    processors: Option<usize>,
    #[serde(flatten)]
    servers: Settings,
}

impl Report {
    pub(super) fn new(plan: &Plan, servers: &Servers, figures: Value, violations: Vec<String>) -> Self {
        let configuration = Configuration {
            plan: plan.clone(),
            version: env!("CARGO_PKG_VERSION"),
            optimised: !cfg!(debug_assertions),
            processors: std::thread::available_parallelism().ok().map(usize::from),
            servers: servers.settings.clone(),
        };
        let figures = match figures {
            Value::Object(figures) => figures,
            other => Map::from_iter([("figures".to_owned(), other)]),
        };
        Self { configuration, figures, violations }
    }

    /// No invariant is violated.
    pub(super) fn holds(&self) -> bool {
        self.violations.is_empty()
    }

    pub(super) fn to_text(&self) -> String {
        let mut lines = Vec::new();
        if let Ok(Value::Object(configuration)) = serde_json::to_value(&self.configuration) {
            lines.push(inline(&configuration));
        }
        lines.extend(self.figures.iter().map(|(name, value)| format!("{name:<28} {}", shown(value))));
        lines.push(match self.violations.len() as u64 {
            0 => "All invariants hold.".to_owned(),
            n => format!("{} violated:\n{}", plural(n, "invariant"), self.violations.join("\n")),
        });
        lines.join("\n")
    }
}

fn inline(map: &Map<String, Value>) -> String {
    map.iter().map(|(name, value)| format!("{name} {}", shown(value))).collect::<Vec<_>>().join(", ")
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            Some(number) if number.abs() < 10.0 => format!("{number:.3}"),
            Some(number) => format!("{number:.1}"),
            None => number.to_string(),
        },
        Value::Object(map) => inline(map),
        // A curve: people look at it elsewhere.
        Value::Array(points) => format!("{} points", points.len()),
        Value::Bool(yes) => yes.to_string(),
    }
}
