//! The questions, one file each.

mod chain;
mod control;
mod latency;
mod priority;
mod sleep;
mod slope;
mod sustained;
mod throughput;

use anyhow::Result;

use super::options::{Plan, Scenario};
use super::report::Report;
use super::servers::Servers;

/// Answers the question of the plan.
pub(super) async fn run(plan: &Plan, servers: &Servers) -> Result<Report> {
    let (figures, violations) = match plan.scenario {
        Scenario::Throughput => throughput::run(plan, servers).await?,
        Scenario::Slope => slope::run(plan, servers).await?,
        Scenario::Control => control::run(plan, servers).await?,
        Scenario::Chain => chain::run(plan, servers).await?,
        Scenario::Latency => latency::run(plan, servers).await?,
        Scenario::Priority => priority::run(plan, servers).await?,
        Scenario::Sleep => sleep::run(plan, servers).await?,
        Scenario::Sustained => sustained::run(plan, servers).await?,
    };
    Ok(Report::new(plan, servers, figures, violations))
}
