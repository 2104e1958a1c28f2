//! The conformance suite: what every broker promises, run on each of them.
//!
//! A test is one function over a [`World`]; [`conformance!`] makes one test per broker of it. Absence is never
//! waited for: a *marker* is sent after the message that must not come, and the marker is what comes.

mod dead_letters;
mod delivery;
mod fanout;
mod limits;
mod world;

pub(crate) use world::World;

macro_rules! conformance {
    ($($module:ident: $($test:ident),+;)+) => {
        mod in_process {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() -> anyhow::Result<()> {
                    crate::$module::$test(crate::World::in_process().await?).await
                }
            )+)+
        }
        mod rabbitmq {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() -> anyhow::Result<()> {
                    crate::$module::$test(crate::World::rabbitmq().await?).await
                }
            )+)+
        }
    };
}

conformance! {
    delivery:
        a_confirmed_message_arrives_as_it_was_sent,
        a_trace_context_crosses_the_broker,
        messages_of_one_publisher_keep_their_order,
        an_acknowledged_message_is_gone,
        a_requeued_message_comes_back_first_and_marked,
        an_acker_dropped_undecided_gives_its_message_back,
        acknowledging_many_leaves_out_the_ones_in_between,
        a_consumer_holds_no_more_than_its_prefetch,
        a_cancelled_consumer_hands_out_what_it_had_not_seen,
        a_dropped_consumer_hands_back_what_it_had_not_seen,
        dropped_confirms_cost_no_message,
        closing_ends_consumers_and_publishers;
    dead_letters:
        a_dead_letter_keeps_its_content_and_says_why,
        a_long_reason_is_cut,
        a_message_that_is_returned_too_often_is_dead_lettered,
        a_dead_letter_can_be_put_back_for_ever,
        what_cannot_be_read_in_a_transient_queue_is_dead_lettered,
        what_cannot_be_read_in_a_subscription_is_dropped;
    fanout:
        every_subscriber_receives_every_message,
        a_fanout_without_subscribers_confirms,
        a_subscriber_that_left_is_forgotten;
    limits:
        what_nobody_declared_is_refused,
        the_largest_message_passes_and_a_larger_one_is_refused,
        a_transient_queue_drops_its_oldest_messages,
        a_transient_queue_drops_old_messages,
        depth_counts_ready_messages_and_consumers,
        declaring_twice_is_harmless;
}
