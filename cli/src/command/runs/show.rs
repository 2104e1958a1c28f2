//! `backstitch runs show`.

use anyhow::Result;
use backstitch_coordinator::api::{AttemptView, RunView};
use backstitch_coordinator::ledger::AttemptOutcome;
use backstitch_proto::id::RunId;
use clap::Args;
use serde::Serialize;

use super::took;
use crate::display::{OutputArgs, elapsed, instant, number, plural, print, print_json};
use crate::exit::Exit;
use crate::settings::PlaceArgs;
use crate::source::{self, AttemptsQuery, Look};
use crate::summary::{RunWithFailures, asset_table, failures_text};

/// Attempts that `show` lists at most: what a person reads; programs ask the API page by page.
const ATTEMPTS_MAX: usize = 10_000;

#[derive(Args, Debug)]
pub(super) struct ShowArgs {
    /// Id of the run, or `latest`
    run: String,
    /// List every attempt that did not succeed
    #[arg(long)]
    failed: bool,
    /// List every attempt
    #[arg(long, conflicts_with = "failed")]
    attempts: bool,
    /// With what they printed; alone: of those that did not succeed
    #[arg(long)]
    logs: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    place: PlaceArgs,
}

/// A run with its attempts, as `--output json` prints it.
#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    run: RunView,
    attempts: Vec<AttemptView>,
}

impl ShowArgs {
    pub(super) async fn run(self) -> Result<Exit> {
        let look = source::look(&self.place).await?;
        let id = source::find_run(look.as_ref(), &self.run).await?;
        let run = look.run(id).await?;
        if self.failed || self.attempts || self.logs {
            self.print_attempts(look.as_ref(), run).await?;
        } else {
            self.print_overview(look.as_ref(), run).await?;
        }
        Ok(Exit::Done)
    }

    /// The run, and its attempts one by one.
    async fn print_attempts(&self, look: &dyn Look, run: RunView) -> Result<()> {
        let (id, failed) = (RunId(run.id), !self.attempts);
        let query = AttemptsQuery { run: id, failed, output: self.logs, limit: ATTEMPTS_MAX };
        let listed = Listed { attempts: look.attempts(query).await?, run };
        if self.output.json() {
            return print_json(&listed);
        }
        print(&facts(&listed.run))?;
        listed.attempts.iter().try_for_each(|attempt| print(&format!("\n{}", attempt_text(attempt))))
    }

    /// The run, its tasks by state, and the first failures.
    async fn print_overview(&self, look: &dyn Look, run: RunView) -> Result<()> {
        let shown = RunWithFailures::of(look, run).await?;
        if self.output.json() {
            return print_json(&shown);
        }
        let RunWithFailures { run, failures } = &shown;
        print(&facts(run))?;
        print(&format!("\n{}", asset_table(run)))?;
        if failures.is_empty() {
            return Ok(());
        }
        print(&format!("\n{}", failures_text(run, failures, &self.place.flags())))
    }
}

/// What a run is, line by line.
fn facts(run: &RunView) -> String {
    let request = &run.request;
    let mut lines = vec![
        ("run", run.id.to_string()),
        ("status", run.status.to_string()),
        ("assets", request.assets.clone()),
        ("partitions", request.partitions.clone().unwrap_or_else(|| "all".to_owned())),
        ("created", instant(run.created_at)),
    ];
    lines.extend(run.finished_at.map(|at| ("finished", instant(at))));
    lines.extend(took(run).map(|took| ("took", took)));
    lines.extend(request.job.clone().map(|job| ("job", job)));
    if request.config.as_object().is_some_and(|config| !config.is_empty()) {
        lines.push(("config", request.config.to_string()));
    }
    lines.extend(request.tags.iter().map(|(key, value)| ("tag", format!("{key}={value}"))));
    if run.priority != 0 {
        lines.push(("priority", run.priority.to_string()));
    }
    lines.extend(run.max_parallel.map(|bound| ("at once", plural(bound.into(), "task"))));
    lines.extend(run.trace_id.clone().map(|trace| ("trace", trace)));
    let text: Vec<String> = lines.into_iter().map(|(name, value)| format!("{name:<11}{value}")).collect();
    text.join("\n")
}

fn attempt_text(attempt: &AttemptView) -> String {
    let partition = attempt.partition.as_deref().map_or(String::new(), |key| format!(" {key}"));
    let failed = attempt.outcome == AttemptOutcome::Failed;
    let again = if failed && !attempt.terminal { ", tried again" } else { "" };
    let time = (attempt.finished_at - attempt.started_at).to_std().map(elapsed).unwrap_or_default();
    let mut text = format!(
        "{}{partition}, attempt {}: {}{again} after {time}, {}\n",
        attempt.asset,
        attempt.attempt,
        attempt.outcome.as_str(),
        instant(attempt.finished_at)
    );
    for part in [&attempt.failure_message, &attempt.failure_detail].into_iter().flatten() {
        text.push_str(&indented(part));
    }
    if let Some(output) = &attempt.output {
        if attempt.output_omitted_bytes > 0 {
            text.push_str(&format!(
                "  it printed (without {} bytes):\n",
                number(attempt.output_omitted_bytes)
            ));
        } else {
            text.push_str("  it printed:\n");
        }
        text.push_str(&indented(&indented(output)));
    }
    text
}

/// Each line two columns further in. Control characters do not reach the terminal.
fn indented(text: &str) -> String {
    let clean = |c: char| if c.is_control() && c != '\t' { '\u{fffd}' } else { c };
    text.trim_end()
        .lines()
        .map(|line| format!("  {}\n", line.chars().map(clean).collect::<String>()))
        .collect()
}
