//! Run config: from what a run sets to what each asset gets.
//!
//! A run sets `field` for every selected asset that has the field, or `asset.field` for one; the longer form wins.
//! Asset names may have dots and field names may not, so the last dot divides. A key that fits nothing is an error:
//! a misspelled setting must not silently mean its default.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use thiserror::Error;

use super::field::ConfigField;
use crate::definition::{definitions::Definitions, name::AssetName, project::Project, suggest::did_you_mean};

/// What a run sets, by `field` or `asset.field`; texts are read as the field's type wants them.
pub type RunConfig = BTreeMap<String, Value>;

/// The config object of each selected asset, complete with its defaults.
pub type ResolvedConfig = BTreeMap<AssetName, Map<String, Value>>;

/// One thing that is wrong with a run's config.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum ConfigError {
    /// A value of the wrong type, or not among those allowed.
    #[error("config {key}: expected {expected}, found {found}")]
    Mismatch {
        /// The key as it was given.
        key: String,
        /// What would fit, in words.
        expected: String,
        /// What was given.
        found: Value,
    },
    /// No selected asset has such a field.
    #[error("config {key}: none of the selected assets has a field {key:?}{hint}")]
    NoSuchField {
        /// The key as it was given.
        key: String,
        /// The nearest known field, or nothing.
        hint: String,
    },
    /// The asset has no such field.
    #[error("config {key}: asset \"{asset}\" has no field {field:?}{hint}")]
    NoSuchAssetField {
        /// The key as it was given.
        key: String,
        /// The asset.
        asset: AssetName,
        /// What is not its field.
        field: String,
        /// The nearest known field, or nothing.
        hint: String,
    },
    /// The asset is not defined.
    #[error("config {key}: asset {asset:?} is not defined{hint}")]
    NoSuchAsset {
        /// The key as it was given.
        key: String,
        /// What is not an asset.
        asset: String,
        /// The nearest known asset, or nothing.
        hint: String,
    },
    /// The asset is defined, and not selected.
    #[error("config {key}: asset \"{asset}\" is not among the selected assets")]
    NotSelected {
        /// The key as it was given.
        key: String,
        /// The asset.
        asset: AssetName,
    },
    /// A field without a default that the run does not set.
    #[error("config {key} is not set: {expected} is required (--config {key}=...)")]
    Missing {
        /// The key to set.
        key: String,
        /// What would fit, in words.
        expected: String,
    },
}

impl ConfigError {
    /// The key that the error is about.
    pub fn key(&self) -> &str {
        match self {
            Self::Mismatch { key, .. }
            | Self::NoSuchField { key, .. }
            | Self::NoSuchAssetField { key, .. }
            | Self::NoSuchAsset { key, .. }
            | Self::NotSelected { key, .. }
            | Self::Missing { key, .. } => key,
        }
    }
}

/// Everything that is wrong with a run's config, one sentence per line.
#[derive(Clone, Debug, Error, PartialEq)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct ConfigErrors(pub Vec<ConfigError>);

/// The config of each of `selected`, complete with defaults.
///
/// # Errors
/// Everything that is wrong with `given`, and every field that it leaves unset and that has no default.
pub fn resolve<'a>(
    definitions: &Definitions,
    selected: impl IntoIterator<Item = &'a AssetName>,
    given: &RunConfig,
) -> Result<ResolvedConfig, ConfigErrors> {
    let project = definitions.project();
    let selected: BTreeSet<AssetName> = selected.into_iter().cloned().collect();
    let mut errors = misfits(project, &selected, given);
    let mut resolved = ResolvedConfig::new();
    for name in &selected {
        let fields = project.assets.get(name).map(|asset| &asset.config);
        let mut object = Map::new();
        for (field, schema) in fields.into_iter().flatten() {
            match set_value(name, field, schema, given) {
                Some(value) => drop(object.insert(field.clone(), value)),
                None if is_set(name, field, given) => {} // A misfit, told above.
                None => errors.push(ConfigError::Missing {
                    key: format!("{name}.{field}"),
                    expected: schema.kind.words().to_owned(),
                }),
            }
        }
        resolved.insert(name.clone(), object);
    }
    if errors.is_empty() { Ok(resolved) } else { Err(ConfigErrors(errors)) }
}

fn is_set(asset: &AssetName, field: &str, given: &RunConfig) -> bool {
    given.contains_key(field) || given.contains_key(&format!("{asset}.{field}"))
}

/// What a run gives this field, or its default.
fn set_value(asset: &AssetName, field: &str, schema: &ConfigField, given: &RunConfig) -> Option<Value> {
    match given.get(&format!("{asset}.{field}")).or_else(|| given.get(field)) {
        Some(value) => schema.accept(value).ok(),
        None => schema.accept_default()?.ok(),
    }
}

/// What of `given` fits no field of `selected`, or not its type.
pub(crate) fn misfits(
    project: &Project,
    selected: &BTreeSet<AssetName>,
    given: &RunConfig,
) -> Vec<ConfigError> {
    let mut errors = Vec::new();
    for (key, value) in given {
        match key.rsplit_once('.') {
            Some((asset, field)) => errors.extend(misfit_of_one(project, selected, key, asset, field, value)),
            None => misfits_of_all(project, selected, key, value, &mut errors),
        }
    }
    errors
}

fn misfits_of_all(
    project: &Project,
    selected: &BTreeSet<AssetName>,
    key: &str,
    value: &Value,
    errors: &mut Vec<ConfigError>,
) {
    let schemas: Vec<_> =
        selected.iter().filter_map(|name| project.assets.get(name)).map(|asset| &asset.config).collect();
    let fields: Vec<&ConfigField> = schemas.iter().filter_map(|schema| schema.get(key)).collect();
    if fields.is_empty() {
        let hint = did_you_mean(key, schemas.iter().flat_map(|schema| schema.keys().map(String::as_str)));
        errors.push(ConfigError::NoSuchField { key: key.to_owned(), hint });
    }
    let mut told = BTreeSet::new();
    for expected in fields.iter().filter_map(|field| field.accept(value).err()) {
        if told.insert(expected.clone()) {
            errors.push(ConfigError::Mismatch { key: key.to_owned(), expected, found: value.clone() });
        }
    }
}

fn misfit_of_one(
    project: &Project,
    selected: &BTreeSet<AssetName>,
    key: &str,
    asset: &str,
    field: &str,
    value: &Value,
) -> Option<ConfigError> {
    let key = key.to_owned();
    let Some((name, definition)) = project.assets.get_key_value(asset) else {
        let hint = did_you_mean(asset, project.assets.keys().map(AssetName::as_str));
        return Some(ConfigError::NoSuchAsset { key, asset: asset.to_owned(), hint });
    };
    if !selected.contains(name) {
        return Some(ConfigError::NotSelected { key, asset: name.clone() });
    }
    let Some(schema) = definition.config.get(field) else {
        let hint = did_you_mean(field, definition.config.keys().map(String::as_str));
        return Some(ConfigError::NoSuchAssetField {
            key,
            asset: name.clone(),
            field: field.to_owned(),
            hint,
        });
    };
    let expected = schema.accept(value).err()?;
    Some(ConfigError::Mismatch { key, expected, found: value.clone() })
}
