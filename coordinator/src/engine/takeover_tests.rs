//! What a new leader makes of dispatches that it finds, and of workers that then die.

use backstitch_proto::id::{DispatchId, Epoch, WorkerId};
use backstitch_proto::message::{Control, DispatchReport, Heartbeat, Report, ReturnReason};
use backstitch_proto::partition::PartitionSubset;
use uuid::Uuid;

use super::testing::{LEASE_MS, at, dispatch_id, found, heartbeat, published, recovered};
use super::*;
use crate::ledger::AttemptResult;

#[test]
fn a_dispatch_that_a_worker_lists_is_not_published_again_by_a_new_leader() {
    let (first, second) = (dispatch_id(1), dispatch_id(2));
    let mut engine = recovered(2, 0, DispatchId::before_first_of(Epoch(1)));
    assert_eq!(published(engine.seal(at(0))), [], "perhaps they run: workers are asked first");
    engine.heartbeat(&heartbeat(&[first]), at(100));
    let due_ms = engine.next_deadline_ms().expect("the waiting ends");
    assert_eq!(published(engine.seal(at(due_ms))), [second]);
    assert_eq!(published(engine.seal(at(due_ms + 1))), []);
}

#[test]
fn what_a_worker_had_that_died_with_the_leader_goes_out_again_though_no_slot_is_free() {
    let mut engine = recovered(2, 0, dispatch_id(2));
    let run = *engine.runs.keys().next().expect("a run");
    let state = &mut engine.runs.get_mut(&run).expect("a run").assets[0];
    state.targeted.insert(2);
    state.ready.insert(2);
    let (lost, held) = (dispatch_id(1), dispatch_id(2));
    engine.heartbeat(&heartbeat(&[held]), at(100));
    let published_now = published(engine.seal(at(200)));
    let [own] = published_now.as_slice() else { panic!("{published_now:?}") };
    // The worker takes what came last: so what came before was taken too, and by nobody who lives.
    engine.confirmed(*own, at(300));
    let mut now_ms = 300;
    let mut again = Vec::new();
    while again.is_empty() && now_ms < 60_000 {
        now_ms += 1_000;
        let listing = Heartbeat { sequence: now_ms, ..heartbeat(&[held, *own]) };
        engine.heartbeat(&listing, at(now_ms));
        again = published(engine.seal(at(now_ms)));
    }
    assert_eq!(again, [lost]);
    assert!(now_ms > LEASE_MS, "whoever has it had time to say so");
    assert_eq!(engine.violations(), []);
}

#[test]
fn a_worker_that_dies_with_a_task_on_probation_is_blamed_on_that_task_alone() {
    let mut engine = recovered(2, LOSSES_MAX - 1, dispatch_id(2));
    engine.heartbeat(&heartbeat(&[dispatch_id(1), dispatch_id(2)]), at(100));
    let sealed = engine.seal(at(100 + LEASE_MS + 1)).expect("the worker is lost");
    let [lost] = sealed.batch.attempts.as_slice() else { panic!("{:?}", sealed.batch.attempts) };
    assert_eq!(lost.ordinal, 0);
    assert!(matches!(lost.result, AttemptResult::Lost { terminal: true }), "{:?}", lost.result);
    let counts = engine.run(lost.run).expect("the run is live").assets[0].counts;
    assert_eq!((counts.failed, counts.ready), (1, 1));
    assert_eq!(engine.violations(), []);
}

#[test]
fn without_a_task_on_probation_everything_that_ran_on_a_dead_worker_spends_a_loss() {
    let mut engine = recovered(2, LOSSES_MAX - 2, dispatch_id(2));
    engine.heartbeat(&heartbeat(&[dispatch_id(1), dispatch_id(2)]), at(100));
    let sealed = engine.seal(at(100 + LEASE_MS + 1)).expect("the worker is lost");
    let lost = |record: &crate::ledger::AttemptRecord| {
        matches!(record.result, AttemptResult::Lost { terminal: false })
    };
    assert_eq!(sealed.batch.attempts.len(), 2);
    assert!(sealed.batch.attempts.iter().all(lost));
}

#[test]
fn of_two_tasks_on_probation_one_waits_for_the_other() {
    let mut engine = recovered(1, LOSSES_MAX - 1, dispatch_id(1));
    let run = *engine.runs.keys().next().expect("a run");
    let state = &mut engine.runs.get_mut(&run).expect("a run").assets[0];
    // A second task of the same past becomes ready.
    state.targeted.insert(1);
    state.ready.insert(1);
    state.attempts.restore(&PartitionSubset::from_ordinals([1]), LOSSES_MAX - 1);
    state.losses.restore(&PartitionSubset::from_ordinals([1]), LOSSES_MAX - 1);
    engine.heartbeat(&heartbeat(&[dispatch_id(1)]), at(100));
    assert_eq!(published(engine.seal(at(200))), [], "the other one is executed");
    // Its worker dies: it was the cause, and the way is free.
    engine.seal(at(100 + LEASE_MS + 1));
    let mut other = heartbeat(&[]);
    other.worker = WorkerId(Uuid::from_u128(10));
    engine.heartbeat(&other, at(20_000));
    assert_eq!(published(engine.seal(at(20_001))).len(), 1);
    assert_eq!(engine.violations(), []);
}

