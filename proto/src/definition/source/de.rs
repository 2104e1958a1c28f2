//! Serde over [`Node`]s: values know their types' wishes, errors know their path.
//!
//! The path of an error is put together while it travels outwards: each mapping and list adds the step it came
//! from. Derived types whose input serde buffers (tagged enums) lose the inner steps; such an error stays at the
//! value as a whole, and [`super::decode`] finds an unknown field's place by its name.

use std::fmt;

use serde::{
    Deserializer, de,
    de::{
        DeserializeSeed, EnumAccess, Error as _, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
        VariantAccess, Visitor, value::StrDeserializer,
    },
    forward_to_deserialize_any,
};

use super::{
    super::{
        problem::Step,
        suggest::{did_you_mean, nearest},
    },
    node::{Content, Entry, Node, ScalarKind},
};

/// Why a node does not fit its type.
#[derive(Debug)]
pub(crate) struct Misfit {
    pub(super) kind: MisfitKind,
    pub(super) message: String,
    /// Steps to the value, innermost first.
    pub(super) path_inwards: Vec<Step>,
}

/// What decoding can do about it.
#[derive(Debug, PartialEq)]
pub(crate) enum MisfitKind {
    /// The value is wrong: it can be left out.
    Value,
    /// The mapping at the path has this key that nothing knows; perhaps it meant another.
    UnknownField { field: String, meant: Option<&'static str> },
    /// The mapping at the path lacks this key.
    MissingField(&'static str),
    /// The key that the path ends with is wrong.
    Key,
}

impl Misfit {
    fn new(kind: MisfitKind, message: String) -> Self {
        Self { kind, message, path_inwards: Vec::new() }
    }

    fn within(mut self, step: Step) -> Self {
        self.path_inwards.push(step);
        self
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Misfit {}

impl de::Error for Misfit {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(MisfitKind::Value, message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let wish = expected.to_string();
        Self::custom(format!("expected {}, found {}", plain_words(&wish), found_words(&found)))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let meant = nearest(field, expected.iter().copied());
        let hint = match meant {
            Some(meant) => format!(" (did you mean {meant:?}?)"),
            None if expected.is_empty() => String::new(),
            None => format!(" (known: {})", expected.join(", ")),
        };
        let kind = MisfitKind::UnknownField { field: field.to_owned(), meant };
        Self::new(kind, format!("unknown field {field:?}{hint}"))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let hint = did_you_mean(variant, expected.iter().copied());
        Self::custom(format!("{variant:?} is not one of {}{hint}", expected.join(", ")))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(MisfitKind::MissingField(field), format!("field {field:?} is missing"))
    }
}

/// Rust's words for a type, in a reader's words.
fn plain_words(wish: &str) -> &str {
    match wish {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "a nonzero u32" => "a whole number, 1 or more",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a string" | "string" => "a text",
        "a sequence" => "a list",
        "a map" => "a mapping",
        other if other.starts_with("struct ") => "a mapping",
        other => other,
    }
}

fn found_words(found: &Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => format!("{value}"),
        Unexpected::Unsigned(value) => format!("the number {value}"),
        Unexpected::Signed(value) => format!("the number {value}"),
        Unexpected::Float(value) => format!("the number {value}"),
        Unexpected::Str(text) => format!("the text {text:?}"),
        Unexpected::Unit | Unexpected::Option => "nothing".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a mapping".to_owned(),
        other => other.to_string(),
    }
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match &self.content {
            Content::Null => visitor.visit_unit(),
            Content::Scalar { text, kind } => match *kind {
                ScalarKind::Text => visitor.visit_borrowed_str(text),
                ScalarKind::Bool(value) => visitor.visit_bool(value),
                ScalarKind::Signed(value) => visitor.visit_i64(value),
                ScalarKind::Unsigned(value) => visitor.visit_u64(value),
                ScalarKind::Float(value) => visitor.visit_f64(value),
            },
            Content::List(items) => visitor.visit_seq(Items { items: items.iter().enumerate() }),
            Content::Map(entries) => visitor.visit_map(Entries { entries: entries.iter(), value: None }),
        }
    }

    /// A text takes any scalar by its spelling, so `code_version: 1.10` needs no quotes.
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match &self.content {
            Content::Scalar { text, .. } => visitor.visit_borrowed_str(text),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match &self.content {
            Content::Null => Err(Misfit::custom("expected a value, found nothing (leave the field out)")),
            _ => visitor.visit_some(self),
        }
    }

    /// Derived structs would read a list as their fields in order; nobody who writes a list means that.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        self.deserialize_map(visitor)
    }

    /// Nothing is an empty mapping: a section whose entries are commented out, an asset with nothing to say.
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match &self.content {
            Content::Null => visitor.visit_map(Entries { entries: [].iter(), value: None }),
            Content::List(_) => Err(Misfit::invalid_type(Unexpected::Seq, &"a mapping")),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        match &self.content {
            Content::Scalar { text, .. } => visitor.visit_enum(Variant { name: text, value: None }),
            Content::Map(entries) if entries.len() == 1 => {
                visitor.visit_enum(Variant { name: &entries[0].key, value: Some(&entries[0].value) })
            }
            Content::Map(_) => Err(Misfit::custom("expected a mapping with exactly one key")),
            Content::List(_) => Err(Misfit::invalid_type(Unexpected::Seq, &"a text")),
            Content::Null => Err(Misfit::invalid_type(Unexpected::Unit, &"a text")),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct
        seq tuple tuple_struct identifier ignored_any
    }
}

struct Items<'de> {
    items: std::iter::Enumerate<std::slice::Iter<'de, Node>>,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Misfit;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Misfit> {
        let Some((index, item)) = self.items.next() else { return Ok(None) };
        seed.deserialize(item).map(Some).map_err(|misfit| misfit.within(Step::Index(index)))
    }
}

