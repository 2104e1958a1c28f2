//! The variables that a child finds.
//!
//! It inherits the worker's environment without the worker's own secrets, and is told its task in plain variables,
//! for programs that want nothing but those. docs/worker.md lists them for users.

use std::ffi::OsString;

use backstitch_proto::message::{TraceContext, Window};
use serde_json::Value;

use super::scratch::Scratch;
use crate::execution::Execution;
use crate::pipes::context::{CONTEXT_VARIABLE, MESSAGES_VARIABLE, covering, rfc3339};

const PREFIX: &str = "BACKSTITCH_";

/// Prefix of everything about the partition; a worker that itself runs inside a task must not hand on its own.
const OWN_PREFIXES: &[&str] =
    &["BACKSTITCH_PARTITION_", "BACKSTITCH_WINDOW_", "BACKSTITCH_CONFIG", "DAGSTER_PIPES_", "TRACEPARENT"];

/// Endings of the names of the worker's own variables that hold credentials: broker and database addresses.
const SECRET_ENDINGS: &[&str] = &["_URL", "_PASSWORD", "_TOKEN", "_SECRET"];

/// Changes to the inherited environment.
#[derive(Debug)]
pub(crate) struct Environment {
    /// Inherited names that the child does not see.
    pub(crate) removed: Vec<OsString>,
    /// Names and values that it sees, the later one of a name wins.
    pub(crate) set: Vec<(String, String)>,
}

impl Environment {
    /// The environment of one execution; `extra` is the asset's own, which comes last and so may override.
    pub(crate) fn new(execution: &Execution<'_>, scratch: &Scratch, extra: Vec<(String, String)>) -> Self {
        let mut set = task_variables(execution);
        set.push(("BACKSTITCH_METADATA".to_owned(), scratch.metadata_path().to_string_lossy().into_owned()));
        set.push((CONTEXT_VARIABLE.to_owned(), scratch.context_param()));
        set.push((MESSAGES_VARIABLE.to_owned(), scratch.messages_param()));
        set.extend(extra);
        let removed =
            std::env::vars_os().map(|(name, _)| name).filter(|name| is_withheld(&name.to_string_lossy()));
        Self { removed: removed.collect(), set }
    }
}

/// The worker's own variable is none of the child's business.
fn is_withheld(name: &str) -> bool {
    let secret = name.starts_with(PREFIX) && SECRET_ENDINGS.iter().any(|ending| name.ends_with(ending));
    secret || OWN_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn task_variables(execution: &Execution<'_>) -> Vec<(String, String)> {
    let dispatch = execution.dispatch;
    let invocation = &dispatch.invocation;
    let mut variables = vec![
        ("BACKSTITCH_ASSET".to_owned(), dispatch.asset.clone()),
        ("BACKSTITCH_RUN_ID".to_owned(), dispatch.run.to_string()),
        ("BACKSTITCH_ATTEMPT".to_owned(), dispatch.attempt.to_string()),
        // The number, not the form for people: a sink compares fencing tokens as integers.
        ("BACKSTITCH_DISPATCH".to_owned(), dispatch.id.0.to_string()),
        ("BACKSTITCH_PROJECT_DIR".to_owned(), execution.project_dir.to_string_lossy().into_owned()),
        ("BACKSTITCH_CONFIG".to_owned(), invocation.config_json.clone()),
    ];
    config_variables(&invocation.config_json, &mut variables);
    if invocation.partitioned {
        if let [task] = execution.tasks {
            // Dimensions first: one that is named `key` or `keys` loses to the variable of that name.
            for (dimension, part) in dimensions(&invocation.dimensions, &task.key) {
                variables.push((format!("BACKSTITCH_PARTITION_{}", shouted(dimension)), part.to_owned()));
            }
            variables.push(("BACKSTITCH_PARTITION_KEY".to_owned(), task.key.clone()));
        }
        let keys: Vec<&str> = execution.tasks.iter().map(|task| task.key.as_str()).collect();
        variables.push(("BACKSTITCH_PARTITION_KEYS".to_owned(), keys.join("\n")));
    }
    if let Some(Window { start_us, end_us }) = covering(execution.tasks) {
        variables.push(("BACKSTITCH_WINDOW_START".to_owned(), rfc3339(start_us)));
        variables.push(("BACKSTITCH_WINDOW_END".to_owned(), rfc3339(end_us)));
    }
    if let Some(trace) = execution.trace {
        variables.push(("TRACEPARENT".to_owned(), traceparent(trace)));
    }
    variables
}

/// Names of the dimensions with their parts of `key`.
pub(crate) fn dimensions<'a>(
    names: &'a [String],
    key: &'a str,
) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
    names.iter().map(String::as_str).zip(key.split('|'))
}

