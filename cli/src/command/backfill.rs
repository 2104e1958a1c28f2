//! `backstitch backfill`: materialize what is missing, here or through a coordinator.
//!
//! Elsewhere means: where `--server` says, or by whoever leads on the ledger that was named. Here means: in this
//! process, on the ledger of the project. Such a run ends with the process. What a killed process left undone is
//! finished first: its run is in the ledger, and the coordinator goes on with it.

use anyhow::{Context, Result, bail};
use backstitch_coordinator::ledger::Address;
use backstitch_coordinator::service::{Filter, PlanPreview, Submission, Submitted};
use backstitch_proto::id::RunId;
use clap::Args;
use serde_json::{Map, Value};

use crate::display::{OutputArgs, Table, instant, number, plural, print, print_json};
use crate::embedded::{Embedded, Listen, Roles};
use crate::exit::{Exit, refused};
use crate::follow::{OnInterrupt, follow};
use crate::project::Project;
use crate::settings::{self, Place, PlaceArgs, SettingsFile, SlotsArgs};
use crate::signals::Signals;
use crate::source::{self, LEADER_MEND, Leading, Server};
use crate::submit::submit;
use crate::summary::RunWithFailures;

#[derive(Args, Debug)]
pub(crate) struct BackfillArgs {
    /// Assets: names, group:NAME, tag:KEY=VALUE; + before or after a name adds one level of up- or downstream, ++ all
    #[arg(value_name = "ASSET", required_unless_present_any = ["all", "job"], conflicts_with_all = ["all", "job"])]
    assets: Vec<String>,
    /// Every asset of the project
    #[arg(long, conflicts_with = "job")]
    all: bool,
    /// The assets of a job, with its config
    #[arg(long, value_name = "NAME")]
    job: Option<String>,
    /// Partitions: KEY, FIRST...LAST, 2024-01-*, latest:7, date=2024-01-* & city=us; by default all that exist
    #[arg(long, value_name = "SELECTION")]
    partitions: Option<String>,
    /// Of these only those whose last task failed
    #[arg(long, conflicts_with = "force")]
    failed: bool,
    /// Those that are up to date too
    #[arg(long)]
    force: bool,
    /// Run config: field=VALUE for every asset that has the field, asset.field=VALUE for one
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    config: Vec<(String, String)>,
    /// Label of the run
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    tag: Vec<(String, String)>,
    /// Runs of a higher priority go first
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    priority: Option<i32>,
    /// Tasks of this run that may execute at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_parallel: Option<u32>,
    /// Idempotency key: a second submission with the same key is the same run
    #[arg(long, value_name = "KEY")]
    client_key: Option<String>,
    /// Say what would run, and stop
    #[arg(long)]
    plan: bool,
    /// Follow the run until it ends, where a coordinator has it; a run in this process is always followed
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    slots: SlotsArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    place: PlaceArgs,
}

impl BackfillArgs {
    pub(crate) async fn run(self) -> Result<Exit> {
        let submission = self.submission();
        match self.place.place()? {
            Place::Server(url) => {
                self.elsewhere(Server::new(&url)?, &settings::without_userinfo(&url), submission).await
            }
            Place::Database(address) => {
                let leader = leader_on(&address).await?;
                let shown = settings::without_userinfo(leader.url());
                self.say(&format!("Handing it to the coordinator at {shown}, which leads on {address}."));
                self.elsewhere(leader, &shown, submission).await
            }
            Place::Own => self.here(submission).await,
        }
    }

    async fn here(&self, submission: Submission) -> Result<Exit> {
        let project = Project::load(&settings::project_dir(&self.place.project))?;
        let ledger = source::own(&self.place).await?;
        let slots = self.slots.slots(&SettingsFile::of(&self.place.project)?)?;
        let mut signals = Signals::listen()?;
        let roles = match self.plan {
            true => Roles { slots: None, listen: Listen::Nowhere, keep_history: None },
            false => Roles { slots: Some(slots), listen: Listen::AnyPort, keep_history: None },
        };
        let started = tokio::select! {
            started = Embedded::start(&project, ledger, roles) => started?,
            () = signals.next() => return Ok(Exit::Interrupted),
        };
        let mut leading = Leading::here(started);
        let ended = self.lead(&mut leading, submission, &mut signals).await;
        let stopped = leading.stop().await;
        let exit = ended?;
        stopped?;
        Ok(exit)
    }

