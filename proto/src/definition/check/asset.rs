//! What can be said about one asset without looking at its neighbours.

use std::time::Duration;

use super::Check;
use crate::{
    definition::{
        limits::{BATCH_SIZE_MAX, CODE_VERSION_BYTES_MAX, POOL_SLOTS_MAX, RETRIES_MAX},
        name::{AssetName, PartitionsName, PoolName, QueueName},
        problem::FieldPath,
        project::{Asset, AssetPartitions, Backoff, PoolUse, Retries},
    },
    partition::{CalendarError, DefinitionProblem, PartitionsDefinition},
};

impl Check<'_> {
    pub(super) fn asset(&mut self, name: &AssetName, asset: &Asset) {
        let path = FieldPath::of(&["assets", name.as_str()]);
        self.description(&path, asset.description.as_ref());
        self.tags(&path, &asset.tags);
        if let Some(version) = &asset.code_version {
            self.text(&path.key("code_version"), version, CODE_VERSION_BYTES_MAX);
        }
        self.asset_partitions(&path, asset);
        self.pool(&path, asset.pool.as_ref());
        self.queue(&path, &asset.queue);
        self.retries(&path.key("retries"), &asset.retries);
        if asset.timeout.is_some_and(|timeout| timeout.get() == Duration::ZERO) {
            self.say_of_field(path.key("timeout"), "must be longer than nothing (leave it out for no limit)");
        }
        if asset.batch_size.get() > BATCH_SIZE_MAX {
            self.say_of_field(path.key("batch_size"), format!("must be at most {BATCH_SIZE_MAX}"));
        }
        self.config(&path.key("config"), asset);
        self.command(name, asset);
    }

    fn asset_partitions(&mut self, path: &FieldPath, asset: &Asset) {
        let path = path.key("partitions");
        match &asset.partitions {
            Some(AssetPartitions::Named(name)) => {
                let known = self.project.partitions.keys().map(PartitionsName::as_str);
                self.reference(path, "partitions definition", "partitions", name.as_str(), known);
            }
            Some(AssetPartitions::Inline(definition)) => self.partitions_definition(&path, definition),
            None => {}
        }
    }

    fn pool(&mut self, path: &FieldPath, pool: Option<&PoolUse>) {
        let Some(PoolUse { name, slots }) = pool else { return };
        let path = path.key("pool");
        let known = self.project.pools.keys().map(PoolName::as_str);
        self.reference(path.clone(), "pool", "pools", name.as_str(), known);
        if let Some(limit) = self.project.pools.get(name).filter(|limit| slots > *limit) {
            let message =
                format!("takes {slots} slots of pool \"{name}\", which has only {limit}: it could never run");
            self.say_of_field(path.key("slots"), message);
        }
    }

    fn queue(&mut self, path: &FieldPath, queue: &QueueName) {
        let queues = &self.project.queues;
        if queues.is_empty() || *queue == QueueName::default_queue() {
            return;
        }
        self.reference(
            path.key("queue"),
            "queue",
            "queues",
            queue.as_str(),
            queues.keys().map(QueueName::as_str),
        );
    }

    fn retries(&mut self, path: &FieldPath, retries: &Retries) {
        if retries.max_retries > RETRIES_MAX {
            self.say_of_field(path.key("max_retries"), format!("must be at most {RETRIES_MAX}"));
        }
        let (delay, longest) = (retries.delay, retries.max_delay);
        if delay > longest {
            let message = format!("{delay} is longer than max_delay, which is {longest}");
            self.say_of_field(path.key("delay"), message);
        }
        if delay.get() == Duration::ZERO && retries.backoff != Backoff::Constant {
            self.say_of_field(path.key("backoff"), "has nothing to grow from: delay is 0");
        }
    }

    /// The named partitions definitions, and the pools.
    pub(super) fn shared_parts(&mut self) {
        let project = self.project;
        for (name, definition) in &project.partitions {
            self.partitions_definition(&FieldPath::of(&["partitions", name.as_str()]), definition);
        }
        for (name, limit) in &project.pools {
            if limit.get() > POOL_SLOTS_MAX {
                let path = FieldPath::of(&["pools", name.as_str()]);
                self.say_of_field(path, format!("must be at most {POOL_SLOTS_MAX}"));
            }
        }
    }

    fn partitions_definition(&mut self, path: &FieldPath, definition: &PartitionsDefinition) {
        for error in definition.validate().err().into_iter().flatten() {
            self.invalid.insert(path.clone());
            let path = path.written(&error.path);
            match &*error.problem {
                // Told already, of the name or of the calendar behind it.
                DefinitionProblem::Calendar(CalendarError::Unknown { .. }) => {}
                DefinitionProblem::Calendar(CalendarError::NotLoaded { file }) => {
                    let mend = format!(
                        "a calendar in a file needs a name: define {file:?} under calendars and name it here"
                    );
                    self.say_of_field(path, mend);
                }
                problem => self.say_of_field(path, problem),
            }
        }
    }
}
