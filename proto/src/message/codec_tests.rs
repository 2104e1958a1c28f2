use std::sync::Arc;

use uuid::Uuid;

use super::*;
use crate::id::{DispatchId, Epoch, RunId, WorkerId};
use crate::message::{
    CheckResult, DispatchReport, Executor, Failure, FailureKind, Held, Invocation, MetadataValue, Outcome,
    Output, ReturnReason, Severity, TaskSpec, TraceContext, Verdict, Window,
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

fn outcome(ordinal: u32, verdict: Verdict) -> Outcome {
    Outcome {
        ordinal,
        started_us: 10,
        finished_us: 20,
        verdict,
        metadata: vec![("row_count".into(), MetadataValue::Int(24))],
        data_version: None,
        checks: Vec::new(),
        output: Some(Output { text: "hello\n".into(), omitted_bytes: 5 }),
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
            DispatchReport::Returned { dispatch: id, reason: ReturnReason::NotStarted },
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

/// Every way to say something that [`report`] does not use. The matches name each variant once more: one that is added
/// does not compile here before it has a place in the golden bytes of a version that knows it.
fn report_of_every_variant() -> Report {
    use FailureKind::*;
    use MetadataValue::{Bool, Float, Int, Null, Text, Typed};
    let dispatch = DispatchId(1);
    let kinds = [NotStarted, Exit(-1), Signal(9), Timeout, Error, Panic, UnknownAsset, WorkerLost];
    let mut outcomes: Vec<Outcome> = (0..)
        .zip(kinds.map(|kind| match kind {
            NotStarted | Exit(_) | Signal(_) | Timeout | Error | Panic | UnknownAsset | WorkerLost => {
                Verdict::Failed(Failure {
                    kind,
                    message: "m".into(),
                    detail: Some("d".into()),
                    retryable: false,
                })
            }
        }))
        .map(|(ordinal, verdict)| Outcome { metadata: Vec::new(), output: None, ..outcome(ordinal, verdict) })
        .collect();
    let values = [
        Null,
        Bool(true),
        Int(-2),
        Float(0.5),
        Text("t".into()),
        Typed { kind: "path".into(), json: "\"/a\"".into() },
    ];
    let metadata = values.map(|value| match value {
        Null | Bool(_) | Int(_) | Float(_) | Text(_) | Typed { .. } => ("v".to_owned(), value),
    });
    let checks = [Severity::Warn, Severity::Error].map(|severity| match severity {
        Severity::Warn | Severity::Error => {
            CheckResult { name: "c".into(), passed: false, severity, metadata: metadata.to_vec() }
        }
    });
    let verdict = match Verdict::Cancelled {
        verdict @ (Verdict::Succeeded | Verdict::Failed(_) | Verdict::Cancelled) => verdict,
    };
    outcomes.push(Outcome {
        metadata: metadata.to_vec(),
        data_version: Some("v".into()),
        checks: checks.to_vec(),
        ..outcome(300, verdict)
    });
    let reasons = [ReturnReason::Redelivered, ReturnReason::NotStarted, ReturnReason::Interrupted];
    let returned = reasons.map(|reason| match reason {
        ReturnReason::Redelivered | ReturnReason::NotStarted | ReturnReason::Interrupted => {
            DispatchReport::Returned { dispatch, reason }
        }
    });
    let mut dispatches = vec![DispatchReport::Outcomes { dispatch, trace: None, outcomes }];
    dispatches.extend(returned);
    Report { worker: WorkerId(Uuid::nil()), dispatches }
}

#[test]
fn bytes_of_every_variant_stay_as_they_are() {
    assert_golden(&report_of_every_variant(), include_str!("golden/variants/report.v1.hex"));
    let controls = [
        (Control::Announce { epoch: Epoch(300) }, include_str!("golden/variants/control.v1.announce.hex")),
        (
            Control::CancelRun { run: RunId(Uuid::nil()) },
            include_str!("golden/variants/control.v1.cancel.hex"),
        ),
        (
            Control::Abandon { dispatches: vec![DispatchId(1), DispatchId(u64::MAX)] },
            include_str!("golden/variants/control.v1.abandon.hex"),
        ),
    ];
    for (control, golden) in controls {
        match &control {
            Control::Announce { .. } | Control::CancelRun { .. } | Control::Abandon { .. } => {
                assert_golden(&control, golden);
            }
        }
    }
    let mut native = dispatch();
    match Executor::Native {
        executor @ (Executor::Native | Executor::Command { .. }) => {
            Arc::make_mut(&mut native.invocation).executor = executor;
        }
    }
    assert_golden(&native, include_str!("golden/variants/dispatch.v1.native.hex"));
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
    assert_eq!(
        error(b"BS\x01\x09"),
        "a dispatch of version 9, where this program knows version 1: run versions that know each other"
    );
    let mut bytes = dispatch().encode().unwrap();
    bytes.push(0);
    assert_eq!(error(&bytes), "a dispatch is followed by 1 more bytes");
}
