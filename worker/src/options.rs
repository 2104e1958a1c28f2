//! What a worker process is told at its start.

use std::path::PathBuf;
use std::time::Duration;

/// Settings of one worker process. `Default` gives the documented defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerOptions {
    /// Name for people, shown wherever the worker is listed. Default: [`host_name`], or `worker`; the process id follows
    /// it.
    pub name: String,
    /// Executions at once. Default: the processors of this machine.
    pub slots: u32,
    /// Queues to consume. Default: `default`.
    pub queues: Vec<String>,
    /// Folder of the project: the working directory of commands. Default: the current directory.
    pub project_dir: PathBuf,
    /// Dispatches per queue that wait here for a slot. Few, so that a long task in front of them does not keep them
    /// from idle workers; more than none, so that a slot never waits for the broker. Default: 2.
    pub prefetch_extra: u16,
    /// Time between two heartbeats; the lease that they renew must be several times as long. Default: 2 s.
    pub heartbeat_interval: Duration,
    /// A delivery is held unacknowledged for this long at most: a dispatch that runs by then is protected by its
    /// lease alone, one that still waits for a slot is handed back, as it is after 5 s anyway. Default: 60 s, far below
    /// the 30 minutes after which RabbitMQ closes the channel of a consumer that does not acknowledge.
    pub ack_after: Duration,
    /// Time for running executions to finish after the worker was told to stop. Default: 30 s.
    pub drain_grace: Duration,
}

/// What this machine is called: `HOSTNAME`, which is the pod's name in Kubernetes, and which shells set without handing
/// it on; else what the system says.
pub fn host_name() -> Option<String> {
    let said = || nix::unistd::gethostname().ok()?.into_string().ok();
    std::env::var("HOSTNAME")
        .ok()
        .filter(|name| !name.is_empty())
        .or_else(said)
        .filter(|name| !name.is_empty())
}

impl Default for WorkerOptions {
    fn default() -> Self {
        let host = host_name().unwrap_or_else(|| "worker".to_owned());
        Self {
            name: format!("{host}-{}", std::process::id()),
            slots: std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1)),
            queues: vec!["default".to_owned()],
            project_dir: PathBuf::from("."),
            prefetch_extra: 2,
            heartbeat_interval: Duration::from_secs(2),
            ack_after: Duration::from_secs(60),
            drain_grace: Duration::from_secs(30),
        }
    }
}
