//! How people write down a mapping.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::form::MappingForm;

/// Largest offset of a time-window mapping, in downstream windows.
pub const WINDOW_OFFSET_MAX: i32 = 100_000;

/// What happens to a downstream partition when an upstream partition that it requires does not exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MissingPolicy {
    /// It cannot be planned: the run is refused and says which.
    #[default]
    Error,
    /// It does not need them: it runs with those that exist.
    Skip,
    /// It waits until they exist.
    Wait,
}

/// Which upstream partitions a downstream partition needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "MappingForm", into = "MappingForm")]
#[schemars(with = "MappingForm")]
pub enum PartitionMapping {
    /// The one with the same key.
    Identity {
        /// If there is none.
        missing: MissingPolicy,
    },
    /// All of them.
    All,
    /// The last one that exists.
    Last,
    /// These.
    Specific {
        /// Upstream keys.
        keys: Vec<String>,
        /// If one does not exist.
        missing: MissingPolicy,
    },
    /// Those that a table gives.
    Static {
        /// Upstream key to downstream keys.
        map: BTreeMap<String, Vec<String>>,
    },
    /// Those whose windows overlap the downstream window, moved by whole downstream windows.
    TimeWindow {
        /// How many windows the start is moved: -1 begins one window earlier.
        start_offset: i32,
        /// How many windows the end is moved: -1 ends one window earlier.
        end_offset: i32,
        /// If one does not exist.
        missing: MissingPolicy,
    },
    /// Between a multi definition and one that is not: one dimension corresponds, the others do not matter.
    Dimension {
        /// The dimension of the multi definition.
        dimension: String,
        /// How it corresponds; inferred if absent.
        mapping: Option<Box<PartitionMapping>>,
    },
    /// Between multi definitions, dimension by dimension. Dimensions that are not named do not matter.
    Multi {
        /// By upstream dimension.
        dimensions: BTreeMap<String, DimensionMapping>,
    },
}

/// How one upstream dimension corresponds.
#[derive(Clone, Debug, PartialEq)]
pub enum DimensionMapping {
    /// To a downstream dimension.
    To {
        /// The downstream dimension.
        dimension: String,
        /// How; inferred if absent.
        mapping: Option<Box<PartitionMapping>>,
    },
    /// To nothing: these upstream keys, whatever the downstream partition.
    Pinned {
        /// The keys.
        keys: Vec<String>,
    },
}

impl PartitionMapping {
    /// Overlapping windows without offsets: what is inferred between two time-window definitions.
    pub fn overlap() -> Self {
        Self::TimeWindow { start_offset: 0, end_offset: 0, missing: MissingPolicy::Error }
    }

    /// The word that names this kind in a definition file.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Identity { .. } => "identity",
            Self::All => "all",
            Self::Last => "last",
            Self::Specific { .. } => "specific",
            Self::Static { .. } => "static",
            Self::TimeWindow { .. } => "time_window",
            Self::Dimension { .. } => "dimension",
            Self::Multi { .. } => "multi",
        }
    }
}
