//! Definitions that hold together.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};

use super::{
    DefinitionsBuilder,
    calendars::{self, ReadFile},
    check::check,
    name::{AssetName, JobName, QueueName},
    problem::{Problem, Problems},
    project::{Asset, AssetPartitions, Job, Project},
    selection::{Selection, SelectionErrors},
    source,
    suggest::did_you_mean,
};
use crate::{
    mapping::PartitionMapping,
    partition::{DefinitionError, NoDynamicKeys, Partitions, PartitionsDefinition},
};

/// One dependency, with the mapping that was given or inferred.
#[derive(Clone, Debug, PartialEq)]
pub struct Edge {
    /// The asset that is needed.
    pub upstream: AssetName,
    /// The asset that needs it; the same one for a self-dependency.
    pub downstream: AssetName,
    /// Which upstream partitions a downstream partition needs.
    pub mapping: PartitionMapping,
}

/// A project whose parts fit: every name exists, there are no cycles, every dependency has its mapping.
///
/// Serialized as the project with its inferred mappings and its calendars' days written out, so that a pinned run
/// keeps what it was planned with; deserializing checks again.
#[derive(Clone, Debug, PartialEq)]
pub struct Definitions {
    project: Project,
    order: Vec<AssetName>,
    edges: Vec<Edge>,
    upstreams: BTreeMap<AssetName, Vec<usize>>,
    downstreams: BTreeMap<AssetName, Vec<usize>>,
}

impl Definitions {
    /// Starts definitions in Rust.
    pub fn builder() -> DefinitionsBuilder {
        DefinitionsBuilder::default()
    }

    /// Reads and checks a project file that stands alone: a calendar in a file is a problem. `file` is the name that
    /// problems show; nothing is opened.
    ///
    /// # Errors
    /// Everything that is wrong with the text, each problem with its line and column.
    pub fn from_yaml(file: &str, text: &str) -> Result<Self, Problems> {
        Self::from_yaml_with_files(file, text, &mut |_| Err("this project has no files beside it".to_owned()))
    }

    /// Reads and checks a project file, and the calendar files that it names. `read` is given each name as it is
    /// written, relative to the project file; which files it may open is its own to decide.
    ///
    /// # Errors
    /// Everything that is wrong with the text, each problem with its line and column.
    pub fn from_yaml_with_files(file: &str, text: &str, read: ReadFile<'_>) -> Result<Self, Problems> {
        let failed = |problems| Problems::new(Some(file), problems);
        let (mut tree, mut problems) = source::parse(text).map_err(|problem| failed(vec![problem]))?;
        let mut decoded = source::decode::<Project>(&mut tree);
        problems.extend(decoded.problems);
        let mut project = decoded.value.unwrap_or_default();
        let mut found = Vec::new();
        for (calendar, problem) in calendars::read_files(&mut project, read) {
            decoded.cut.push(calendars::path_of(&calendar));
            found.push(problem);
        }
        match check(project, &decoded.cut) {
            Ok(definitions) if problems.is_empty() && found.is_empty() => return Ok(definitions),
            Ok(_) => {}
            Err(more) => found.extend(more),
        }
        problems.extend(found.into_iter().map(|problem| {
            let position = Some(tree.position(&problem.path));
            Problem { position, ..problem }
        }));
        Err(failed(problems))
    }

