//! The JSON Schema of `backstitch.yaml`, for editors: generated from the types, so it cannot say anything else.

use schemars::{Schema, generate::SchemaSettings, transform::transform_subschemas};
use serde_json::Value;

use super::project::Project;

/// The schema, draft 2020-12.
pub fn json_schema() -> Value {
    let settings = SchemaSettings::draft2020_12().with_transform(refuse_null);
    let mut schema = settings.into_generator().into_root_schema_for::<Project>();
    schema.insert("title".to_owned(), "Backstitch project".into());
    schema.to_value()
}

/// Optional fields are left out and never `null`: a project file with a forgotten value is refused.
fn refuse_null(schema: &mut Schema) {
    if schema.get("default").is_some_and(Value::is_null) {
        schema.remove("default");
    }
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_mut_slice() {
            let only = only.take();
            schema.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(forms)) = schema.get_mut("anyOf") {
        forms.retain(|form| form.get("type").is_none_or(|kind| kind != "null"));
        if let [Value::Object(only)] = forms.as_mut_slice() {
            let only = std::mem::take(only);
            schema.remove("anyOf");
            for (key, value) in only {
                schema.insert(key, value);
            }
        }
    }
    transform_subschemas(&mut refuse_null, schema);
}
