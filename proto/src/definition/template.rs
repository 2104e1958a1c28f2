//! Placeholders in command arguments and environment values.
//!
//! `{{partition_key}}`, `{{dimension.NAME}}`, `{{window.start}}`, `{{window.end}}`, `{{config.NAME}}`, `{{run_id}}`,
//! `{{asset}}` and `{{attempt}}`: two braces, a lower-case word, perhaps a dot and a name, two braces, no spaces.
//! Everything else stays as it is, so an awk program or a JSON text in an argument needs no escaping. A text of
//! that form with another word is an error and not a literal, because it is nearly always a slip of the pen; a
//! literal `{{word}}` is written with a space, `{ {word} }`.
//!
//! A template is parsed and its words are checked when the project is; rendering only fills in. There are no
//! filters and no expressions: what needs more reads the environment variables or the Dagster Pipes context.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde_json::{Map, Value};
use thiserror::Error;

use super::suggest::did_you_mean;

/// The words without the names that follow `config.` and `dimension.`.
const WORDS: [&str; 8] = [
    "partition_key",
    "dimension.NAME",
    "window.start",
    "window.end",
    "config.NAME",
    "run_id",
    "asset",
    "attempt",
];

/// What a placeholder stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Placeholder {
    /// The key of the partition.
    PartitionKey,
    /// The key in one dimension of a multi-dimensional partition.
    Dimension(String),
    /// Start of the partition's time window, RFC 3339.
    WindowStart,
    /// End of the partition's time window, exclusive, RFC 3339.
    WindowEnd,
    /// A config field: text as it is, other values as JSON.
    Config(String),
    /// The run.
    RunId,
    /// The asset.
    Asset,
    /// The attempt, from 1.
    Attempt,
}

impl fmt::Display for Placeholder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PartitionKey => f.write_str("{{partition_key}}"),
            Self::Dimension(name) => write!(f, "{{{{dimension.{name}}}}}"),
            Self::WindowStart => f.write_str("{{window.start}}"),
            Self::WindowEnd => f.write_str("{{window.end}}"),
            Self::Config(name) => write!(f, "{{{{config.{name}}}}}"),
            Self::RunId => f.write_str("{{run_id}}"),
            Self::Asset => f.write_str("{{asset}}"),
            Self::Attempt => f.write_str("{{attempt}}"),
        }
    }
}

/// What is wrong with a template, or missing for it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TemplateError {
    /// The form of a placeholder with a word that nothing knows.
    #[error("unknown placeholder {{{{{word}}}}}{hint}; a literal is written with a space, as in `{{ {{`")]
    Unknown {
        /// What stands between the braces.
        word: String,
        /// The nearest known one, or the list.
        hint: String,
    },
    /// A known word with spaces around it.
    #[error("placeholders have no spaces: write {0}")]
    Spaces(Placeholder),
    /// The values do not have what a placeholder stands for.
    #[error("there is no value for {0}")]
    NoValue(Placeholder),
}

/// A text with its placeholders found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Placeholder(Placeholder),
}

/// What the placeholders of one invocation stand for.
#[derive(Clone, Debug, Default)]
pub struct TemplateValues<'a> {
    /// The asset's name.
    pub asset: &'a str,
    /// The run's id.
    pub run_id: &'a str,
    /// The attempt, from 1.
    pub attempt: u32,
    /// The key of the one partition; none for an unpartitioned asset or several partitions.
    pub partition_key: Option<&'a str>,
    /// The key in each dimension.
    pub dimensions: BTreeMap<&'a str, &'a str>,
    /// Start and exclusive end of the time window, RFC 3339.
    pub window: Option<(&'a str, &'a str)>,
    /// The asset's resolved config; none means an empty one.
    pub config: Option<&'a Map<String, Value>>,
}

impl Template {
    /// The placeholders, in order of appearance.
    pub fn placeholders(&self) -> impl Iterator<Item = &Placeholder> {
        self.parts.iter().filter_map(|part| match part {
            Part::Placeholder(placeholder) => Some(placeholder),
            Part::Literal(_) => None,
        })
    }
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(open) = rest.find("{{") {
            let (before, from_open) = rest.split_at(open);
            literal.push_str(before);
            let inner = from_open[2..].split_once("}}").map(|(inner, _)| inner);
            if let Some(placeholder) = inner.map(placeholder).transpose()?.flatten() {
                if !literal.is_empty() {
                    parts.push(Part::Literal(std::mem::take(&mut literal)));
                }
                parts.push(Part::Placeholder(placeholder));
                // Two braces, what is between, two braces: all found above.
                rest = &from_open[inner.map_or(0, str::len) + 4..];
            } else {
                // One brace only: `{{{partition_key}}}` is a placeholder in braces.
                literal.push('{');
                rest = &from_open[1..];
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(Self { parts })
    }
}

/// What stands between two pairs of braces, if it has a placeholder's form.
fn placeholder(inner: &str) -> Result<Option<Placeholder>, TemplateError> {
    let known = known(inner.trim());
    if inner.trim().len() < inner.len() {
        return known.map_or(Ok(None), |placeholder| Err(TemplateError::Spaces(placeholder)));
    }
    if known.is_some() || !has_form(inner) {
        return Ok(known);
    }
    let hint = did_you_mean(inner, WORDS);
    let hint = if hint.is_empty() { format!(" (known: {})", WORDS.join(", ")) } else { hint };
    Err(TemplateError::Unknown { word: inner.to_owned(), hint })
}

fn known(inner: &str) -> Option<Placeholder> {
    Some(match inner {
        "partition_key" => Placeholder::PartitionKey,
        "window.start" => Placeholder::WindowStart,
        "window.end" => Placeholder::WindowEnd,
        "run_id" => Placeholder::RunId,
        "asset" => Placeholder::Asset,
        "attempt" => Placeholder::Attempt,
        other if !has_form(other) => return None,
        other => match other.split_once('.')? {
            ("config", name) => Placeholder::Config(name.to_owned()),
            ("dimension", name) => Placeholder::Dimension(name.to_owned()),
            _ => return None,
        },
    })
}

/// A lower-case word, then perhaps a dot and a name.
fn has_form(inner: &str) -> bool {
    let (word, name) = inner.split_once('.').map_or((inner, None), |(word, name)| (word, Some(name)));
    let word_fits = word.starts_with(|c: char| c.is_ascii_lowercase())
        && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    let name_fits = name.is_none_or(|name| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
    });
    word_fits && name_fits
}

