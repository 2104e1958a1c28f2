use std::sync::Arc;

use uuid::Uuid;

use super::*;
use crate::id::{DispatchId, Epoch, RunId, WorkerId};
use crate::message::{
    DispatchReport, Executor, Failure, FailureKind, Held, Invocation, MetadataValue, Outcome, Output,
    ReturnReason, TaskSpec, TraceContext, Verdict, Window,
};

fn dispatch() -> Dispatch {
    Dispatch {
        id: DispatchId::before_first_of(Epoch(3)).next(),
        run: RunId(Uuid::from_u128(7)),
        asset: "daily_summary".into(),
        attempt: 2,
        announce_start: true,
        created_us: 1_700_000_000_000_000,
        invocation: Arc::new(Invocation {
            executor: Executor::Command {
                command: vec!["bin/daily.sh".into(), "{{partition_key}}".into()],
                env: vec![("UNIT".into(), "F".into())],
            },
            job: None,
            config_json: "{}".into(),
            code_version: Some("v1".into()),
            partitioned: true,
            dimensions: vec!["city".into(), "date".into()],
            batch_size: 1,
            timeout_ms: Some(60_000),
            grace_ms: 10_000,
        }),
        tasks: vec![TaskSpec {
            ordinal: 41,
            key: "seattle|2010-01-02".into(),
            window: Some(Window { start_us: 1, end_us: 2 }),
        }],
    }
}

fn report() -> Report {
    let trace = TraceContext { trace_id: [1; 16], span_id: [2; 8], flags: 1 };
    let failed = Verdict::Failed(Failure {
        kind: FailureKind::Exit(3),
        message: "exit status 3".into(),
        detail: None,
        retryable: true,
    });
    let outcome = |ordinal, verdict| Outcome {
        ordinal,
        started_us: 10,
        finished_us: 20,
        verdict,
        metadata: vec![("row_count".into(), MetadataValue::Int(24))],
        data_version: None,
        checks: Vec::new(),
        output: Some(Output { text: "hello\n".into(), omitted_bytes: 5 }),
    };
    let id = DispatchId::before_first_of(Epoch(3)).next();
    Report {
        worker: WorkerId(Uuid::from_u128(9)),
        dispatches: vec![
            DispatchReport::Started { dispatch: id },
            DispatchReport::Outcomes {
                dispatch: id,
                trace: Some(trace),
                outcomes: vec![outcome(1, Verdict::Succeeded), outcome(2, failed)],
            },
            DispatchReport::Returned { dispatch: id, reason: ReturnReason::Drain },
        ],
    }
}

fn heartbeat() -> Heartbeat {
    Heartbeat {
        worker: WorkerId(Uuid::from_u128(9)),
        name: "worker-1".into(),
        version: "0.1.0".into(),
        sequence: 5,
        slots: 4,
        queues: vec!["default".into()],
        native_assets: vec![],
        draining: false,
        held: vec![Held { dispatch: DispatchId(8), started: true, done: 1 }],
    }
}

/// Compares with the bytes that are kept in git, so that no change of a type goes out as the same version.
fn assert_golden<M: Message + PartialEq + std::fmt::Debug>(message: &M, golden: &str) {
    let bytes = message.encode().unwrap();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, golden.trim(), "the wire form of {} version {} changed", M::NAME, M::VERSION);
    assert_eq!(&M::decode(&bytes).unwrap(), message);
}

#[test]
fn bytes_of_every_message_version_stay_as_they_are() {
    assert_golden(&dispatch(), include_str!("golden/dispatch.v1.hex"));
    assert_golden(&report(), include_str!("golden/report.v1.hex"));
    assert_golden(&heartbeat(), include_str!("golden/heartbeat.v1.hex"));
    assert_golden(
        &Control::CancelRun { run: RunId(Uuid::from_u128(7)) },
        include_str!("golden/control.v1.hex"),
    );
}

#[test]
fn a_message_cut_anywhere_is_an_error_and_never_a_panic() {
    let bytes = dispatch().encode().unwrap();
    for length in 0..bytes.len() {
        assert!(Dispatch::decode(&bytes[..length]).is_err(), "{length} bytes were accepted");
    }
}

#[test]
fn a_huge_length_prefix_is_refused_before_anything_is_allocated() {
    // Kind 3 is a heartbeat: sixteen bytes of id with their length, then a name of nearly 2^64 bytes.
    let mut bytes = b"BS\x03\x01".to_vec();
    bytes.push(16);
    bytes.extend([0; 16]);
    bytes.extend([253, 255, 255, 255, 255, 255, 255, 255, 127]);
    assert!(matches!(Heartbeat::decode(&bytes), Err(DecodeError::Body { .. })));
}

#[test]
fn what_is_not_a_message_of_this_kind_and_version_is_named_in_the_error() {
    let error = |bytes: &[u8]| Dispatch::decode(bytes).unwrap_err().to_string();
    assert_eq!(error(b"garbage"), "not a Backstitch message");
    assert_eq!(error(b"BS\x02\x01"), "a message of kind 2 where a dispatch was expected");
    assert_eq!(error(b"BS\x01\x09"), "a dispatch of version 9; this program knows version 1: upgrade it");
    let mut bytes = dispatch().encode().unwrap();
    bytes.push(0);
    assert_eq!(error(&bytes), "a dispatch is followed by 1 more bytes");
}
