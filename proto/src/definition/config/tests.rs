//! What runs set, and what assets get.

use serde_json::{Value, json};

use super::*;
use crate::definition::Definitions;

const PROJECT: &str = "\
assets:
  smooth:
    command: [smooth]
    config:
      days: {type: int, default: 3}
      unit: {type: str, values: [C, F], default: C}
  export.csv:
    command: [export]
    config:
      unit: {type: str, default: K}
      target: {type: str}
      ratio: {type: float, default: 1}
  other: {command: [other]}
";

/// Resolves for all assets but `other`.
fn resolved(given: &Value) -> Result<Value, Vec<String>> {
    let definitions = Definitions::from_yaml("backstitch.yaml", PROJECT).unwrap();
    let given: RunConfig = given.as_object().unwrap().clone().into_iter().collect();
    let selected = definitions.topological().iter().filter(|name| name.as_str() != "other");
    match resolve(&definitions, selected, &given) {
        Ok(resolved) => Ok(json!(resolved)),
        Err(errors) => Err(errors.0.iter().map(ToString::to_string).collect()),
    }
}

#[test]
fn defaults_fill_what_a_run_leaves_open_and_the_longer_key_wins() {
    let given = json!({ "target": "s3", "days": "7", "unit": "F", "export.csv.unit": "any" });
    assert_eq!(
        resolved(&given),
        Ok(json!({
            "smooth": { "days": 7, "unit": "F" },
            "export.csv": { "unit": "any", "target": "s3", "ratio": 1.0 },
        }))
    );
}

#[test]
fn everything_that_is_wrong_is_told_at_once_with_what_was_expected() {
    let given = json!({
        "days": "three",
        "smooth.unit": "K",
        "smooth.dayz": 1,
        "smoth.days": 1,
        "other.days": 1,
        "ratoi": 2,
    });
    assert_eq!(
        resolved(&given),
        Err(vec![
            "config days: expected a whole number, found \"three\"".to_owned(),
            "config other.days: asset \"other\" is not among the selected assets".to_owned(),
            "config ratoi: none of the selected assets has a field \"ratoi\" (did you mean \"ratio\"?)"
                .to_owned(),
            "config smooth.dayz: asset \"smooth\" has no field \"dayz\" (did you mean \"days\"?)".to_owned(),
            "config smooth.unit: expected one of \"C\", \"F\", found \"K\"".to_owned(),
            "config smoth.days: asset \"smoth\" is not defined (did you mean \"smooth\"?)".to_owned(),
            "config export.csv.target is not set: a text is required (--config export.csv.target=...)"
                .to_owned(),
        ])
    );
}

#[test]
fn a_key_for_several_assets_must_fit_all_of_them() {
    assert_eq!(
        resolved(&json!({ "target": "s3", "unit": "K" })),
        Err(vec!["config unit: expected one of \"C\", \"F\", found \"K\"".to_owned()])
    );
}
