//! What users ask of the leader.

use backstitch_proto::partition::PartitionSubset;

use super::Leader;
use crate::engine::{Now, RunPlan};
use crate::service::COMMANDS_MAX;
use crate::service::binding;
use crate::service::command::{Command, Reply};
use crate::service::handle::HandleError;
use crate::service::planning::{self, Planned};
use crate::service::submission::{PlanPreview, Submission, SubmissionError, Submitted};

/// The tag of a run that is a retry of another: the id of that one.
const RETRY_OF_TAG: &str = "retry_of";

impl Leader<'_> {
    pub(super) fn command(&mut self, command: Command) {
        if self.catalog_load.is_some() && command.needs_catalog() {
            // While it takes long, those who asked first have given up first; who only cancels or looks is not kept
            // waiting.
            if self.awaiting_catalog.len() == COMMANDS_MAX
                && let Some(oldest) = self.awaiting_catalog.pop_front()
            {
                oldest.refuse();
            }
            return self.awaiting_catalog.push_back(command);
        }
        // Others may read in the ledger what the commit under way has done, before the catalog hears of it: who has seen
        // that a run succeeded must not have it planned again. What is planned could not be committed earlier anyway.
        if self.committing.is_some() && command.plans() {
            return self.awaiting_commit.push(command);
        }
        let now = self.clock.now();
        match command {
            Command::Look(look) | Command::LookUp(look) => look(&self.engine, &mut self.catalog),
            Command::Plan { submission, reply } => {
                let planned = planning::plan(&submission, &mut self.catalog, now.wall_us);
                _ = reply.send(planned.map(|planned| planned.preview).map_err(HandleError::Submission));
            }
            Command::Submit { submission, reply } => {
                let submitted = self.submit(&submission, now);
                self.reply_when_durable(reply, submitted);
            }
            Command::Retry { ended, succeeded, reply } => {
                let submitted = self.retry(&ended, &succeeded, now);
                self.reply_when_durable(reply, submitted);
            }
            Command::Cancel { run, reply } => {
                let done = self.engine.cancel(run, now).map_err(HandleError::from);
                self.reply_when_durable(reply, done);
            }
            Command::Pause { run, paused, reply } => {
                let done = self.engine.pause(run, paused).map_err(HandleError::from);
                self.reply_when_durable(reply, done);
            }
            Command::Reprioritise { run, priority, reply } => {
                let done = self.engine.reprioritise(run, priority).map_err(HandleError::from);
                self.reply_when_durable(reply, done);
            }
            Command::Throttle { run, max_parallel, reply } => {
                let done = self.engine.throttle(run, max_parallel).map_err(HandleError::from);
                self.reply_when_durable(reply, done);
            }
        }
    }

    fn submit(&mut self, submission: &Submission, now: Now) -> Result<Submitted, HandleError> {
        if let Some(key) = &submission.client_key
            && let Some(run) = self.engine.run_by_client_key(key)
        {
            return Ok(Submitted { run: Some(run), existing: true, plan: PlanPreview::default() });
        }
        let planned =
            planning::plan(submission, &mut self.catalog, now.wall_us).map_err(HandleError::Submission)?;
        self.start(submission, planned, now)
    }

    fn retry(
        &mut self,
        ended: &RunPlan,
        succeeded: &[PartitionSubset],
        now: Now,
    ) -> Result<Submitted, HandleError> {
        let planned = planning::rest_of(ended, succeeded, &mut self.catalog, now.wall_us)
            .map_err(HandleError::Submission)?;
        let record = &ended.record;
        let submission = Submission {
            job: record.job.clone(),
            assets: Some(record.selection.clone()),
            partitions: record.partitions.clone(),
            config: serde_json::from_str(&record.config_json).unwrap_or_default(),
            tags: record
                .tags
                .iter()
                .cloned()
                .chain([(RETRY_OF_TAG.to_owned(), record.id.to_string())])
                .collect(),
            priority: Some(record.priority),
            max_parallel: record.max_parallel,
            origin: Some(record.origin),
            ..Submission::default()
        };
        self.start(&submission, planned, now)
    }

    fn start(
        &mut self,
        submission: &Submission,
        planned: Planned,
        now: Now,
    ) -> Result<Submitted, HandleError> {
        if planned.preview.tasks == 0 {
            return Ok(Submitted { run: None, existing: false, plan: planned.preview });
        }
        let record = planning::record(submission, planned.assets, &self.catalog, now.wall_us);
        record.check_storable().map_err(|error| {
            HandleError::Submission(SubmissionError { problems: vec![error.to_string()] })
        })?;
        let run = record.id;
        let definitions = self.catalog.definitions();
        let plan = binding::bind(&definitions, record).map_err(HandleError::Submission)?;
        self.engine.submit(plan, self.catalog.definitions_json(), now);
        Ok(Submitted { run: Some(run), existing: false, plan: planned.preview })
    }

    /// Success is only said once it is durable; a refusal is true at once.
    fn reply_when_durable<T: Send + 'static>(&mut self, reply: Reply<T>, answer: Result<T, HandleError>) {
        match answer {
            Ok(answer) => self.after_commit.replies.push(Box::new(move || _ = reply.send(Ok(answer)))),
            Err(refusal) => _ = reply.send(Err(refusal)),
        }
    }
}