/// Another worker got the message of this dispatch again, and did not execute it.
fn handed_back(dispatch: DispatchId) -> Report {
    let returned = DispatchReport::Returned { dispatch, reason: ReturnReason::Redelivered };
    Report { worker: WorkerId(Uuid::from_u128(10)), dispatches: vec![returned] }
}

#[test]
fn a_message_that_comes_twice_before_anybody_listed_it_leaves_its_first_worker_a_lease_to_do_so() {
    let dispatch = dispatch_id(1);
    let mut engine = recovered(1, 0, dispatch);
    engine.seal(at(0));
    engine.report(handed_back(dispatch), at(100));
    let waiting_ms = 100 + LEASE_MS;
    assert_eq!(published(engine.seal(at(waiting_ms))), []);
    engine.heartbeat(&heartbeat(&[dispatch]), at(waiting_ms));
    assert_eq!(published(engine.seal(at(waiting_ms + 1))), []);
    let run = engine.runs.keys().next().expect("a run");
    assert_eq!(engine.run(*run).expect("the run is live").assets[0].counts.in_flight, 1);
}

#[test]
fn a_message_that_comes_twice_and_that_nobody_lists_goes_out_again_after_a_lease() {
    let dispatch = dispatch_id(1);
    let mut engine = recovered(1, 0, dispatch);
    engine.seal(at(0));
    engine.report(handed_back(dispatch), at(100));
    let due_ms = 100 + LEASE_MS + 1;
    let mut other = heartbeat(&[]);
    other.worker = WorkerId(Uuid::from_u128(10));
    engine.heartbeat(&other, at(due_ms - 1));
    assert_eq!(engine.next_deadline_ms(), Some(due_ms));
    let [again] = published(engine.seal(at(due_ms)))[..] else { panic!("one task goes out again") };
    assert_ne!(again, dispatch);
    assert_eq!(engine.violations(), []);
}

/// A worker listed these dispatches, and then these.
fn listed(engine: &mut Engine, first: &[DispatchId], then: &[DispatchId]) {
    engine.heartbeat(&heartbeat(first), at(100));
    engine.heartbeat(&Heartbeat { sequence: 2, ..heartbeat(then) }, at(200));
}

/// So many echoes find that no report is waiting.
fn idle(engine: &mut Engine, echoes: u64) {
    (0..echoes).for_each(|_| engine.intake_is_idle(at(300)));
}

#[test]
fn a_dispatch_that_its_worker_lists_no_more_goes_out_again_once_no_report_can_be_on_its_way() {
    let (lost, held) = (dispatch_id(1), dispatch_id(2));
    let mut engine = recovered(2, 0, held);
    engine.seal(at(0));
    listed(&mut engine, &[lost, held], &[held]);
    idle(&mut engine, 29);
    assert_eq!(published(engine.seal(at(300))), [], "its report may be on its way");
    idle(&mut engine, 1);
    let [again] = published(engine.seal(at(300)))[..] else { panic!("one task goes out again") };
    assert!(again != lost && again != held);
    assert_eq!(engine.violations(), []);
}

#[test]
fn a_worker_that_reported_everything_and_ended_loses_nothing_while_its_report_waits() {
    let dispatch = dispatch_id(1);
    let mut engine = recovered(1, 0, dispatch);
    engine.seal(at(0));
    listed(&mut engine, &[dispatch], &[]);
    let over = engine.seal(at(201 + LEASE_MS));
    assert_eq!(engine.workers().count(), 0, "its lease is over");
    assert!(over.is_none_or(|sealed| sealed.batch.attempts.is_empty()));
    let run = engine.runs.keys().next().expect("a run");
    assert_eq!(engine.run(*run).expect("the run is live").assets[0].counts.in_flight, 1);
    // Nothing is on its way: it is lost after all.
    idle(&mut engine, 30);
    assert_eq!(engine.violations(), []);
    assert_eq!(engine.dispatches_in_flight(), 0);
}

#[test]
fn a_dispatch_that_is_listed_again_stays_where_it_is() {
    let dispatch = dispatch_id(1);
    let mut engine = recovered(1, 0, dispatch);
    engine.seal(at(0));
    listed(&mut engine, &[dispatch], &[]);
    engine.heartbeat(&Heartbeat { sequence: 3, ..heartbeat(&[dispatch]) }, at(300));
    idle(&mut engine, 100);
    assert_eq!(published(engine.seal(at(300))), []);
}