    async fn lead(
        &self,
        leading: &mut Leading,
        submission: Submission,
        signals: &mut Signals,
    ) -> Result<Exit> {
        if self.plan {
            return self.preview(leading, &submission).await;
        }
        if !self.finish_what_was_left(leading, signals).await? {
            return Ok(Exit::Interrupted);
        }
        let submitted = submit(leading.ask.as_ref(), submission).await?;
        match submitted.run {
            Some(run) => {
                self.say(&accepted(run, &submitted));
                self.watch(leading, run, OnInterrupt::Cancel, signals, &self.place.flags()).await
            }
            None => self.nothing(&submitted),
        }
    }

    /// `shown` is the URL of the server as it may be shown.
    async fn elsewhere(&self, server: Server, shown: &str, submission: Submission) -> Result<Exit> {
        let mut leading = Leading::at(server);
        let there = format!(" --server {shown}");
        if self.plan {
            return self.preview(&leading, &submission).await;
        }
        let mut signals = Signals::listen()?;
        let submitted = tokio::select! {
            submitted = submit(leading.ask.as_ref(), submission) => submitted?,
            () = signals.next() => bail!(
                "interrupted; the run may have been accepted: `backstitch runs list{there}` tells"
            ),
        };
        let Some(run) = submitted.run else { return self.nothing(&submitted) };
        if self.watch {
            self.say(&accepted(run, &submitted));
            return self.watch(&mut leading, run, OnInterrupt::Leave, &mut signals, &there).await;
        }
        if self.output.json() {
            print_json(&submitted)?;
        } else {
            print(&accepted(run, &submitted))?;
            print(&format!("Follow it:  backstitch runs watch {run}{there}"))?;
        }
        Ok(Exit::Done)
    }

    /// Follows a run to its end and says how it ended; `flags` lead other commands to it.
    async fn watch(
        &self,
        leading: &mut Leading,
        run: RunId,
        on_interrupt: OnInterrupt,
        signals: &mut Signals,
        flags: &str,
    ) -> Result<Exit> {
        super::runs::follow_to_end(leading, run, on_interrupt, signals, self.output, flags).await
    }

