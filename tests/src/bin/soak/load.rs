//! Runs that come, and people who change their minds.

use anyhow::{Context, Result, ensure};
use backstitch_tests::cluster::{Cluster, Execution, PATIENCE, Project, key};
use backstitch_tests::wait::wait_for;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};

use super::fault::replace_what_is_gone;

/// Partitions of each asset. Runs are of parts of them.
const SLICES: u32 = 300;

/// Partitions of one run at most, of chains and of the others.
const RUN_SLICES_MAX: u32 = 150;

/// Runs that are live at once, about. More only wait for each other.
const LIVE_MAX: usize = 3;

/// Slots of the pool.
const POOL: usize = 3;

/// The partition that kills its worker.
const POISON: u32 = 1;

/// What runs may be of; chains come more often.
const SELECTIONS: [&str; 6] = ["+second", "flaky", "pooled", "deadly", "+second", "+second"];

/// A chain, tasks whose first attempt fails, a pool, and a task that kills its worker.
pub(super) fn project() -> Result<Project> {
    let assets = format!(
        "  first: {{partitions: slices, command: [sh, task.sh, sleep, \"0.1\"]}}\n  \
           second: {{partitions: slices, deps: [first], command: [sh, task.sh, sleep, \"0.1\"]}}\n  \
           flaky: {{partitions: slices, command: [sh, task.sh, flaky, \"0.05\"], \
                    retries: {{max_retries: 2, delay: 200ms, jitter: full}}}}\n  \
           pooled: {{partitions: slices, pool: narrow, command: [sh, task.sh, sleep, \"0.1\"]}}\n  \
           deadly: {{partitions: {{kind: static, keys: [{}]}}, command: [sh, task.sh, poison, {}]}}\n\
         pools: {{narrow: {POOL}}}\n",
        (0..5).map(key).collect::<Vec<_>>().join(", "),
        key(POISON),
    );
    let project = Project::new(SLICES, 4, &assets)?.with_edge("first", "second");
    project.open_gate()?;
    Ok(project)
}

/// What people ask for of a live run.
const REQUESTS: [&str; 5] = ["cancel", "pause", "resume", "reprioritise", "throttle"];

/// What was submitted, and what else was asked for.
#[derive(Default)]
pub(super) struct Load {
    live: Vec<String>,
    submitted: usize,
    ended: usize,
    /// Requests that a leader took.
    taken: [usize; REQUESTS.len()],
}

impl Load {
    /// Submits something if there is room, or asks for something else of a live run.
    pub(super) async fn step(&mut self, cluster: &Cluster, rng: &mut StdRng) -> Result<()> {
        let mut live = Vec::new();
        for run in self.live.drain(..) {
            match cluster.leader_says("GET", &format!("/api/runs/{run}"), None).await {
                Some(shown) if is_over(&shown) => self.ended += 1,
                _ => live.push(run),
            }
        }
        self.live = live;
        if self.live.len() < LIVE_MAX {
            let submission = self.submission(rng);
            self.live.push(cluster.submit_as(submission).await?);
            return Ok(());
        }
        let Some(run) = self.live.choose(rng) else { return Ok(()) };
        let path = format!("/api/runs/{run}");
        // That which was taken least, so that a short soak has all of them.
        let asked = (0..REQUESTS.len()).min_by_key(|request| self.taken[*request]).unwrap_or(0);
        // A refusal is fine: the run may have ended, and the leader may be somebody else by now.
        let change = match REQUESTS[asked] {
            "pause" => Some(json!({ "paused": true })),
            "resume" => Some(json!({ "paused": false })),
            "reprioritise" => Some(json!({ "priority": 7 })),
            "throttle" => Some(json!({ "max_parallel": 2 })),
            _ => None,
        };
        let answer = match change {
            Some(change) => cluster.leader_says("PATCH", &path, Some(&change)).await,
            None => cluster.leader_says("POST", &format!("{path}/cancel"), None).await,
        };
        self.taken[asked] += usize::from(answer.is_some());
        Ok(())
    }

    /// How often each request was taken, for people.
    pub(super) fn summary(&self) -> String {
        let kinds = REQUESTS.iter().zip(self.taken).map(|(kind, taken)| format!("{kind} {taken}"));
        kinds.collect::<Vec<_>>().join(", ")
    }

    /// Kinds of requests that no leader ever took.
    pub(super) fn missing(&self) -> Vec<&'static str> {
        let kinds = REQUESTS.iter().zip(self.taken);
        kinds.filter(|(_, taken)| *taken == 0).map(|(kind, _)| *kind).collect()
    }

    /// Each selection in turn, so that a short soak has all of them.
    fn submission(&mut self, rng: &mut StdRng) -> Value {
        let assets = SELECTIONS[self.submitted % SELECTIONS.len()];
        self.submitted += 1;
        let first = rng.random_range(0..SLICES - 1);
        let last = rng.random_range(first..SLICES.min(first + RUN_SLICES_MAX));
        // Of those that kill workers there are few.
        let partitions = (assets != "deadly").then(|| format!("{}...{}", key(first), key(last)));
        json!({
            "assets": assets,
            "partitions": partitions,
            "filter": "all",
            "priority": rng.random_range(-2..3),
            "max_parallel": rng.random_bool(0.3).then_some(4),
        })
    }

    /// Lets every run end, with workers in place of those that tasks kill. How many runs there were.
    pub(super) async fn end(self, cluster: &mut Cluster) -> Result<usize> {
        let Self { live, mut ended, .. } = self;
        for run in live {
            let path = format!("/api/runs/{run}");
            let free = json!({ "paused": false, "max_parallel": 0 });
            _ = cluster.leader_says("PATCH", &path, Some(&free)).await;
            let shown = wait_for("the run to end", PATIENCE, async || {
                if let Err(error) = replace_what_is_gone(cluster).await {
                    return Some(Err(error));
                }
                cluster.leader_says("GET", &path, None).await.filter(is_over).map(Ok)
            });
            let shown = shown.await??;
            let count = |name: &str| shown["counts"][name].as_u64().context("a count");
            let terminal = count("succeeded")? + count("failed")? + count("skipped")? + count("cancelled")?;
            ensure!(terminal == count("targeted")?, "{shown:#}");
            ended += 1;
        }
        Ok(ended)
    }
}

fn is_over(shown: &Value) -> bool {
    matches!(shown["status"].as_str(), Some("succeeded" | "failed" | "cancelled"))
}

/// What tasks and ledger say of pool and retries. An execution that nobody waits for any more, because its worker was
/// given up, has left its place in the pool to another; what the ledger calls a success had its place to its end. What is
/// executed after that is one of the copies that strangers put back: nobody can know of it before a worker lists it.
pub(super) async fn check(cluster: &Cluster) -> Result<()> {
    let (journal, succeeded) = (cluster.project.journal()?.without_repetitions(), cluster.succeeded().await?);
    let counts = |execution: &Execution| execution.0 == "pooled" && succeeded.contains(execution);
    let most = journal.most_at_once(counts);
    ensure!(most <= POOL, "{most} tasks of a pool of {POOL} ran at the same instant");
    ensure!(most > 0, "nothing of the pool ever succeeded");
    let outcomes = cluster.outcomes().await?;
    for outcome in ["succeeded", "failed"] {
        ensure!(
            outcomes.get(outcome).is_some_and(|attempts| *attempts > 0),
            "nothing ever {outcome}: {outcomes:?}"
        );
    }
    Ok(())
}
