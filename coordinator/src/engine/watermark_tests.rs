//! When the watermark is written, and when it is no reason for a commit.

use super::*;
use crate::engine::Effect;
use crate::engine::testing::{at, dispatch_id, recovered};
use crate::ledger::Batch;
use backstitch_proto::id::Epoch;

fn batch(engine: &mut Engine, mono_ms: u64) -> Option<Batch> {
    engine.seal(at(mono_ms)).map(|sealed| sealed.batch).filter(|batch| !batch.is_empty())
}

/// A leader that has just published two dispatches of the one before it.
fn engine() -> Engine {
    let mut engine = recovered(2, 0, DispatchId::before_first_of(Epoch(1)));
    engine.seal(at(0));
    let sealed = engine.seal(at(5_000)).expect("nobody has listed them");
    assert!(matches!(sealed.effects.as_slice(), [Effect::Publish(_), Effect::Publish(_)]));
    assert!(sealed.batch.is_empty(), "nothing is confirmed");
    engine
}

#[test]
fn a_confirm_that_no_other_commit_takes_along_is_written_by_itself() {
    let mut engine = engine();
    engine.confirmed(dispatch_id(1), at(5_001));
    assert_eq!(batch(&mut engine, 5_001).map(|batch| batch.confirmed_through), Some(dispatch_id(1)));
    engine.confirmed(dispatch_id(2), at(5_002));
    assert!(batch(&mut engine, 5_002).is_none(), "once a second is enough");
    assert_eq!(engine.next_deadline_ms(), Some(6_001));
    let through = batch(&mut engine, 6_001).map(|batch| batch.confirmed_through);
    assert!(through.is_some_and(|through| through >= dispatch_id(2)), "{through:?}");
    assert!(batch(&mut engine, 9_000).is_none(), "it is written");
}

#[test]
fn a_watermark_that_has_passed_only_closed_dispatches_is_no_reason_for_a_commit() {
    let mut engine = engine();
    for task in [1, 2] {
        engine.confirmed(dispatch_id(task), at(5_001));
        engine.close_cancelled(dispatch_id(task));
    }
    assert!(!engine.has_passed_an_open_dispatch());
    assert!(batch(&mut engine, 5_001).is_some_and(|batch| batch.confirmed_through >= dispatch_id(2)));
    assert!(batch(&mut engine, 9_000).is_none());
}

#[test]
fn a_new_leader_does_not_publish_again_what_was_written_as_confirmed() {
    let mut engine = engine();
    (1..=2).for_each(|task| engine.confirmed(dispatch_id(task), at(5_001)));
    let through = batch(&mut engine, 5_001).expect("it is written").confirmed_through;
    let mut successor = recovered(2, 0, through);
    let sealed = successor.seal(at(60_000)).expect("it tells that it is there");
    assert!(!sealed.effects.iter().any(|effect| matches!(effect, Effect::Publish(_))));
}