#[test]
fn the_tasks_of_a_message_that_can_never_be_sent_fail_and_say_why() {
    let mut engine = recovered(2, 0, DispatchId::before_first_of(Epoch(1)));
    engine.seal(at(0));
    engine.unpublishable(dispatch_id(1), "the message is too large", at(10));
    let sealed = engine.seal(at(10)).expect("an attempt ended");
    let [failed] = sealed.batch.attempts.as_slice() else { panic!("{:?}", sealed.batch.attempts) };
    let AttemptResult::Failed { failure, terminal: true } = &failed.result else {
        panic!("{:?}", failed.result)
    };
    assert_eq!(failure.message, "its message cannot be sent: the message is too large");
    assert_eq!((failed.worker, sealed.batch.closed.as_slice()), (None, &[dispatch_id(1)][..]));
    assert_eq!(engine.violations(), []);
}

#[test]
fn a_task_on_probation_waits_for_suspects_that_have_lost_less() {
    // One of two lost tasks spent a loss less, because nobody had heard of its first start.
    let mut engine = recovered(1, LOSSES_MAX - 2, dispatch_id(1));
    let run = *engine.runs.keys().next().expect("a run");
    let state = &mut engine.runs.get_mut(&run).expect("a run").assets[0];
    state.targeted.insert(1);
    state.ready.insert(1);
    state.suspects.insert(1);
    state.attempts.restore(&PartitionSubset::from_ordinals([1]), LOSSES_MAX - 1);
    state.losses.restore(&PartitionSubset::from_ordinals([1]), LOSSES_MAX - 1);
    let open = engine.open_dispatches.get_mut(&dispatch_id(1)).expect("in flight");
    open.announce_start = true;
    engine.suspects.add(&"default".into(), open);
    engine.heartbeat(&heartbeat(&[dispatch_id(1)]), at(100));
    assert_eq!(published(engine.seal(at(200))), [], "the other one may be the cause");
    // It is: its worker dies, and it is blamed for it.
    let sealed = engine.seal(at(100 + LEASE_MS + 1)).expect("the worker is lost");
    let [lost] = sealed.batch.attempts.as_slice() else { panic!("{:?}", sealed.batch.attempts) };
    assert_eq!(lost.ordinal, 0);
    assert_eq!(engine.violations(), []);
}

#[test]
fn what_is_closed_is_not_remembered_as_unlisted() {
    let mut engine = recovered(3, 0, dispatch_id(3));
    engine.seal(at(0));
    let all = [dispatch_id(1), dispatch_id(2), dispatch_id(3)];
    listed(&mut engine, &all, &all[2..]);
    assert_eq!(engine.unlisted.len(), 2);
    (0..2).for_each(|at| _ = engine.close(all[at]));
    engine.heartbeat(&Heartbeat { sequence: 3, ..heartbeat(&[]) }, at(300));
    assert_eq!(engine.unlisted.len(), 1, "only the one that is in flight");
}

#[test]
fn what_may_be_published_is_not_published_again_before_workers_could_answer_and_were_heard() {
    let mut engine = recovered(2, 0, DispatchId::before_first_of(Epoch(1)));
    engine.listen(at(4_000), None);
    // Taking over took long, so the announcement goes out late.
    assert_eq!(published(engine.seal(at(5_000))), []);
    engine.echo(5_500);
    assert_eq!(published(engine.seal(at(6_500))), [], "an answer may still be on its way");
    engine.broker_open(false);
    engine.echo(6_600);
    assert_eq!(published(engine.seal(at(7_000))), []);
    engine.broker_open(true);
    let sealed = engine.seal(at(8_000)).expect("the new leader is announced again");
    assert!(
        matches!(sealed.effects[..], [Effect::Broadcast(Control::Announce { .. })]),
        "{:?}",
        sealed.effects
    );
    engine.heartbeat(&heartbeat(&[dispatch_id(2)]), at(8_100));
    engine.echo(8_500);
    assert_eq!(published(engine.seal(at(9_000))), []);
    engine.echo(9_500);
    assert_eq!(published(engine.seal(at(9_600))), [dispatch_id(1)], "somebody has the other one");
    assert_eq!(engine.violations(), []);
}

#[test]
fn what_nobody_lists_is_not_published_again_while_reports_wait_to_be_read() {
    let mut engine = recovered(1, 0, dispatch_id(1));
    engine.listen(at(0), None);
    for second in 1..=40 {
        engine.echo(second * 1_000);
        engine.heartbeat(&Heartbeat { sequence: second, ..heartbeat(&[]) }, at(second * 1_000));
        let again = published(engine.seal(at(second * 1_000)));
        assert_eq!(again, [], "after {second} s: its report may be among them");
    }
    engine.echo(41_000);
    engine.intake_is_idle(at(41_000));
    assert_eq!(published(engine.seal(at(41_000))), [dispatch_id(1)], "it is not");
}

