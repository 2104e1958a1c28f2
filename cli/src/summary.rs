//! How a run ended, for people: a table, the first failures, and what to type next.

use anyhow::Result;
use backstitch_coordinator::api::{AttemptView, RunView};
use backstitch_coordinator::engine::Counts;
use backstitch_coordinator::ledger::{AttemptOutcome, RunStatus};
use backstitch_proto::id::RunId;
use serde::Serialize;

use crate::display::{Table, elapsed, number, one_line, plural};
use crate::source::{AttemptsQuery, Look};

/// Failures that a summary shows: enough to see a pattern, few enough to stay on the screen.
pub(crate) const FAILURES_SHOWN: usize = 5;

/// Attempts that are read to find them, each with its output: some failed attempts were retried.
const ATTEMPTS_READ: usize = 50;

/// Characters of an error in a list.
const ERROR_CHARS: usize = 160;

/// A run and why it failed: what `--output json` prints.
#[derive(Serialize)]
pub(crate) struct RunWithFailures {
    /// The run.
    #[serde(flatten)]
    pub(crate) run: RunView,
    /// The first attempts that failed for good.
    pub(crate) failures: Vec<AttemptView>,
}

impl RunWithFailures {
    /// Reads why a run failed, if it did.
    pub(crate) async fn of(look: &dyn Look, run: RunView) -> Result<Self> {
        let failures = match failed(&run) {
            0 => Vec::new(),
            _ => failures(look, RunId(run.id)).await?,
        };
        Ok(Self { run, failures })
    }

    /// As text; `flags` lead other commands to the same place.
    pub(crate) fn to_text(&self, flags: &str) -> String {
        let Self { run, failures } = self;
        let mut text = format!("{}\n", asset_table(run));
        if !failures.is_empty() {
            text.push_str(&failures_text(run, failures, flags));
            text.push('\n');
        }
        text.push_str(&verdict(run, flags));
        text
    }
}

/// Tasks per asset and state. Columns of states that did not occur are left out.
pub(crate) fn asset_table(run: &RunView) -> Table {
    type Column = (&'static str, fn(Counts) -> u64);
    let total = run.counts.unwrap_or_default();
    let columns: [Column; 8] = [
        ("#tasks", |counts| counts.targeted),
        ("#succeeded", |counts| counts.succeeded),
        ("#failed", |counts| counts.failed),
        ("#skipped", |counts| counts.skipped),
        ("#cancelled", |counts| counts.cancelled),
        ("#in flight", |counts| counts.in_flight),
        ("#ready", |counts| counts.ready),
        ("#waiting", |counts| counts.waiting),
    ];
    let always = ["#tasks", "#succeeded", "#failed"];
    let shown: Vec<Column> =
        columns.into_iter().filter(|(name, count)| always.contains(name) || count(total) > 0).collect();
    let headers: Vec<&str> = std::iter::once("asset").chain(shown.iter().map(|(name, _)| *name)).collect();
    let mut table = Table::new(&headers);
    for asset in &run.assets {
        let cells = shown
            .iter()
            .map(|(_, count)| asset.counts.map_or("?".to_owned(), |counts| number(count(counts))));
        table.row(std::iter::once(asset.asset.clone()).chain(cells));
    }
    table
}

/// The first failures of a run, one a line, and the command that shows all of them.
pub(crate) fn failures_text(run: &RunView, failures: &[AttemptView], flags: &str) -> String {
    let list = failure_list(failures, failed(run));
    let command = format!("backstitch runs show {} --failed --logs{flags}", run.id);
    format!("{list}\nAll of them, with what they printed:\n  {command}\n")
}

fn failure_list(failures: &[AttemptView], failed: u64) -> String {
    let mut text = format!("{} failed:\n", plural(failed, "task"));
    for attempt in failures {
        let partition = attempt.partition.as_deref().map_or(String::new(), |key| format!(" {key}"));
        let error =
            one_line(attempt.failure_message.as_deref().unwrap_or("no reason was given"), ERROR_CHARS);
        text.push_str(&format!("  {}{partition}: {error}\n", attempt.asset));
        // What a program prints last is often the reason.
        let last = attempt.output.as_deref().and_then(|output| output.trim_end().lines().last());
        if let Some(last) = last.map(|last| one_line(last, ERROR_CHARS)).filter(|last| !last.is_empty()) {
            text.push_str(&format!("    {last}\n"));
        }
    }
    let left = failed.saturating_sub(failures.len() as u64);
    if left > 0 {
        text.push_str(&format!("  ... and {} more\n", number(left)));
    }
    text
}

/// How it ended, in a sentence, and what goes on from there.
fn verdict(run: &RunView, flags: &str) -> String {
    // Not the command that began it: who only watches gave another one, and with a client key it is this run again.
    let retry = format!("`backstitch runs retry {}{flags}`", run.id);
    let counts = run.counts.unwrap_or_default();
    let took = run.finished_at.and_then(|end| (end - run.created_at).to_std().ok()).unwrap_or_default();
    let time = elapsed(took);
    let ended = counts.succeeded + counts.failed;
    let pace = match took.as_secs_f64() {
        seconds if seconds >= 1.0 => format!(" ({:.0} per second)", ended as f64 / seconds),
        _ => String::new(),
    };
    match run.status {
        RunStatus::Succeeded => match counts.targeted {
            1 => format!("The task succeeded in {time}."),
            many => format!("All {} succeeded in {time}{pace}.", plural(many, "task")),
        },
        RunStatus::Cancelled => format!(
            "Cancelled after {time}: {} of {} succeeded and are kept. {retry} goes on with the rest.",
            number(counts.succeeded),
            plural(counts.targeted, "task")
        ),
        _ => {
            let skipped = match counts.skipped {
                0 => String::new(),
                skipped => format!(", {} skipped because of them", number(skipped)),
            };
            let (failed, of) = (number(counts.failed), plural(counts.targeted, "task"));
            format!("{failed} of {of} failed{skipped}; it took {time}{pace}. {retry} runs them again.")
        }
    }
}

fn failed(run: &RunView) -> u64 {
    run.counts.map_or(0, |counts| counts.failed)
}

async fn failures(look: &dyn Look, run: RunId) -> Result<Vec<AttemptView>> {
    let query = AttemptsQuery { run, failed: true, output: true, limit: ATTEMPTS_READ };
    let attempts = look.attempts(query).await?;
    let for_good = |attempt: &AttemptView| attempt.terminal && attempt.outcome != AttemptOutcome::Cancelled;
    Ok(attempts.into_iter().filter(for_good).take(FAILURES_SHOWN).collect())
}
