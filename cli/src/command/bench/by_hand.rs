//! Workers that somebody else starts, here or on other machines: how that is done, and what if nobody does.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::Instant;

use super::options::Plan;
use super::servers::Servers;
use crate::settings::without_userinfo;

/// Workers that run already are heard of sooner.
const SAY_AFTER: Duration = Duration::from_secs(2);

/// Looks after workers that are not ours.
pub(super) struct ByHand {
    /// What starts one.
    command: String,
    patience: Duration,
    /// When one was heard of last, or the wait began.
    seen: Instant,
    said: bool,
}

impl ByHand {
    /// Begins to wait.
    pub(super) fn new(plan: &Plan, servers: &Servers) -> Self {
        let command = format!(
            "backstitch bench-worker --broker-url {} --slots {} --assets {} --task-ms {}",
            to_be_filled_in(&servers.broker_url),
            plan.slots_per_worker,
            plan.assets,
            plan.task_ms
        );
        Self { command, patience: plan.worker_wait, seen: Instant::now(), said: false }
    }

    /// Takes in how many workers there are now. An error when there have been none for too long.
    pub(super) fn look(&mut self, workers: u32) -> Result<()> {
        if workers > 0 {
            self.seen = Instant::now();
            self.said = false;
            return Ok(());
        }
        let (waited, seconds) = (self.seen.elapsed(), self.patience.as_secs());
        if waited > self.patience {
            bail!(
                "there has been no worker of this measurement on the broker for {seconds} s (--worker-wait): start \
                 one, here or on any machine that reaches the broker, with\n  {}",
                self.command
            );
        }
        if waited > SAY_AFTER.min(self.patience / 2) && !std::mem::replace(&mut self.said, true) {
            eprintln!(
                "waiting up to {seconds} s for a worker; start one or several with\n  {}",
                self.command
            );
        }
        Ok(())
    }
}

/// A URL that people complete: passwords are not shown.
fn to_be_filled_in(url: &str) -> String {
    let shown = without_userinfo(url);
    match shown.split_once("://") {
        Some((scheme, place)) if shown != url => format!("{scheme}://USER:PASSWORD@{place}"),
        _ => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_with_places_for_what_is_secret() {
        assert_eq!(to_be_filled_in("amqp://me:secret@host:1/v"), "amqp://USER:PASSWORD@host:1/v");
        assert_eq!(to_be_filled_in("amqp://host/v"), "amqp://host/v");
    }
}
