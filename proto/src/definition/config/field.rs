//! One field of an asset's config, and which values fit it.
//!
//! Values come as JSON (API, project file) or as text (command line, web form). Text is read as the field's type
//! wants it, so `--config days=3` is a number; the other way round nothing is guessed: the number 3 is not
//! the text "3".

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};

/// What a config field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConfigType {
    /// A whole number of 64 bits.
    Int,
    /// A number; whole ones are welcome.
    Float,
    /// A text.
    Str,
    /// `true` or `false`.
    Bool,
}

impl ConfigType {
    /// The type as people call it.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Int => "a whole number",
            Self::Float => "a number",
            Self::Str => "a text",
            Self::Bool => "true or false",
        }
    }
}

/// A field that a run may set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigField {
    /// What it holds.
    #[serde(rename = "type")]
    pub kind: ConfigType,
    /// What it means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The value of runs that do not set it. Absent: a run must set it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// The only values that it may have. Absent: any of its type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<Value>>,
}

impl ConfigType {
    /// `given` as a value of this type, texts being read where another type is wanted.
    fn read(self, given: &Value) -> Option<Value> {
        match (self, given.as_str().map(str::trim)) {
            (Self::Int, Some(text)) => text.parse::<i64>().ok().map(Value::from),
            (Self::Float, Some(text)) => text.parse().ok().and_then(Number::from_f64).map(Value::Number),
            (Self::Bool, Some(text)) => text.parse::<bool>().ok().map(Value::Bool),
            _ => self.hold(given),
        }
    }

    /// `given` as this type holds it (a float holds whole numbers as floats), if it is of the type already.
    pub(crate) fn hold(self, given: &Value) -> Option<Value> {
        match self {
            Self::Int => given.as_i64().map(Value::from),
            Self::Float => given.as_f64().and_then(Number::from_f64).map(Value::Number),
            Self::Str => given.is_string().then(|| given.clone()),
            Self::Bool => given.as_bool().map(Value::Bool),
        }
    }
}

impl ConfigField {
    /// `given` as this field holds it, if it fits the type and the list of values.
    ///
    /// # Errors
    /// What was expected instead, in words: `a whole number`, `one of "C", "F"`.
    pub fn accept(&self, given: &Value) -> Result<Value, String> {
        let value = self.kind.read(given).ok_or_else(|| self.kind.words().to_owned())?;
        self.among_values(value)
    }

    /// The default as this field holds it; none if there is no default.
    ///
    /// # Errors
    /// What was expected instead. A project file can write every type, so texts are not read here.
    pub(crate) fn accept_default(&self) -> Option<Result<Value, String>> {
        let held = self.kind.hold(self.default.as_ref()?);
        Some(held.ok_or_else(|| self.kind.words().to_owned()).and_then(|value| self.among_values(value)))
    }

    fn among_values(&self, value: Value) -> Result<Value, String> {
        match &self.values {
            Some(values)
                if !values.iter().any(|allowed| self.kind.hold(allowed).as_ref() == Some(&value)) =>
            {
                let list: Vec<String> = values.iter().map(Value::to_string).collect();
                Err(format!("one of {}", list.join(", ")))
            }
            _ => Ok(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn field(kind: ConfigType) -> ConfigField {
        ConfigField { kind, description: None, default: None, values: None }
    }

    #[test]
    fn text_is_read_as_the_type_wants_it() {
        assert_eq!(field(ConfigType::Int).accept(&json!("3")), Ok(json!(3)));
        assert_eq!(field(ConfigType::Float).accept(&json!("3")), Ok(json!(3.0)));
        assert_eq!(field(ConfigType::Float).accept(&json!(3)), Ok(json!(3.0)));
        assert_eq!(field(ConfigType::Bool).accept(&json!("true")), Ok(json!(true)));
        assert_eq!(field(ConfigType::Str).accept(&json!("3")), Ok(json!("3")));
    }

    #[test]
    fn nothing_is_guessed_from_a_value_of_another_type() {
        for (kind, given) in [
            (ConfigType::Int, json!(3.5)),
            (ConfigType::Int, json!("three")),
            (ConfigType::Int, json!(true)),
            (ConfigType::Float, json!("nan")),
            (ConfigType::Float, json!(null)),
            (ConfigType::Bool, json!(1)),
            (ConfigType::Bool, json!("yes")),
            (ConfigType::Str, json!(3)),
            (ConfigType::Str, json!(["a"])),
        ] {
            assert_eq!(field(kind).accept(&given), Err(kind.words().to_owned()), "{kind:?} {given}");
        }
    }

    #[test]
    fn an_enumerated_field_takes_only_its_values() {
        let unit = ConfigField { values: Some(vec![json!("C"), json!("F")]), ..field(ConfigType::Str) };
        assert_eq!(unit.accept(&json!("F")), Ok(json!("F")));
        assert_eq!(unit.accept(&json!("K")), Err("one of \"C\", \"F\"".to_owned()));
    }
}
