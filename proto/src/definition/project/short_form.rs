//! Fields with a short form: a plain name where no more needs saying, a mapping where it does.
//!
//! Serde's untagged enums would do the same and answer every mistake with "did not match any variant"; here the
//! shape decides which form is meant, and the error is the one of that form.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{
        self, IntoDeserializer, MapAccess, Visitor,
        value::{MapAccessDeserializer, StrDeserializer},
    },
};

/// Reads a text as `Short` and a mapping as `Long`.
pub(super) fn text_or_mapping<'de, Short, Long, T, D>(
    deserializer: D,
    expecting: &'static str,
    from_short: fn(Short) -> T,
    from_long: fn(Long) -> T,
) -> Result<T, D::Error>
where
    Short: Deserialize<'de>,
    Long: Deserialize<'de>,
    D: Deserializer<'de>,
{
    deserializer.deserialize_any(Form { expecting, from_short, from_long })
}

/// The schema of the two forms.
pub(super) fn schema<Short: JsonSchema, Long: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let forms = [generator.subschema_for::<Short>(), generator.subschema_for::<Long>()];
    json_schema!({ "anyOf": forms })
}

struct Form<Short, Long, T> {
    expecting: &'static str,
    from_short: fn(Short) -> T,
    from_long: fn(Long) -> T,
}

impl<'de, Short: Deserialize<'de>, Long: Deserialize<'de>, T> Visitor<'de> for Form<Short, Long, T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expecting)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        let text: StrDeserializer<'_, E> = text.into_deserializer();
        Short::deserialize(text).map(self.from_short)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        Long::deserialize(MapAccessDeserializer::new(map)).map(self.from_long)
    }
}
