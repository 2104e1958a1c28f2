//! Runs that come, and people who change their minds.

use anyhow::{Context, Result};
use backstitch_tests::cluster::{Cluster, PATIENCE, Project, key};
use backstitch_tests::wait::must_become;
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use super::fault::replace_what_is_gone;

/// Partitions of each asset. Runs are of parts of them.
const SLICES: u32 = 300;

/// Partitions of one run at most, of chains and of the others.
const RUN_SLICES_MAX: u32 = 150;

/// Runs that are live at once, about. More only wait for each other.
const LIVE_MAX: usize = 3;

/// Slots of the pool.
pub(super) const POOL: usize = 3;

/// Dispatches at once of a run that is bounded from the beginning, and of one that somebody throttles.
const BOUNDED: usize = 4;
const THROTTLED: usize = 2;

/// The partition that kills its worker.
const POISON: u32 = 1;

/// What runs may be of; chains come more often.
const SELECTIONS: [&str; 6] = ["+second", "flaky", "pooled", DEADLY, "+second", "+second"];

/// The asset with the task that kills its worker.
pub(super) const DEADLY: &str = "deadly";

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

/// A run, and what was asked of it.
pub(super) struct Submitted {
    pub(super) run: String,
    pub(super) assets: &'static str,
    /// Nobody asks for its end.
    is_spared: bool,
    /// Somebody asked for its end, whether or not an answer came.
    pub(super) cancel_asked: bool,
    /// Of the dispatches after the first of these there are never more at once than the second.
    pub(super) bounds: Vec<(u64, usize)>,
}

/// What was submitted, and what else was asked for.
#[derive(Default)]
pub(super) struct Load {
    live: Vec<Submitted>,
    ended: Vec<Submitted>,
    submitted: usize,
    /// Requests that a leader took.
    taken: [usize; REQUESTS.len()],
}

impl Load {
    /// Submits something if there is room, or asks for something else of a live run.
    pub(super) async fn step(&mut self, cluster: &Cluster, rng: &mut StdRng) -> Result<()> {
        let mut live = Vec::new();
        for submitted in self.live.drain(..) {
            match cluster.leader_says("GET", &format!("/api/runs/{}", submitted.run), None).await {
                Some(shown) if is_over(&shown) => self.ended.push(submitted),
                _ => live.push(submitted),
            }
        }
        self.live = live;
        if self.live.len() < LIVE_MAX {
            let submitted = self.submit(cluster, rng).await?;
            self.live.push(submitted);
            return Ok(());
        }
        let chosen = &mut self.live[rng.random_range(0..LIVE_MAX)];
        let path = format!("/api/runs/{}", chosen.run);
        // That which was taken least, so that a short soak has all of them.
        let requests =
            (0..REQUESTS.len()).filter(|request| !chosen.is_spared || REQUESTS[*request] != "cancel");
        let asked = requests.min_by_key(|request| self.taken[*request]).unwrap_or(0);
        // A refusal is fine: the run may have ended, and the leader may be somebody else by now.
        let change = match REQUESTS[asked] {
            "pause" => Some(json!({ "paused": true })),
            "resume" => Some(json!({ "paused": false })),
            "reprioritise" => Some(json!({ "priority": 7 })),
            "throttle" => Some(json!({ "max_parallel": THROTTLED })),
            _ => None,
        };
        let answer = match change {
            Some(change) => cluster.leader_says("PATCH", &path, Some(&change)).await,
            None => {
                chosen.cancel_asked = true;
                cluster.leader_says("POST", &format!("{path}/cancel"), None).await
            }
        };
        if answer.is_some() {
            self.taken[asked] += 1;
            if REQUESTS[asked] == "throttle" {
                chosen.bounds.push((last_dispatch(cluster).await?, THROTTLED));
            }
        }
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
    async fn submit(&mut self, cluster: &Cluster, rng: &mut StdRng) -> Result<Submitted> {
        let assets = SELECTIONS[self.submitted % SELECTIONS.len()];
        self.submitted += 1;
        let first = rng.random_range(0..SLICES - 1);
        let last = rng.random_range(first..SLICES.min(first + RUN_SLICES_MAX));
        // Of those that kill workers there are few.
        let partitions = (assets != DEADLY).then(|| format!("{}...{}", key(first), key(last)));
        let priority = rng.random_range(-2..3);
        let bound = rng.random_bool(0.3).then_some(BOUNDED);
        let submission = json!({
            "assets": assets,
            "partitions": partitions,
            "filter": "all",
            "priority": priority,
            "max_parallel": bound,
        });
        let run = cluster.submit_as(submission).await?;
        let bounds = bound.map(|bound| (0, bound)).into_iter().collect();
        // The first run of what kills its worker comes to its own end.
        let is_spared = assets == DEADLY && self.submitted <= SELECTIONS.len();
        Ok(Submitted { run, assets, is_spared, cancel_asked: false, bounds })
    }

    /// Lets every run end, with workers in place of those that tasks kill. All runs that there were.
    pub(super) async fn end(self, cluster: &mut Cluster) -> Result<Vec<Submitted>> {
        let Self { live, mut ended, .. } = self;
        for submitted in live {
            let path = format!("/api/runs/{}", submitted.run);
            _ = cluster.leader_says("PATCH", &path, Some(&json!({ "paused": false }))).await;
            must_become("the run has not ended", PATIENCE, async || {
                if let Err(error) = replace_what_is_gone(cluster).await {
                    return Some(Err(error));
                }
                cluster.leader_says("GET", &path, None).await.filter(is_over).map(|_| Ok(()))
            })
            .await??;
            ended.push(submitted);
        }
        Ok(ended)
    }
}

/// The last dispatch that the ledger knows of.
async fn last_dispatch(cluster: &Cluster) -> Result<u64> {
    const LAST: &str = "SELECT COALESCE(GREATEST((SELECT MAX(id) FROM dispatches), \
        (SELECT MAX(dispatch_id) FROM attempts)), 0)";
    let mut session = PgConnection::connect(&cluster.database_url()).await?;
    let last: i64 = sqlx::query_scalar(LAST).fetch_one(&mut session).await.context("the last dispatch")?;
    Ok(last.cast_unsigned())
}

fn is_over(shown: &Value) -> bool {
    matches!(shown["status"].as_str(), Some("succeeded" | "failed" | "cancelled"))
}
