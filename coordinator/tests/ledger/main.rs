//! One suite for every implementation of the ledger: each property is a function over `dyn Ledger`, and runs on both.

mod conformance;
mod databases;
mod fixtures;
mod lines;
mod postgres;
mod schema;
mod set_back;

use databases::{on_postgres, on_sqlite};

/// Runs every property of the suite on both databases, each in a database of its own.
macro_rules! on_both {
    ($($property:ident),+ $(,)?) => {
        mod sqlite_keeps {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $property() {
                super::on_sqlite(super::conformance::$property).await;
            })+
        }
        mod postgres_keeps {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $property() {
                super::on_postgres(super::conformance::$property).await;
            })+
        }
    };
}

on_both!(
    a_batch_committed_twice_changes_nothing,
    a_deposed_epoch_cannot_write,
    a_new_leader_loads_what_was_committed,
    a_batch_that_the_next_term_commits_again_changes_nothing,
    many_small_commits_fold_into_the_same_progress,
    a_finished_run_leaves_only_its_counts,
    what_a_run_materialized_is_known_while_it_lives_and_after_its_end,
    successes_of_a_run_come_in_the_order_of_their_dispatches,
    changes_of_a_run_show_in_order,
    the_last_success_and_the_last_failure_decide_where_a_partition_stands,
    several_attempts_of_one_partition_fit_into_one_batch,
    purging_history_changes_no_partition_and_spares_months_with_live_runs,
    a_client_key_belongs_to_one_run,
    pages_join_without_gaps_or_repeats,
    filters_of_runs_and_attempts_leave_out_the_rest,
    any_text_can_be_stored,
    definitions_are_kept_by_fingerprint,
    readers_see_whole_batches_while_the_leader_commits,
    twenty_thousand_attempts_fit_into_one_batch,
    a_run_of_ten_thousand_assets_is_kept_whole_from_submission_to_end,
    a_list_of_runs_leaves_their_targets_out,
    an_audit_of_a_sound_ledger_finds_nothing,
    a_term_ends_when_it_is_dropped_and_the_next_has_a_higher_epoch,
);
