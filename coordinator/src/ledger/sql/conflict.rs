//! What happens to the row of a partition that is there already.
//!
//! Macros and not constants, so that `concat!` makes one literal of statement and clause: sqlx takes only text that
//! cannot have come from outside.

/// A materialization takes the place of the one before, and of a failure.
macro_rules! materialized {
    () => {
        " ON CONFLICT (asset_id, partition_key) DO UPDATE SET run_id = excluded.run_id, \
         asset_index = excluded.asset_index, ordinal = excluded.ordinal, attempt = excluded.attempt, \
         started_us = excluded.started_us, materialized_us = excluded.materialized_us, \
         trace_id = excluded.trace_id, code_version = excluded.code_version, data_version = excluded.data_version, \
         metadata = excluded.metadata, checks = excluded.checks, failed = FALSE, failed_run_id = NULL, \
         failed_attempt = NULL, failed_us = NULL, failure_kind = NULL, failure_code = NULL, failure_message = NULL"
    };
}

/// A failure leaves the materialization alone.
macro_rules! failed {
    () => {
        " ON CONFLICT (asset_id, partition_key) DO UPDATE SET failed = TRUE, \
         failed_run_id = excluded.failed_run_id, failed_attempt = excluded.failed_attempt, \
         failed_us = excluded.failed_us, failure_kind = excluded.failure_kind, \
         failure_code = excluded.failure_code, failure_message = excluded.failure_message"
    };
}

pub(in crate::ledger) use {failed, materialized};
