//! What holds between assets: dependencies that exist, an order to make them in, mappings that fit.

use std::collections::BTreeSet;

use super::Check;
use crate::{
    definition::{
        definitions::{Edge, partitions_of},
        graph::Graph,
        limits::DEPS_MAX,
        name::AssetName,
        problem::FieldPath,
        project::{Asset, AssetPartitions, Dep},
    },
    mapping::{self, DimensionMapping, PartitionMapping},
};

fn deps_path(name: &AssetName) -> FieldPath {
    FieldPath::of(&["assets", name.as_str(), "deps"])
}

impl Check<'_> {
    /// All assets, upstreams first; empty after a problem.
    pub(super) fn order(&mut self) -> Vec<AssetName> {
        let assets = &self.project.assets;
        let graph = Graph::new(
            assets
                .iter()
                .map(|(name, asset)| (name.as_str(), asset.deps.iter().map(|dep| dep.asset.as_str()))),
        );
        match graph.topological() {
            Ok(order) => order
                .into_iter()
                .filter_map(|name| assets.get_key_value(name))
                .map(|(name, _)| name.clone())
                .collect(),
            Err(cycles) => {
                for cycle in cycles {
                    self.cycle(&cycle);
                }
                Vec::new()
            }
        }
    }

    /// Tells of a cycle at the dependency that leads from its first asset into it.
    fn cycle(&mut self, cycle: &[&str]) {
        let (Some(&first), Some(second)) = (cycle.first(), cycle.iter().cycle().nth(1)) else { return };
        let deps = self.project.assets.get(first).map(|asset| asset.deps.as_slice()).unwrap_or_default();
        let index = deps.iter().position(|dep| dep.asset.as_str() == *second).unwrap_or_default();
        let onward: Vec<String> =
            cycle.iter().skip(1).chain([&first]).map(|name| format!("{name:?}")).collect();
        let message =
            format!("cyclic dependency: asset {first:?} depends on {}", onward.join(", which depends on "));
        self.say(FieldPath::of(&["assets", first, "deps"]).index(index), message);
    }

    /// Every dependency with its mapping.
    pub(super) fn edges(&mut self) -> Vec<Edge> {
        let project = self.project;
        let mut edges = Vec::new();
        for (name, asset) in &project.assets {
            let path = deps_path(name);
            self.count(&path, asset.deps.len(), DEPS_MAX);
            let mut seen = BTreeSet::new();
            for (index, dep) in asset.deps.iter().enumerate() {
                let path = path.index(index);
                if !seen.insert(&dep.asset) {
                    self.say(path, format!("asset \"{name}\" depends on \"{}\" twice", dep.asset));
                    continue;
                }
                edges.extend(self.edge(&path, name, asset, dep));
            }
        }
        edges
    }

    fn edge(&mut self, path: &FieldPath, name: &AssetName, asset: &Asset, dep: &Dep) -> Option<Edge> {
        let Some(upstream) = self.project.assets.get(&dep.asset) else {
            if !self.is_cut("assets", dep.asset.as_str()) {
                let hint = self.hint(dep.asset.as_str(), self.project.assets.keys().map(AssetName::as_str));
                let message =
                    format!("asset \"{name}\" depends on \"{}\", which is not defined{hint}", dep.asset);
                self.say(path.key("asset"), message);
            }
            return None;
        };
        if *name == dep.asset && !dep.mapping.as_ref().is_some_and(only_earlier) {
            let message = format!(
                "asset \"{name}\" depends on itself: that needs a mapping to its earlier partitions only \
                 ({{kind: time_window, start_offset: -1, end_offset: -1}})"
            );
            self.say(path.clone(), message);
            return None;
        }
        if !self.slicing_is_known(name, asset) || !self.slicing_is_known(&dep.asset, upstream) {
            return None;
        }
        let up = partitions_of(self.project, upstream);
        let down = partitions_of(self.project, asset);
        let mapping = match &dep.mapping {
            Some(given) => mapping::validate(given, up, down).map(|()| given.clone()),
            None => mapping::infer(up, down),
        };
        match mapping {
            Ok(mapping) => Some(Edge { upstream: dep.asset.clone(), downstream: name.clone(), mapping }),
            Err(error) => {
                self.say(
                    path.key("mapping"),
                    format!("asset \"{name}\" depends on \"{}\": {error}", dep.asset),
                );
                None
            }
        }
    }

    /// Whether an asset's partitions could be read, are defined and hold water; if not, that was said already.
    pub(super) fn slicing_is_known(&self, name: &AssetName, asset: &Asset) -> bool {
        let path = match &asset.partitions {
            Some(AssetPartitions::Named(shared)) if !self.project.partitions.contains_key(shared) => {
                return false;
            }
            Some(AssetPartitions::Named(shared)) => FieldPath::of(&["partitions", shared.as_str()]),
            _ => FieldPath::of(&["assets", name.as_str(), "partitions"]),
        };
        // An asset whose own `partitions` was cut out looks unpartitioned and is not.
        let own = FieldPath::of(&["assets", name.as_str(), "partitions"]);
        self.is_sound(&own) && self.is_sound(&path) && !self.invalid.contains(&path)
    }
}

/// Whether a mapping of an asset to itself can never lead to the partition that it starts from: some dimension
/// goes strictly back in time.
fn only_earlier(mapping: &PartitionMapping) -> bool {
    match mapping {
        PartitionMapping::TimeWindow { end_offset, .. } => *end_offset < 0,
        PartitionMapping::Multi { dimensions } => dimensions.iter().any(|(name, one)| match one {
            DimensionMapping::To { dimension, mapping: Some(mapping) } => {
                name == dimension && only_earlier(mapping)
            }
            _ => false,
        }),
        _ => false,
    }
}