#[test]
fn a_leader_that_begins_when_the_broker_is_just_back_gives_workers_time_to_return() {
    let mut engine = recovered(2, 0, dispatch_id(1));
    engine.listen(at(0), Some(1_000));
    for second in 1..19 {
        engine.echo(second * 1_000);
        assert_eq!(published(engine.seal(at(second * 1_000))), [], "after {second} s");
    }
    engine.heartbeat(&heartbeat(&[dispatch_id(1), dispatch_id(2)]), at(18_500));
    for second in 19..40 {
        engine.heartbeat(
            &Heartbeat { sequence: second, ..heartbeat(&[dispatch_id(1), dispatch_id(2)]) },
            at(second * 1_000),
        );
        engine.echo(second * 1_000);
        assert_eq!(published(engine.seal(at(second * 1_000))), [], "both run");
    }
    assert_eq!(engine.workers().count(), 1);
}

#[test]
fn a_cancelled_run_that_a_leader_finds_ends_without_a_worker_and_starts_nothing() {
    for confirmed_through in [DispatchId::before_first_of(Epoch(1)), dispatch_id(2)] {
        let mut engine = found(2, 0, confirmed_through, true, true);
        engine.heartbeat(&heartbeat(&[]), at(100));
        for answers_ms in [2_000, 3_000] {
            assert_eq!(published(engine.seal(at(answers_ms))), [], "nobody may start what is cancelled");
        }
        assert_eq!(engine.runs().count(), 1, "somebody may execute it");
        engine.heartbeat(&Heartbeat { sequence: 2, ..heartbeat(&[]) }, at(9_000));
        assert_eq!(engine.next_deadline_ms(), Some(LEASE_MS));
        assert_eq!(published(engine.seal(at(LEASE_MS))), []);
        assert_eq!(engine.runs().count(), 0, "nobody has listed it");
        assert_eq!(engine.violations(), []);
    }
}

#[test]
fn a_cancelled_run_ends_at_once_where_its_messages_and_workers_went_with_the_last_process() {
    let mut engine = found(2, 0, dispatch_id(2), true, false);
    let sealed = engine.seal(at(0)).expect("the end of the run");
    assert_eq!(published(Some(sealed)), []);
    assert_eq!(engine.runs().count(), 0);
    assert_eq!(engine.violations(), []);
}

fn abandoned(sealed: Option<Sealed>) -> Vec<DispatchId> {
    let effects = sealed.map(|sealed| sealed.effects).unwrap_or_default();
    let abandon = |effect| match effect {
        Effect::Broadcast(Control::Abandon { dispatches }) => dispatches,
        _ => Vec::new(),
    };
    effects.into_iter().flat_map(abandon).collect()
}

#[test]
fn a_dispatch_that_nobody_waits_for_is_named_once_in_a_while_and_not_if_its_run_was_set_aside() {
    let (closed, set_aside) = (dispatch_id(7), dispatch_id(8));
    let mut engine = recovered(1, 0, dispatch_id(1));
    engine.set_aside([set_aside]);
    engine.seal(at(0));
    let mut named = Vec::new();
    for beat in 1..=12 {
        let heartbeat = Heartbeat { sequence: beat, ..heartbeat(&[closed, set_aside]) };
        engine.heartbeat(&heartbeat, at(beat * 500));
        engine.heartbeat(&Heartbeat { worker: WorkerId(Uuid::from_u128(8)), ..heartbeat }, at(beat * 500));
        named.extend(abandoned(engine.seal(at(beat * 500))));
    }
    assert_eq!(named, [closed, closed], "at once, and again after five seconds");
}

#[test]
fn of_a_message_that_nobody_takes_there_is_one_copy_on_its_way_at_most() {
    let mut engine = recovered(1, 0, dispatch_id(1));
    engine.seal(at(0));
    let mut copies = Vec::new();
    for second in 1..=120 {
        engine.heartbeat(&Heartbeat { sequence: second, ..heartbeat(&[]) }, at(second * 1_000));
        copies.extend(published(engine.seal(at(second * 1_000))));
    }
    assert_eq!(copies, [dispatch_id(1)], "its confirm has not come");
    engine.confirmed(dispatch_id(1), at(121_000));
    engine.heartbeat(&Heartbeat { sequence: 121, ..heartbeat(&[]) }, at(137_000));
    assert_eq!(published(engine.seal(at(137_000))), [dispatch_id(1)]);
}
