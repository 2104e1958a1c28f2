//! Placeholders of a command, filled in for one execution.

use backstitch_proto::definition::template::{self, Template, TemplateError, TemplateValues};
use backstitch_proto::message::Window;
use serde_json::{Map, Value};

use super::environment::dimensions;
use crate::execution::Execution;
use crate::pipes::context::{covering, rfc3339};

/// What the placeholders stand for in one execution.
#[derive(Debug)]
pub(crate) struct Values<'a> {
    execution: &'a Execution<'a>,
    run_id: String,
    window: Option<(String, String)>,
    config: Option<Map<String, Value>>,
}

impl<'a> Values<'a> {
    /// The values of `execution`. A batch of several partitions has no partition key; its window is that of the
    /// whole.
    pub(crate) fn new(execution: &'a Execution<'_>) -> Self {
        let window = covering(execution.tasks);
        Self {
            execution,
            run_id: execution.dispatch.run.to_string(),
            window: window.map(|Window { start_us, end_us }| (rfc3339(start_us), rfc3339(end_us))),
            config: serde_json::from_str(&execution.dispatch.invocation.config_json).ok(),
        }
    }

    fn values(&self) -> TemplateValues<'_> {
        let dispatch = self.execution.dispatch;
        let key = match self.execution.tasks {
            [task] if dispatch.invocation.partitioned => Some(task.key.as_str()),
            _ => None,
        };
        TemplateValues {
            asset: &dispatch.asset,
            run_id: &self.run_id,
            attempt: u32::from(dispatch.attempt),
            partition_key: key,
            dimensions: key
                .map(|key| dimensions(&dispatch.invocation.dimensions, key).collect())
                .unwrap_or_default(),
            window: self.window.as_ref().map(|(start, end)| (start.as_str(), end.as_str())),
            config: self.config.as_ref(),
        }
    }
}

/// `text` with its placeholders filled in.
pub(crate) fn render(text: &str, values: &Values<'_>) -> Result<String, TemplateError> {
    let template: Template = text.parse()?;
    template::render(&template, &values.values())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn a_partition_is_told_by_its_placeholders() {
        let mut dispatch = testing::dispatch("readings", &["1970-01-01|sea"]);
        testing::invocation(&mut dispatch).dimensions = vec!["date".into(), "city".into()];
        testing::invocation(&mut dispatch).config_json = r#"{"unit":"F"}"#.into();
        testing::with_execution(dispatch, |execution| {
            let values = Values::new(execution);
            let text = "{{asset}} {{dimension.city}} {{window.start}} {{config.unit}} {{attempt}}";
            let expected = "readings sea 1970-01-01T00:00:00+00:00 F 1";
            assert_eq!(render(text, &values).as_deref(), Ok(expected));
        });
    }

    #[test]
    fn a_batch_has_no_partition_key() {
        testing::with_execution(testing::dispatch("readings", &["a", "b"]), |execution| {
            let error = render("{{partition_key}}", &Values::new(execution)).unwrap_err();
            assert_eq!(error.to_string(), "there is no value for {{partition_key}}");
        });
    }
}