/// Fills in a template.
///
/// # Errors
/// [`TemplateError::NoValue`] for a placeholder that the values have nothing for; checked definitions and the
/// matching values never have one.
pub fn render(template: &Template, values: &TemplateValues<'_>) -> Result<String, TemplateError> {
    let mut text = String::new();
    for part in &template.parts {
        match part {
            Part::Literal(literal) => text.push_str(literal),
            Part::Placeholder(placeholder) => {
                let value = value_of(placeholder, values);
                text.push_str(&value.ok_or_else(|| TemplateError::NoValue(placeholder.clone()))?);
            }
        }
    }
    Ok(text)
}

fn value_of(placeholder: &Placeholder, values: &TemplateValues<'_>) -> Option<String> {
    Some(match placeholder {
        Placeholder::PartitionKey => values.partition_key?.to_owned(),
        Placeholder::Dimension(name) => (*values.dimensions.get(name.as_str())?).to_owned(),
        Placeholder::WindowStart => values.window?.0.to_owned(),
        Placeholder::WindowEnd => values.window?.1.to_owned(),
        Placeholder::Config(name) => match values.config?.get(name)? {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        },
        Placeholder::RunId => values.run_id.to_owned(),
        Placeholder::Asset => values.asset.to_owned(),
        Placeholder::Attempt => values.attempt.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rendered(text: &str) -> Result<String, TemplateError> {
        let config = json!({ "unit": "F", "days": 3 });
        let values = TemplateValues {
            asset: "daily",
            run_id: "r1",
            attempt: 2,
            partition_key: Some("2010-01-01|sf"),
            dimensions: BTreeMap::from([("date", "2010-01-01"), ("city", "sf")]),
            window: Some(("2010-01-01T00:00:00-08:00", "2010-01-02T00:00:00-08:00")),
            config: config.as_object(),
        };
        render(&text.parse()?, &values)
    }

    #[test]
    fn every_placeholder_is_filled_in() {
        assert_eq!(
            rendered("{{asset}} {{run_id}} {{attempt}} {{partition_key}} {{dimension.city}}"),
            Ok("daily r1 2 2010-01-01|sf sf".to_owned())
        );
        assert_eq!(
            rendered("{{window.start}}/{{window.end}}"),
            Ok("2010-01-01T00:00:00-08:00/2010-01-02T00:00:00-08:00".to_owned())
        );
        assert_eq!(
            rendered("--unit={{config.unit}} --days={{config.days}}"),
            Ok("--unit=F --days=3".to_owned())
        );
    }

    #[test]
    fn programs_with_braces_stay_untouched() {
        for text in [
            "BEGIN { FS = \",\" } { n[$1]++ } END { for (k in n) { print k } }",
            "{ { print } }",
            "{{ print $1 }}",
            "{{ print }}",
            "{{print $1}}",
            "{\"a\": {\"b\": {}}}",
            "{{}}",
            "{{",
            "}}",
            "{{{",
            "{{$x}}",
        ] {
            assert_eq!(rendered(text), Ok(text.to_owned()));
        }
    }

    #[test]
    fn a_placeholder_in_braces_keeps_its_braces() {
        assert_eq!(rendered("{\"days\":{{config.days}}}"), Ok("{\"days\":3}".to_owned()));
        assert_eq!(rendered("{{{config.days}}}"), Ok("{3}".to_owned()));
    }

    #[test]
    fn a_filled_in_value_is_not_read_again() {
        let config = json!({ "unit": "{{run_id}}" });
        let values = TemplateValues { config: config.as_object(), ..TemplateValues::default() };
        assert_eq!(render(&"{{config.unit}}".parse().unwrap(), &values), Ok("{{run_id}}".to_owned()));
    }

    #[test]
    fn slips_of_the_pen_are_errors_that_name_the_mend() {
        let said = |text: &str| text.parse::<Template>().unwrap_err().to_string();
        assert_eq!(
            said("x {{partition_kye}}"),
            "unknown placeholder {{partition_kye}} (did you mean \"partition_key\"?); a literal is written with a \
             space, as in `{ {`"
        );
        assert!(said("{{secret.x}}").contains("(known: partition_key, dimension.NAME, window.start"));
        assert_eq!(said("{{ partition_key }}"), "placeholders have no spaces: write {{partition_key}}");
        assert_eq!(said("{{ config.unit }}"), "placeholders have no spaces: write {{config.unit}}");
    }

    #[test]
    fn a_placeholder_without_a_value_is_an_error() {
        let template: Template = "{{partition_key}}".parse().unwrap();
        let error = render(&template, &TemplateValues::default()).unwrap_err();
        assert_eq!(error.to_string(), "there is no value for {{partition_key}}");
    }
}
