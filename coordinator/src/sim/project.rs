//! Small projects for simulated runs: every shape of dependency that the engine treats differently, and tasks of
//! every nature.

use std::sync::{Arc, LazyLock};

use backstitch_proto::definition::Definitions;
use backstitch_proto::id::RunId;
use backstitch_proto::partition::PartitionSubset;
use uuid::Uuid;

use super::faults::Faults;
use super::happened::Mishap;
use super::rng::Rng;
use crate::engine::RunPlan;
use crate::ledger::{PlannedAsset, RunRecord};
use crate::service::bind;

/// Where the world's wall clock starts: 2024-03-01T00:00:00Z.
pub(super) const START_US: i64 = 1_709_251_200_000_000;

const PROJECTS: [&str; 5] = [
    // Partitions that need nothing.
    "
assets:
  plain: {partitions: {kind: daily, start: 2024-02-10}, command: [x], pool: narrow, retries: RETRIES}
pools: {narrow: 2}
",
    // Days into summaries into months into one.
    "
assets:
  raw: {partitions: {kind: daily, start: 2024-01-25, end: 2024-02-06}, command: [x], retries: RETRIES}
  summary:
    partitions: {kind: daily, start: 2024-01-25, end: 2024-02-06}
    command: [x]
    deps: [raw]
    retries: RETRIES
    batch_size: 4
  month:
    partitions: {kind: monthly, start: 2024-01-01, end: 2024-03-01}
    command: [x]
    deps: [summary]
    pool: {name: p, slots: 2}
  everything: {command: [x], deps: [month]}
pools: {p: 3}
",
    // Each day needs the day before.
    "
assets:
  chain:
    partitions: {kind: daily, start: 2024-02-20}
    command: [x]
    retries: RETRIES
    deps: [{asset: chain, mapping: {kind: time_window, start_offset: -1, end_offset: -1}}]
",
    // Two dimensions, one of which goes away.
    "
assets:
  cell:
    partitions:
      kind: multi
      dimensions: {date: {kind: daily, start: 2024-02-25}, city: {kind: static, keys: [a, b, c]}}
    command: [x]
    retries: RETRIES
  per_city: {partitions: {kind: static, keys: [a, b, c]}, command: [x], deps: [cell]}
",
    // A diamond of unpartitioned assets.
    "
assets:
  top: {command: [x], retries: RETRIES}
  left: {command: [x], deps: [top], priority: 3}
  right: {command: [x], deps: [top], retries: RETRIES}
  bottom: {command: [x], deps: [left, right]}
",
];

const RETRIES: [&str; 3] =
    ["{max_retries: 0}", "{max_retries: 1}", "{max_retries: 3, delay: 2s, backoff: exponential}"];

/// A project and a selection of its assets, with every partition targeted.
struct Template {
    definitions_json: Arc<str>,
    plan: RunPlan,
}

/// Reading projects costs more than playing them, so it is done once.
static TEMPLATES: LazyLock<Vec<Template>> = LazyLock::new(|| {
    let mut templates = Vec::new();
    for (project, retries) in PROJECTS.iter().flat_map(|project| RETRIES.map(|retries| (project, retries))) {
        let text = project.replace("RETRIES", retries);
        let definitions =
            Definitions::from_yaml("simulated.yaml", &text).expect("the projects above are valid");
        templates.push(template(&definitions, None));
        // Without one of its assets, others have upstreams outside of the run.
        let assets = definitions.topological().len();
        templates
            .extend((0..assets.min(2)).filter(|_| assets > 1).map(|at| template(&definitions, Some(at))));
    }
    templates
});

fn template(definitions: &Definitions, without: Option<usize>) -> Template {
    let names = definitions.topological().iter().enumerate().filter(|(at, _)| Some(*at) != without);
    let assets = names
        .map(|(_, name)| PlannedAsset { asset: name.as_str().into(), targets: PartitionSubset::default() });
    let (id, fingerprint) = (RunId(Uuid::nil()), definitions.fingerprint());
    let record = RunRecord::backfill(id, fingerprint, START_US, assets.collect());
    let mut plan = bind(definitions, record).expect("a valid project binds");
    for (planned, bound) in plan.record.assets.iter_mut().zip(&plan.assets) {
        planned.targets = bound.partitions.all();
    }
    let json = serde_json::to_string(definitions).expect("definitions serialize");
    Template { definitions_json: json.into(), plan }
}

/// A run of one of the projects.
pub(super) fn random_plan(rng: &mut Rng, number: u64, now_us: i64) -> (RunPlan, Arc<str>) {
    let Template { definitions_json, plan } = &TEMPLATES[rng.index(TEMPLATES.len())];
    let mut plan = plan.clone();
    let record = &mut plan.record;
    // Ids of the simulation must come from the seed alone.
    record.id = RunId(Uuid::from_u128(u128::from(number) << 64 | u128::from(rng.next())));
    record.created_us = now_us;
    record.priority = rng.below(3) as i32;
    record.max_parallel = rng.permille(200).then_some(2);
    if rng.permille(300) {
        for planned in &mut record.assets {
            let chosen: Vec<u32> = planned.targets.iter().filter(|_| rng.permille(600)).collect();
            if !chosen.is_empty() {
                planned.targets = chosen.into_iter().collect();
            }
        }
    }
    (plan, Arc::clone(definitions_json))
}

/// What a task does when it is executed: the same in every attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behaviour {
    Succeeds,
    /// Fails in its first so many attempts.
    FailsAtFirst(u16),
    FailsAlways,
    /// Fails, and says that trying again is no use.
    FailsForGood,
    /// Ends its worker.
    Kills,
    /// Does not end by itself, for as long as there are faults, nor after that if its run was cancelled before.
    Hangs,
}

impl Behaviour {
    /// The nature of a task.
    pub(super) fn of(faults: &Faults, run: RunId, asset: &str, task: u32) -> Self {
        let fold = |hash: u64, byte| hash.wrapping_mul(31).wrapping_add(u64::from(byte));
        let mut nature = Rng::new(run.0.as_u64_pair().1 ^ asset.bytes().fold(u64::from(task), fold));
        if !nature.permille(faults.bad_task) {
            return Self::Succeeds;
        }
        match nature.below(10) {
            0 | 1 => Self::FailsAlways,
            2 => Self::FailsForGood,
            3 | 4 => Self::Kills,
            5..8 => Self::Hangs,
            _ => Self::FailsAtFirst(1 + nature.below(2) as u16),
        }
    }

    /// What goes wrong when such a task begins.
    pub(super) fn mishap(self) -> Option<Mishap> {
        match self {
            Self::Succeeds => None,
            Self::FailsAtFirst(_) => Some(Mishap::FailsAtFirst),
            Self::FailsAlways => Some(Mishap::FailsAlways),
            Self::FailsForGood => Some(Mishap::FailsForGood),
            Self::Kills => Some(Mishap::Kills),
            Self::Hangs => Some(Mishap::Hangs),
        }
    }
}