struct Entries<'de> {
    entries: std::slice::Iter<'de, Entry>,
    value: Option<&'de Entry>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Misfit;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Misfit> {
        let Some(entry) = self.entries.next() else { return Ok(None) };
        self.value = Some(entry);
        let key: StrDeserializer<'de, Misfit> = entry.key.as_str().into_deserializer();
        seed.deserialize(key).map(Some).map_err(|misfit| match misfit.kind {
            MisfitKind::UnknownField { .. } => misfit,
            _ => Misfit { kind: MisfitKind::Key, ..misfit }.within(Step::Key(entry.key.clone())),
        })
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Misfit> {
        let entry =
            self.value.take().ok_or_else(|| Misfit::custom("a value was asked for before its key"))?;
        seed.deserialize(&entry.value).map_err(|misfit| misfit.within(Step::Key(entry.key.clone())))
    }
}

struct Variant<'de> {
    name: &'de str,
    value: Option<&'de Node>,
}

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = Misfit;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Misfit> {
        let name: StrDeserializer<'de, Misfit> = self.name.into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> Variant<'de> {
    fn value(&self) -> Result<&'de Node, Misfit> {
        self.value.ok_or_else(|| Misfit::custom(format!("{:?} needs fields", self.name)))
    }

    fn inside<T>(&self, result: Result<T, Misfit>) -> Result<T, Misfit> {
        result.map_err(|misfit| misfit.within(Step::Key(self.name.to_owned())))
    }
}

impl<'de> VariantAccess<'de> for Variant<'de> {
    type Error = Misfit;

    fn unit_variant(self) -> Result<(), Misfit> {
        match self.value {
            None => Ok(()),
            Some(node) if node.content == Content::Null => Ok(()),
            Some(_) => Err(Misfit::custom(format!("{:?} takes no fields", self.name))),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Misfit> {
        let result = seed.deserialize(self.value()?);
        self.inside(result)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, Misfit> {
        let result = self.value()?.deserialize_any(visitor);
        self.inside(result)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        let result = self.value()?.deserialize_any(visitor);
        self.inside(result)
    }
}
