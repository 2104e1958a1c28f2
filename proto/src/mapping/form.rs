//! The written form of a mapping: one structure with a `kind` and that kind's fields beside it.
//!
//! Flat for the reason given in the written form of definitions: errors keep their line and column.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

use super::definition::{DimensionMapping, MissingPolicy, PartitionMapping};
use crate::partition::text_or_list;

/// Which upstream partitions a downstream partition needs.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PartitionMapping")]
pub(crate) struct MappingForm {
    /// What kind of mapping; the other fields depend on it.
    kind: Kind,
    /// specific: the upstream keys that every downstream partition needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keys: Option<Vec<String>>,
    /// static: upstream key to the downstream keys that need it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    map: Option<BTreeMap<String, KeyOrKeys>>,
    /// time_window: move the start of the window by so many downstream windows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start_offset: Option<i32>,
    /// time_window: move the end of the window by so many downstream windows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end_offset: Option<i32>,
    /// identity, time_window, specific: what happens when a required partition does not exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    missing: Option<MissingPolicy>,
    /// time_window: the same as `missing: skip`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    allow_missing: Option<bool>,
    /// dimension: the dimension of the multi definition that corresponds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dimension: Option<String>,
    /// dimension: how it corresponds; inferred if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mapping: Option<Box<PartitionMapping>>,
    /// multi: by upstream dimension.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dimensions: Option<BTreeMap<String, DimensionForm>>,
}

/// How one upstream dimension corresponds: to a downstream dimension, or pinned to keys.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DimensionForm {
    /// The downstream dimension; the one of the same name if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dimension: Option<String>,
    /// How it corresponds; inferred if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mapping: Option<Box<PartitionMapping>>,
    /// These upstream keys, whatever the downstream partition; instead of the other two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keys: Option<Vec<String>>,
}

/// One key or several; written as a list.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct KeyOrKeys(Vec<String>);

impl<'de> Deserialize<'de> for KeyOrKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text_or_list(
            deserializer,
            "a partition key or a list of them (quote keys that look like numbers)",
            Self,
        )
    }
}

impl JsonSchema for KeyOrKeys {
    fn schema_name() -> Cow<'static, str> {
        "KeyOrKeys".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] })
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    #[default]
    Identity,
    All,
    Last,
    Specific,
    Static,
    TimeWindow,
    Dimension,
    Multi,
}

/// Why a written mapping cannot be taken apart.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FormError {
    #[error("a mapping of kind {kind} needs the field `{field}`")]
    Missing { kind: &'static str, field: &'static str },
    #[error("the field `{field}` does not belong to a mapping of kind {kind}; remove it")]
    Foreign { kind: &'static str, field: &'static str },
    #[error("`allow_missing` and `missing` say the same thing; keep `missing`")]
    MissingTwice,
    #[error(
        "dimension {dimension:?} has `keys` and also `dimension` or `mapping`; a pinned dimension corresponds to none"
    )]
    PinnedAndMapped { dimension: String },
}

impl TryFrom<MappingForm> for PartitionMapping {
    type Error = FormError;

    fn try_from(mut form: MappingForm) -> Result<Self, FormError> {
        let kind = form.kind.word();
        let needs = |field| FormError::Missing { kind, field };
        let mapping = match form.kind {
            Kind::Identity => Self::Identity { missing: form.take_missing()? },
            Kind::All => Self::All,
            Kind::Last => Self::Last,
            Kind::Specific => {
                Self::Specific { keys: form.keys.take().ok_or(needs("keys"))?, missing: form.take_missing()? }
            }
            Kind::Static => {
                let map = form.map.take().ok_or(needs("map"))?;
                Self::Static { map: map.into_iter().map(|(up, down)| (up, down.0)).collect() }
            }
            Kind::TimeWindow => Self::TimeWindow {
                start_offset: form.start_offset.take().unwrap_or_default(),
                end_offset: form.end_offset.take().unwrap_or_default(),
                missing: form.take_missing()?,
            },
            Kind::Dimension => Self::Dimension {
                dimension: form.dimension.take().ok_or(needs("dimension"))?,
                mapping: form.mapping.take(),
            },
            Kind::Multi => {
                let dimensions = form.dimensions.take().ok_or(needs("dimensions"))?;
                let dimensions =
                    dimensions.into_iter().map(|(name, one)| Ok((name.clone(), one.understand(&name)?)));
                Self::Multi { dimensions: dimensions.collect::<Result<_, FormError>>()? }
            }
        };
        match form.first_left() {
            Some(field) => Err(FormError::Foreign { kind, field }),
            None => Ok(mapping),
        }
    }
}

