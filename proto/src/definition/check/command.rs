//! Commands and their environment: what the kernel would refuse, and placeholders that stand for nothing.

use super::Check;
use crate::definition::{
    definitions::partitions_of,
    limits::{ARGUMENT_BYTES_MAX, COMMAND_ARGS_MAX, ENV_MAX},
    name::AssetName,
    problem::FieldPath,
    project::Asset,
    suggest::did_you_mean,
    template::{Placeholder, Template},
};
use crate::partition::PartitionsDefinition;

/// Beginnings of environment variables that Backstitch sets itself.
const RESERVED_ENV: [&str; 2] = ["BACKSTITCH_", "DAGSTER_PIPES_"];

impl Check<'_> {
    pub(super) fn command(&mut self, name: &AssetName, asset: &Asset) {
        let path = FieldPath::of(&["assets", name.as_str()]);
        let command_path = path.key("command");
        let env_path = path.key("env");
        if let Some(command) = &asset.command {
            self.count(&command_path, command.len(), COMMAND_ARGS_MAX);
            if command.first().is_none_or(|program| program.trim().is_empty()) {
                self.say_of_field(
                    command_path.clone(),
                    "has no program: its first item is the program to start",
                );
            }
            for (index, argument) in command.iter().enumerate() {
                self.argument(&command_path.index(index), argument, name, asset);
            }
        } else if !asset.env.is_empty() && self.is_sound(&command_path) {
            self.say_of_field(env_path.clone(), "is for commands, and this asset has none");
        }
        self.count(&env_path, asset.env.len(), ENV_MAX);
        for (key, value) in &asset.env {
            let path = env_path.key(key);
            self.env_name(&path, key);
            self.argument(&path, value, name, asset);
        }
    }

    fn env_name(&mut self, path: &FieldPath, key: &str) {
        let fits = key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !fits {
            let message =
                "an environment variable's name has only letters, digits and `_`, and no digit first";
            self.say_of_field(path.clone(), message);
        }
        if let Some(prefix) = RESERVED_ENV.iter().find(|prefix| key.starts_with(*prefix)) {
            self.say_of_field(path.clone(), format!("names that start with {prefix} are set by Backstitch"));
        }
    }

    fn argument(&mut self, path: &FieldPath, text: &str, name: &AssetName, asset: &Asset) {
        if text.len() > ARGUMENT_BYTES_MAX {
            let message = format!("{} bytes, more than the limit of {ARGUMENT_BYTES_MAX}", text.len());
            self.say_of_field(path.clone(), message);
        }
        if text.contains('\0') {
            self.say_of_field(path.clone(), "has a NUL character, which no program can be given");
        }
        match text.parse::<Template>() {
            Ok(template) => {
                for placeholder in template.placeholders() {
                    if let Some(message) = self.misplaced(placeholder, name, asset) {
                        self.say_of_field(path.clone(), message);
                    }
                }
            }
            Err(error) => self.say_of_field(path.clone(), error),
        }
    }

    /// Why a placeholder can have no value in this asset.
    fn misplaced(&self, placeholder: &Placeholder, name: &AssetName, asset: &Asset) -> Option<String> {
        if let Placeholder::Config(field) = placeholder {
            let known = asset.config.contains_key(field)
                || !self.is_sound(&FieldPath::of(&["assets", name.as_str(), "config"]));
            let hint = did_you_mean(field, asset.config.keys().map(String::as_str));
            return (!known).then(|| format!("{placeholder}: the asset has no config field {field:?}{hint}"));
        }
        if !self.slicing_is_known(name, asset) {
            return None;
        }
        let partitions = partitions_of(self.project, asset);
        if !partitions.is_partitioned() {
            let needs_partition = !matches!(
                placeholder,
                Placeholder::RunId | Placeholder::Asset | Placeholder::Attempt | Placeholder::Config(_)
            );
            return needs_partition.then(|| format!("{placeholder}: the asset has no partitions"));
        }
        let several = asset.batch_size.get() > 1;
        match placeholder {
            Placeholder::PartitionKey | Placeholder::Dimension(_) if several => Some(format!(
                "{placeholder} stands for one partition, but batch_size is {}: read BACKSTITCH_PARTITION_KEYS",
                asset.batch_size
            )),
            Placeholder::Dimension(dimension) => {
                let known: Vec<&str> = dimensions(partitions).map(|(name, _)| name).collect();
                let hint = did_you_mean(dimension, known.iter().copied());
                let missing = !known.contains(&dimension.as_str());
                missing
                    .then(|| format!("{placeholder}: the partitions have no dimension {dimension:?}{hint}"))
            }
            Placeholder::WindowStart | Placeholder::WindowEnd => match time_dimensions(partitions) {
                1 => None,
                0 => Some(format!("{placeholder}: the partitions have no time window")),
                _ => Some(format!("{placeholder}: the partitions have more than one time dimension")),
            },
            _ => None,
        }
    }
}

/// The dimensions of a multi definition.
fn dimensions(partitions: &PartitionsDefinition) -> impl Iterator<Item = (&str, &PartitionsDefinition)> {
    let multi = match partitions {
        PartitionsDefinition::Multi(multi) => Some(&multi.dimensions),
        _ => None,
    };
    multi.into_iter().flatten().map(|(name, dimension)| (name.as_str(), dimension))
}

/// In how many ways a partition is a window of time.
fn time_dimensions(partitions: &PartitionsDefinition) -> usize {
    let is_time =
        |definition: &PartitionsDefinition| matches!(definition, PartitionsDefinition::TimeWindow(_));
    let inside = dimensions(partitions).filter(|(_, dimension)| is_time(dimension)).count();
    usize::from(is_time(partitions)) + inside
}