fn config_variables(config_json: &str, variables: &mut Vec<(String, String)>) {
    let Ok(Value::Object(config)) = serde_json::from_str(config_json) else {
        return;
    };
    for (name, value) in config {
        let text = match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        variables.push((format!("BACKSTITCH_CONFIG_{}", shouted(&name)), text));
    }
}

/// A name as part of a variable's name: upper case, everything else than letters and digits an underscore.
fn shouted(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

/// The W3C header of a trace context.
fn traceparent(trace: TraceContext) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("00-{}-{}-{:02x}", hex(&trace.trace_id), hex(&trace.span_id), trace.flags)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn variables(dispatch: backstitch_proto::message::Dispatch) -> Vec<(String, String)> {
        testing::with_execution(dispatch, task_variables)
    }

    fn value<'a>(variables: &'a [(String, String)], name: &str) -> Option<&'a str> {
        variables.iter().rev().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn the_workers_secrets_stay_with_the_worker() {
        assert!(is_withheld("BACKSTITCH_DATABASE_URL"));
        assert!(is_withheld("BACKSTITCH_BROKER_URL"));
        assert!(is_withheld("BACKSTITCH_API_TOKEN"));
        assert!(is_withheld("DAGSTER_PIPES_CONTEXT"));
        assert!(!is_withheld("WAREHOUSE_URL") && !is_withheld("PATH") && !is_withheld("BACKSTITCH_SLOTS"));
    }

    #[test]
    fn one_partition_of_two_dimensions_is_told_part_by_part() {
        let mut dispatch = testing::dispatch("readings", &["1970-01-01|sea"]);
        testing::invocation(&mut dispatch).dimensions = vec!["date".into(), "home-city".into()];
        let variables = variables(dispatch);
        assert_eq!(value(&variables, "BACKSTITCH_PARTITION_KEY"), Some("1970-01-01|sea"));
        assert_eq!(value(&variables, "BACKSTITCH_PARTITION_DATE"), Some("1970-01-01"));
        assert_eq!(value(&variables, "BACKSTITCH_PARTITION_HOME_CITY"), Some("sea"));
    }

    #[test]
    fn a_batch_has_all_keys_and_the_window_of_the_whole() {
        let variables = variables(testing::dispatch("readings", &["a", "b"]));
        assert_eq!(value(&variables, "BACKSTITCH_PARTITION_KEY"), None);
        assert_eq!(value(&variables, "BACKSTITCH_PARTITION_KEYS"), Some("a\nb"));
        assert_eq!(value(&variables, "BACKSTITCH_WINDOW_START"), Some("1970-01-01T00:00:00+00:00"));
        assert_eq!(value(&variables, "BACKSTITCH_WINDOW_END"), Some("1970-01-03T00:00:00+00:00"));
    }

    #[test]
    fn config_is_there_as_json_and_name_by_name() {
        let mut dispatch = testing::dispatch("readings", &["a"]);
        testing::invocation(&mut dispatch).config_json = r#"{"unit":"F","max-rows":10}"#.into();
        let variables = variables(dispatch);
        assert_eq!(value(&variables, "BACKSTITCH_CONFIG"), Some(r#"{"unit":"F","max-rows":10}"#));
        assert_eq!(value(&variables, "BACKSTITCH_CONFIG_UNIT"), Some("F"));
        assert_eq!(value(&variables, "BACKSTITCH_CONFIG_MAX_ROWS"), Some("10"));
    }

    #[test]
    fn an_unpartitioned_asset_has_no_partition_variables() {
        let variables = variables(testing::unpartitioned("report"));
        assert!(!variables.iter().any(|(name, _)| name.contains("PARTITION") || name.contains("WINDOW")));
    }
}
