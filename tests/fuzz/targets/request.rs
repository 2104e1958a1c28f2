//! Requests to the API, as text: `METHOD PATH?QUERY`, and the body from the next line on. Through the router itself, so
//! that every path, query and body is read by what reads it in production, at a coordinator that does not lead: whatever
//! comes is answered, and what is refused is refused with a problem document.

#![no_main]

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use backstitch_broker::InProcess;
use backstitch_coordinator::api::{self, Problem};
use backstitch_coordinator::engine;
use backstitch_coordinator::ledger::{self, Address, Batch, Candidate, Ledger, PlannedAsset, RunRecord};
use backstitch_coordinator::service::{Coordinator, Handle, Options};
use backstitch_proto::definition::Definitions;
use backstitch_proto::id::RunId;
use backstitch_proto::partition::PartitionSubset;
use libfuzzer_sys::fuzz_target;
use tokio::runtime::Runtime;
use tower::ServiceExt;

/// Methods that have handlers.
const METHODS: [&str; 3] = ["GET", "POST", "PATCH"];

/// More than any answer here.
const ANSWER_MAX_BYTES: usize = 1 << 24;

const PROJECT: &str = "
partitions:
  days: {kind: daily, start: 2024-01-01, end: 2024-03-01}
assets:
  raw: {partitions: days, command: [\"true\"]}
  sum: {command: [\"true\"], deps: [raw]}
";

/// The run that is there: 00000000-0000-0000-0000-000000000001.
const RUN: u128 = 1;

struct World {
    runtime: Runtime,
    router: Router,
    /// Of the ledger.
    _folder: tempfile::TempDir,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let handle = runtime.block_on(standby(Address::sqlite(folder.path().join("ledger.db"))));
    let (router, _) = api::router(handle, Arc::default());
    World { runtime, router, _folder: folder }
});

/// A coordinator that will never lead, on a ledger with one run.
async fn standby(address: Address) -> Handle {
    ledger::migrate(&address).await.expect("a schema");
    let ledger = ledger::connect(&address).await.expect("a ledger");
    with_a_run(ledger.as_ref()).await;
    let definitions = Definitions::from_yaml("backstitch.yaml", PROJECT).expect("a valid project");
    let options = Options {
        name: "fuzz".to_owned(),
        api_address: String::new(),
        engine: engine::Options::default(),
        keep_history: None,
    };
    Coordinator::new(options, Arc::new(definitions), ledger, Arc::new(InProcess::new())).handle()
}

async fn with_a_run(ledger: &dyn Ledger) {
    let candidate = Candidate { name: "fuzz".to_owned(), api_address: String::new() };
    let term = ledger.lead(&candidate).await.expect("a term");
    let asset = PlannedAsset { asset: "raw".into(), targets: PartitionSubset::from_ordinals(0..3) };
    // 2025-06-15T15:06:40Z
    let now_us = 1_750_000_000_000_000;
    let run = RunRecord::backfill(RunId(uuid::Uuid::from_u128(RUN)), "none".to_owned(), now_us, vec![asset]);
    ledger.commit(term.epoch(), &Batch { runs: vec![run], ..Batch::default() }).await.expect("a commit");
    term.resign().await;
}

fuzz_target!(|input: &[u8]| {
    let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let (line, body) = (&input[..end], input.get(end + 1..).unwrap_or_default());
    let Some((method, target)) = std::str::from_utf8(line).ok().and_then(|line| line.split_once(' ')) else {
        return;
    };
    if !METHODS.contains(&method) {
        return;
    }
    let request = Request::builder().method(method).uri(target);
    let request = request.header(header::CONTENT_TYPE, "application/json").body(Body::from(body.to_vec()));
    // What is no request at all ends in the HTTP library, before us.
    let Ok(request) = request else { return };
    let answer = WORLD.runtime.block_on(async {
        let response = WORLD.router.clone().oneshot(request).await.expect("an answer");
        let (parts, body) = response.into_parts();
        (parts, to_bytes(body, ANSWER_MAX_BYTES).await.expect("a body"))
    });
    let (parts, body) = answer;
    if parts.status.is_success() {
        return;
    }
    assert_ne!(parts.status, StatusCode::INTERNAL_SERVER_ERROR, "{}", String::from_utf8_lossy(&body));
    assert_eq!(parts.headers[header::CONTENT_TYPE], "application/problem+json");
    let problem: Problem = serde_json::from_slice(&body).expect("a problem");
    assert_eq!(problem.status, parts.status.as_u16());
    assert!(problem.detail.is_some(), "{problem:?}");
});