impl MappingForm {
    fn take_missing(&mut self) -> Result<MissingPolicy, FormError> {
        match (self.missing.take(), self.allow_missing.take()) {
            (Some(_), Some(_)) => Err(FormError::MissingTwice),
            (Some(policy), None) => Ok(policy),
            (None, Some(true)) => Ok(MissingPolicy::Skip),
            (None, Some(false) | None) => Ok(MissingPolicy::Error),
        }
    }

    /// A field that nobody took.
    fn first_left(&self) -> Option<&'static str> {
        let left = [
            ("keys", self.keys.is_some()),
            ("map", self.map.is_some()),
            ("start_offset", self.start_offset.is_some()),
            ("end_offset", self.end_offset.is_some()),
            ("missing", self.missing.is_some()),
            ("allow_missing", self.allow_missing.is_some()),
            ("dimension", self.dimension.is_some()),
            ("mapping", self.mapping.is_some()),
            ("dimensions", self.dimensions.is_some()),
        ];
        left.into_iter().find(|(_, there)| *there).map(|(field, _)| field)
    }
}

impl DimensionForm {
    fn understand(self, upstream: &str) -> Result<DimensionMapping, FormError> {
        match self {
            Self { keys: Some(keys), dimension: None, mapping: None } => {
                Ok(DimensionMapping::Pinned { keys })
            }
            Self { keys: Some(_), .. } => Err(FormError::PinnedAndMapped { dimension: upstream.to_owned() }),
            Self { keys: None, dimension, mapping } => {
                let dimension = dimension.unwrap_or_else(|| upstream.to_owned());
                Ok(DimensionMapping::To { dimension, mapping })
            }
        }
    }
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::All => "all",
            Self::Last => "last",
            Self::Specific => "specific",
            Self::Static => "static",
            Self::TimeWindow => "time_window",
            Self::Dimension => "dimension",
            Self::Multi => "multi",
        }
    }
}

fn unless_default(policy: MissingPolicy) -> Option<MissingPolicy> {
    Some(policy).filter(|policy| *policy != MissingPolicy::default())
}

impl From<PartitionMapping> for MappingForm {
    fn from(mapping: PartitionMapping) -> Self {
        let form = Self::default();
        match mapping {
            PartitionMapping::Identity { missing } => {
                Self { kind: Kind::Identity, missing: unless_default(missing), ..form }
            }
            PartitionMapping::All => Self { kind: Kind::All, ..form },
            PartitionMapping::Last => Self { kind: Kind::Last, ..form },
            PartitionMapping::Specific { keys, missing } => {
                Self { kind: Kind::Specific, keys: Some(keys), missing: unless_default(missing), ..form }
            }
            PartitionMapping::Static { map } => {
                let map = map.into_iter().map(|(up, down)| (up, KeyOrKeys(down))).collect();
                Self { kind: Kind::Static, map: Some(map), ..form }
            }
            PartitionMapping::TimeWindow { start_offset, end_offset, missing } => Self {
                kind: Kind::TimeWindow,
                start_offset: Some(start_offset).filter(|offset| *offset != 0),
                end_offset: Some(end_offset).filter(|offset| *offset != 0),
                missing: unless_default(missing),
                ..form
            },
            PartitionMapping::Dimension { dimension, mapping } => {
                Self { kind: Kind::Dimension, dimension: Some(dimension), mapping, ..form }
            }
            PartitionMapping::Multi { dimensions } => {
                let dimensions = dimensions.into_iter().map(|(name, one)| (name, one.into())).collect();
                Self { kind: Kind::Multi, dimensions: Some(dimensions), ..form }
            }
        }
    }
}

impl From<DimensionMapping> for DimensionForm {
    fn from(one: DimensionMapping) -> Self {
        match one {
            DimensionMapping::To { dimension, mapping } => {
                Self { dimension: Some(dimension), mapping, keys: None }
            }
            DimensionMapping::Pinned { keys } => Self { keys: Some(keys), ..Self::default() },
        }
    }
}
