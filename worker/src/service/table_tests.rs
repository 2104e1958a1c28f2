use backstitch_proto::message::Dispatch;

use super::*;
use crate::testing;

const LIMIT: Duration = Duration::from_secs(60);

fn dispatch(id: u64) -> Dispatch {
    Dispatch { id: DispatchId(id), created_us: 1_000, ..testing::dispatch("a", &["k"]) }
}

fn hold(table: &mut Table<u8>, dispatch: &Dispatch, acker: u8) -> StopSignal {
    match table.admit(dispatch, false, acker, Instant::now()) {
        Admission::Held(signal) => signal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_copy_of_what_is_held_is_a_duplicate_and_of_what_was_settled_is_handed_back() {
    let mut table = Table::new();
    hold(&mut table, &dispatch(1), 10);
    assert!(matches!(table.admit(&dispatch(1), false, 11, Instant::now()), Admission::Duplicate(11)));
    assert_eq!(table.settle(DispatchId(1)), [10]);
    assert!(matches!(table.admit(&dispatch(1), false, 12, Instant::now()), Admission::HandBack(12)));
    assert!(matches!(table.admit(&dispatch(1), true, 13, Instant::now()), Admission::HandBack(13)));
}

#[test]
fn a_redelivered_dispatch_is_never_taken_in() {
    let mut table = Table::new();
    assert!(matches!(table.admit(&dispatch(1), true, 10, Instant::now()), Admission::HandBack(10)));
    assert_eq!(table.held(), []);
}

#[test]
fn a_delivery_that_came_again_after_a_lost_connection_is_acknowledged_with_the_first() {
    let mut table = Table::new();
    hold(&mut table, &dispatch(1), 10);
    assert!(matches!(table.admit(&dispatch(1), true, 11, Instant::now()), Admission::Joined));
    assert_eq!(table.settle(DispatchId(1)), [10, 11]);
}

#[test]
fn only_a_running_dispatch_is_handed_over_to_its_lease_and_only_once() {
    let mut table = Table::new();
    hold(&mut table, &dispatch(1), 10);
    let later = Instant::now() + LIMIT;
    assert_eq!(table.overdue(LIMIT, later), []);
    table.start(DispatchId(1));
    assert_eq!(table.overdue(LIMIT, Instant::now()), []);
    assert_eq!(table.overdue(LIMIT, later), [DispatchId(1)]);
    assert_eq!(table.hand_over(DispatchId(1)), [10]);
    assert_eq!(table.overdue(LIMIT, later), []);
    assert_eq!(table.held(), [Held { dispatch: DispatchId(1), started: true, done: 0 }]);
}

#[test]
fn a_late_delivery_of_a_cancelled_run_is_stopped_before_it_starts() {
    let mut table = Table::new();
    let run = dispatch(1).run;
    table.cancel(run, 2_000);
    assert_eq!(hold(&mut table, &dispatch(1), 10).now(), Some(Stop::Cancel));
    let taken_up_again = Dispatch { created_us: 3_000, ..dispatch(2) };
    assert_eq!(hold(&mut table, &taken_up_again, 11).now(), None);
}

#[test]
fn cancelling_a_run_leaves_the_others_alone() {
    let mut table = Table::new();
    let other = Dispatch { run: RunId(uuid::Uuid::from_u128(2)), ..dispatch(2) };
    let (mine, others) = (hold(&mut table, &dispatch(1), 10), hold(&mut table, &other, 11));
    table.cancel(dispatch(1).run, 2_000);
    assert_eq!((mine.now(), others.now()), (Some(Stop::Cancel), None));
}

#[test]
fn progress_is_told_in_the_order_of_the_dispatches() {
    let mut table = Table::new();
    hold(&mut table, &dispatch(2), 10);
    hold(&mut table, &dispatch(1), 11);
    table.start(DispatchId(2));
    table.progress(DispatchId(2), 3);
    let expected = [
        Held { dispatch: DispatchId(1), started: false, done: 0 },
        Held { dispatch: DispatchId(2), started: true, done: 3 },
    ];
    assert_eq!(table.held(), expected);
}