    /// Goes on with the runs of a process that ended before them. `false`: interrupted.
    async fn finish_what_was_left(&self, leading: &mut Leading, signals: &mut Signals) -> Result<bool> {
        let Some(embedded) = &leading.embedded else { return Ok(true) };
        for left in embedded.handle().live_runs().await.map_err(refused)? {
            let view = backstitch_coordinator::api::RunView::live(left);
            let counts = view.counts.unwrap_or_default();
            let (to_go, of) = (number(counts.targeted - counts.terminal()), plural(counts.targeted, "task"));
            let when = instant(view.created_at);
            if view.status == backstitch_coordinator::ledger::RunStatus::Paused {
                self.say(&format!("Run {} of {when} stays paused, with {to_go} of {of} to go.", view.id));
                continue;
            }
            self.say(&format!(
                "Going on with run {} of {when}, which did not end: {to_go} of {of} to go.",
                view.id
            ));
            let Some(followed) = follow(leading, RunId(view.id), OnInterrupt::Cancel, signals).await? else {
                return Ok(false);
            };
            let outcome = RunWithFailures::of(leading.look.as_ref(), followed.run).await?;
            self.say(&outcome.to_text(&self.place.flags()));
            if followed.interrupted {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn preview(&self, leading: &Leading, submission: &Submission) -> Result<Exit> {
        let plan = leading.ask.plan(submission).await?;
        if self.output.json() {
            print_json(&plan)?;
            return Ok(Exit::Done);
        }
        let mut table = Table::new(&["asset", "#selected", "#would run", "partitions"]);
        for asset in &plan.assets {
            let mut ranges = asset.partitions.join(", ");
            if asset.more_ranges > 0 {
                ranges.push_str(&format!(" and {}", plural(asset.more_ranges, "more range")));
            }
            table.row([asset.asset.clone(), number(asset.selected), number(asset.tasks), ranges]);
        }
        let waits = waits(&plan);
        print(&format!(
            "{table}\nThis would run {}; nothing was started.{waits}",
            plural(plan.tasks, "task")
        ))?;
        Ok(Exit::Done)
    }

    /// There is nothing to do, and that is fine.
    fn nothing(&self, submitted: &Submitted) -> Result<Exit> {
        if self.output.json() {
            print_json(submitted)?;
            return Ok(Exit::Done);
        }
        let selected: u64 = submitted.plan.assets.iter().map(|asset| asset.selected).sum();
        let of = format!(
            "{} of {}",
            plural(selected, "partition"),
            plural(submitted.plan.assets.len() as u64, "asset")
        );
        print(&match (selected, self.failed) {
            (0, _) => "Nothing to do: no partition exists yet that was selected.".to_owned(),
            (_, true) => format!("Nothing to do: none of the selected {of} failed."),
            (_, false) => format!("Nothing is missing: {of} are up to date (--force runs them again)."),
        })?;
        Ok(Exit::Done)
    }

    /// A message that is no result.
    fn say(&self, text: &str) {
        eprintln!("{}", text.trim_end());
    }

    fn submission(&self) -> Submission {
        let assets = match (self.all, &self.job) {
            (true, _) => Some("*".to_owned()),
            (false, Some(_)) => None,
            (false, None) => Some(self.assets.join(", ")),
        };
        let filter = match (self.failed, self.force) {
            (true, _) => Filter::Failed,
            (false, true) => Filter::All,
            (false, false) => Filter::Missing,
        };
        let config: Map<String, Value> =
            self.config.iter().map(|(key, value)| (key.clone(), Value::String(value.clone()))).collect();
        Submission {
            assets,
            job: self.job.clone(),
            partitions: self.partitions.clone(),
            filter,
            config,
            tags: self.tag.iter().cloned().collect(),
            priority: self.priority,
            max_parallel: self.max_parallel,
            client_key: self.client_key.clone(),
            ..Submission::default()
        }
    }
}

/// The coordinator that leads on the named ledger. `runs list` reads that ledger, so it would not show a run on the
/// project's own.
async fn leader_on(address: &Address) -> Result<Server> {
    let or_here = "to run here, on the project's own ledger, unset what names the other: --database-url, \
                   BACKSTITCH_DATABASE_URL, or database_url in backstitch.settings.yaml";
    let ledger = source::open(address).await.with_context(|| {
        format!("looking for the coordinator that leads on {address} ({LEADER_MEND}; {or_here})")
    })?;
    let leader = source::leader_of(ledger.as_ref()).await?;
    leader.with_context(|| format!("{}; {or_here}", source::no_leader(address)))
}

fn accepted(run: RunId, submitted: &Submitted) -> String {
    if submitted.existing {
        return format!("Run {run} was submitted with this key before.");
    }
    let assets = submitted.plan.assets.iter().filter(|asset| asset.tasks > 0).count() as u64;
    let waits = waits(&submitted.plan);
    format!("Run {run}: {} of {}{waits}", plural(submitted.plan.tasks, "task"), plural(assets, "asset"))
}

/// Lines that say which tasks are held until partitions exist.
fn waits(plan: &PlanPreview) -> String {
    let mut lines = String::new();
    for asset in &plan.assets {
        for wait in &asset.waits {
            lines.push_str(&format!(
                "\n{} of {} held for partitions of {} that do not exist yet, the last until {}.",
                plural(wait.tasks, "task"),
                asset.asset,
                wait.upstream,
                instant(wait.until)
            ));
        }
    }
    lines
}

/// `KEY=VALUE`; the value may hold further `=`.
fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
        _ => Err(format!("\"{text}\" is not of the form KEY=VALUE")),
    }
}
