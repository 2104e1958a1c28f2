//! Bounds of a project. Every list and text that a person writes has one, so that a mistake (a generated
//! file gone wrong, a pasted log) is an error at check time and not a coordinator out of memory.

/// Bytes of one project file: 10,000 assets of 400 bytes each.
pub const FILE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Assets of one project; the graph is kept in memory by coordinator and workers.
pub const ASSETS_MAX: usize = 10_000;
/// Jobs of one project.
pub const JOBS_MAX: usize = 10_000;
/// Named partitions definitions, calendars, pools and queues of one project, each.
pub const NAMED_MAX: usize = 1_000;
/// Bytes of one calendar file: the most days that a calendar may have, with a word of comment behind each.
pub const CALENDAR_FILE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Days of calendars in all partitions definitions together, counted for each use. Every pinned run carries them,
/// at 13 bytes a day; this is enough for twenty years of an exchange two hundred times.
pub const CALENDAR_DAYS_BOUND_MAX: usize = 1024 * 1024;
/// Dependencies of one asset: each is one mapping to evaluate per task.
pub const DEPS_MAX: usize = 1_000;
/// Arguments of one command.
pub const COMMAND_ARGS_MAX: usize = 1_000;
/// Bytes of one command or environment value. Linux refuses a single argument of 128 KiB; half of that
/// leaves room for what the placeholders expand to.
pub const ARGUMENT_BYTES_MAX: usize = 64 * 1024;
/// Entries of `env` of one asset.
pub const ENV_MAX: usize = 256;
/// Config fields of one asset: each becomes an environment variable of its command.
pub const CONFIG_FIELDS_MAX: usize = 256;
/// Values of one enumerated config field.
pub const CONFIG_VALUES_MAX: usize = 1_000;
/// Tags of one asset or job.
pub const TAGS_MAX: usize = 64;
/// Bytes of a tag key or value.
pub const TAG_BYTES_MAX: usize = 256;
/// Bytes of a description: a few pages.
pub const DESCRIPTION_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a code version: longer than any digest in use.
pub const CODE_VERSION_BYTES_MAX: usize = 128;
/// Characters of a name: fits a RabbitMQ queue name (255 bytes) with prefix and suffix around it.
pub const NAME_CHARS_MAX: usize = 128;
/// Retries of one task; more than this is a loop.
pub const RETRIES_MAX: u32 = 1_000;
/// Tasks of one invocation: as many as one dispatch may carry.
pub const BATCH_SIZE_MAX: u32 = 1_000;
/// Slots of a pool.
pub const POOL_SLOTS_MAX: u32 = 1_000_000;
/// Longest duration that a project may name: 366 days.
pub const DURATION_SECS_MAX: u64 = 366 * 24 * 60 * 60;
/// Problems kept of one project: nobody reads more, and each costs one decoding pass.
pub const PROBLEMS_MAX: usize = 100;
/// Characters of a selection text.
pub const SELECTION_CHARS_MAX: usize = 64 * 1024;
