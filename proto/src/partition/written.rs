//! Reading fields that are either a text or something bigger.
//!
//! serde's own way (`untagged`) reads through a buffer that has already decided what each word is, so that
//! the key `y` arrives as a boolean and line and column are gone. These visitors decide by the outer
//! shape alone and read everything inside with its own type.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Reads a text, or a mapping of type `M`.
pub(crate) fn text_or_mapping<'de, D, M, T>(
    deserializer: D,
    expecting: &'static str,
    text: fn(String) -> T,
    mapping: fn(M) -> T,
) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    M: Deserialize<'de>,
{
    struct TextOrMapping<M, T> {
        expecting: &'static str,
        text: fn(String) -> T,
        mapping: fn(M) -> T,
    }

    impl<'de, M: Deserialize<'de>, T> Visitor<'de> for TextOrMapping<M, T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.expecting)
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
            Ok((self.text)(text.to_owned()))
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            M::deserialize(MapAccessDeserializer::new(map)).map(self.mapping)
        }
    }

    deserializer.deserialize_any(TextOrMapping { expecting, text, mapping })
}

/// Reads one text, or a list of them.
pub(crate) fn text_or_list<'de, D, T>(
    deserializer: D,
    expecting: &'static str,
    list: fn(Vec<String>) -> T,
) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
{
    struct TextOrList<T> {
        expecting: &'static str,
        list: fn(Vec<String>) -> T,
    }

    impl<'de, T> Visitor<'de> for TextOrList<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.expecting)
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
            Ok((self.list)(vec![text.to_owned()]))
        }

        fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<T, A::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(seq)).map(self.list)
        }
    }

    deserializer.deserialize_any(TextOrList { expecting, list })
}