    /// Checks a project that was put together in Rust.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn new(project: Project) -> Result<Self, Problems> {
        check(project, &[]).map_err(|found| Problems::new(None, found))
    }

    /// Puts checked parts together; `order` and `edges` are those of `project`.
    pub(super) fn assemble(mut project: Project, order: Vec<AssetName>, edges: Vec<Edge>) -> Self {
        let mut upstreams: BTreeMap<AssetName, Vec<usize>> = BTreeMap::new();
        let mut downstreams: BTreeMap<AssetName, Vec<usize>> = BTreeMap::new();
        for (index, edge) in edges.iter().enumerate() {
            upstreams.entry(edge.downstream.clone()).or_default().push(index);
            downstreams.entry(edge.upstream.clone()).or_default().push(index);
            let deps = project.assets.get_mut(&edge.downstream).map(|asset| &mut asset.deps);
            for dep in deps.into_iter().flatten().filter(|dep| dep.asset == edge.upstream) {
                dep.mapping = Some(edge.mapping.clone());
            }
        }
        // Their days stand where they were named: a pinned run carries no calendar twice, nor one that it does not use.
        project.calendars.clear();
        Self { project, order, edges, upstreams, downstreams }
    }

    /// The project, with every mapping written out and every calendar where it was named.
    pub fn project(&self) -> &Project {
        &self.project
    }

    /// All assets, every upstream before its downstreams.
    pub fn topological(&self) -> &[AssetName] {
        &self.order
    }

    /// An asset by name.
    pub fn asset(&self, name: &str) -> Option<&Asset> {
        self.project.assets.get(name)
    }

    /// What to say of a name that no asset has: the nearest one, if there is one that is near.
    pub fn not_defined(&self, name: &str) -> String {
        // The error of a selection knows the nearest.
        let said = match name.parse::<Selection>() {
            Ok(selection) => selection.resolve(&self.project).err().map(|error| error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        said.unwrap_or_else(|| format!("asset \"{name}\" is not defined"))
    }

    /// What to say of a name that no job has: the nearest one, if there is one that is near.
    pub fn job_not_defined(&self, name: &str) -> String {
        // A text that can be no name may be very long, and is near none.
        let hint = match name.parse::<JobName>() {
            Ok(_) => did_you_mean(name, self.project.jobs.keys().map(JobName::as_str)),
            Err(_) => String::new(),
        };
        format!("job \"{name}\" is not defined{hint}")
    }

    /// Every worker queue that tasks of the project can be sent to; the default one where nothing says another.
    pub fn worker_queues(&self) -> BTreeSet<String> {
        let used = self.project.assets.values().map(|asset| asset.queue.to_string());
        let declared = self.project.queues.keys().map(ToString::to_string);
        let queues: BTreeSet<String> = used.chain(declared).collect();
        if queues.is_empty() { BTreeSet::from([QueueName::default_queue().to_string()]) } else { queues }
    }

    /// The assets that a selection text selects, every upstream before its downstreams.
    ///
    /// # Errors
    /// Every term that is no selection or selects nothing.
    pub fn select(&self, text: &str) -> Result<Vec<AssetName>, SelectionErrors> {
        let selected = text.parse::<Selection>()?.resolve(&self.project)?;
        Ok(self.order.iter().filter(|name| selected.contains(*name)).cloned().collect())
    }

    /// A job by name.
    pub fn job(&self, name: &str) -> Option<&Job> {
        self.project.jobs.get(name)
    }

    /// All jobs, by name.
    pub fn jobs(&self) -> impl Iterator<Item = (&JobName, &Job)> {
        self.project.jobs.iter()
    }

    /// How an asset is sliced; none for an unknown asset.
    pub fn partitions_of(&self, name: &str) -> Option<&PartitionsDefinition> {
        Some(partitions_of(&self.project, self.asset(name)?))
    }

    /// The partitions of an asset that exist at `now`. An unknown asset is taken for an unpartitioned one.
    ///
    /// # Errors
    /// When there are more of them than ordinals can number; whatever does not depend on time was checked before.
    pub fn resolve_partitions(&self, asset: &str, now: DateTime<Utc>) -> Result<Partitions, DefinitionError> {
        self.partitions_of(asset).unwrap_or(&PartitionsDefinition::Unpartitioned).resolve(now, &NoDynamicKeys)
    }

    /// What an asset depends on, in the order in which that was written.
    pub fn upstreams(&self, name: &str) -> impl Iterator<Item = &Edge> {
        self.upstreams.get(name).into_iter().flatten().map(|&index| &self.edges[index])
    }

    /// What depends on an asset, by name.
    pub fn downstreams(&self, name: &str) -> impl Iterator<Item = &Edge> {
        self.downstreams.get(name).into_iter().flatten().map(|&index| &self.edges[index])
    }

    /// SHA-256 of the canonical JSON, in hexadecimal: equal for equal definitions, in whatever order and form they
    /// were written. Maps are sorted by key, so serializing is canonical.
    pub fn fingerprint(&self) -> String {
        // A project is made of maps with text keys, lists and scalars without NaN: it always serializes.
        let canonical = serde_json::to_vec(&self.project).unwrap_or_default();
        Sha256::digest(canonical).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The definition that an asset's `partitions` stand for; a name that is not there stands for none.
pub(super) fn partitions_of<'a>(project: &'a Project, asset: &'a Asset) -> &'a PartitionsDefinition {
    let definition = match &asset.partitions {
        Some(AssetPartitions::Named(name)) => project.partitions.get(name),
        Some(AssetPartitions::Inline(definition)) => Some(&**definition),
        None => None,
    };
    definition.unwrap_or(&PartitionsDefinition::Unpartitioned)
}

impl Serialize for Definitions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.project.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Definitions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(Project::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}
