//! Runs that come, and people who change their minds.

use anyhow::{Context, Result, ensure};
use backstitch_tests::cluster::{Cluster, key};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};

use super::SLICES;

/// Runs that are live at once, about. More only wait for each other.
const LIVE_MAX: usize = 3;

/// What was submitted.
#[derive(Default)]
pub(super) struct Load {
    live: Vec<String>,
    ended: usize,
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
            let first = rng.random_range(0..SLICES - 1);
            let last = rng.random_range(first..SLICES.min(first + 150));
            let submission = json!({
                "assets": "*",
                "partitions": format!("{}...{}", key(first), key(last)),
                "filter": "all",
                "priority": rng.random_range(-2..3),
                "max_parallel": rng.random_bool(0.3).then_some(4),
            });
            self.live.push(cluster.submit_as(submission).await?);
            return Ok(());
        }
        let Some(run) = self.live.choose(rng) else { return Ok(()) };
        let path = format!("/api/runs/{run}");
        // A refusal is fine: the run may have ended, and the leader may be somebody else by now.
        _ = match rng.random_range(0..5) {
            0 => cluster.leader_says("POST", &format!("{path}/cancel"), None).await,
            1 => cluster.leader_says("PATCH", &path, Some(&json!({ "paused": true }))).await,
            2 => cluster.leader_says("PATCH", &path, Some(&json!({ "paused": false }))).await,
            3 => cluster.leader_says("PATCH", &path, Some(&json!({ "priority": 7 }))).await,
            _ => cluster.leader_says("PATCH", &path, Some(&json!({ "max_parallel": 2 }))).await,
        };
        Ok(())
    }

    /// Lets every run end. How many there were.
    pub(super) async fn end(self, cluster: &mut Cluster) -> Result<usize> {
        cluster.heal()?;
        let Self { live, mut ended } = self;
        for run in live {
            let path = format!("/api/runs/{run}");
            let free = json!({ "paused": false, "max_parallel": 0 });
            _ = cluster.leader_says("PATCH", &path, Some(&free)).await;
            let shown = cluster.until_ended(&run).await?;
            let counts = &shown["counts"];
            let count = |name: &str| counts[name].as_u64().context("a count");
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
