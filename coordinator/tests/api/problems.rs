//! What is answered when something is wrong: always an RFC 9457 problem document.

use axum::body::Body;
use axum::http::{Request, header};
use serde_json::{Value, json};

use crate::world::{Answer, World};

const UNKNOWN: &str = "01a1f99e-fc87-7477-8a75-50de0d96f84e";

/// The answer is a problem document of this kind, whose detail holds each of `said`.
#[track_caller]
fn check(answer: &Answer, status: u16, kind: &str, said: &[&str]) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header(header::CONTENT_TYPE), "application/problem+json", "{answer:?}");
    let problem = answer.json();
    assert_eq!(problem["type"], format!("urn:backstitch:problem:{kind}"), "{answer:?}");
    assert_eq!(problem["status"], status, "{answer:?}");
    assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()), "{answer:?}");
    let detail = problem["detail"].as_str().unwrap_or_default();
    for said in said {
        assert!(detail.contains(said), "no {said:?} in {answer:?}");
    }
    let fields = problem.as_object().expect("an object").keys();
    let strange: Vec<_> = fields
        .filter(|field| !["type", "title", "status", "detail", "errors"].contains(&&***field))
        .collect();
    assert!(strange.is_empty(), "{answer:?}");
}

fn request(method: &str, path: &str, content_type: &str, body: impl Into<Body>) -> Request<Body> {
    let request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, content_type);
    request.body(body.into()).expect("a request")
}

#[tokio::test]
async fn what_does_not_exist_is_named_with_where_to_look() {
    let world = World::start().await;
    for (method, path, said) in [
        ("GET", "/api/rnus", ["\"/api/rnus\"", "/api/openapi.json lists"]),
        ("GET", "/", ["\"/\"", "/api/openapi.json lists"]),
        ("GET", "/api/runs/7", ["no run \"7\"", "/api/runs lists"]),
        ("GET", &format!("/api/runs/{UNKNOWN}"), [UNKNOWN, "/api/runs lists"]),
        ("GET", &format!("/api/runs/{UNKNOWN}/attempts"), [UNKNOWN, "/api/runs lists"]),
        ("POST", &format!("/api/runs/{UNKNOWN}/cancel"), [UNKNOWN, "/api/runs lists"]),
        ("POST", &format!("/api/runs/{UNKNOWN}/retry"), [UNKNOWN, "/api/runs lists"]),
        ("GET", "/api/assets/rwa/partitions", ["\"rwa\" is not defined", "did you mean \"raw\"?"]),
        ("GET", "/api/materializations?asset=rwa", ["did you mean \"raw\"?", "/api/assets lists"]),
    ] {
        check(&world.ask(method, path).await, 404, "not-found", &said);
    }
    for change in [json!({ "paused": true }), json!({ "priority": 1 }), json!({ "max_parallel": 1 })] {
        let answer = world.ask_with("PATCH", &format!("/api/runs/{UNKNOWN}"), &change).await;
        check(&answer, 404, "not-found", &[UNKNOWN]);
    }
    world.end().await;
}

#[tokio::test]
async fn what_cannot_be_read_is_named_with_its_place_and_what_would_be_taken() {
    let world = World::start().await;
    let json = "application/json";
    let run = format!("/api/runs/{UNKNOWN}");
    let long = format!("{{\"assets\": \"{}\"}}", "x".repeat(1 << 20));
    for (method, path, content_type, body, status, kind, said) in [
        ("POST", "/api/runs", json, "{\"assets\": ", 400, "body", ["line 1 column 11", "/api/openapi.json"]),
        ("POST", "/api/runs/plan", json, "", 400, "body", ["line 1 column 0", "/api/openapi.json"]),
        ("POST", "/api/runs", json, "{\"asets\": \"raw\"}", 422, "body", ["`asets`", "line 1 column 8"]),
        ("POST", "/api/runs", json, "{\"assets\": 7}", 422, "body", ["integer `7`", "line 1 column 12"]),
        ("POST", "/api/runs", json, &long, 413, "body", ["1048576 bytes", "say less"]),
        ("POST", "/api/runs", "text/plain", "raw", 415, "body", ["application/json", "/api/openapi.json"]),
        ("PATCH", &run, json, "[", 400, "body", ["column 1", "/api/openapi.json"]),
        ("GET", "/api/runs?status=odd", json, "", 400, "query", ["`odd`", "/api/openapi.json"]),
        ("GET", "/api/runs?limit=-1", json, "", 400, "query", ["limit", "/api/openapi.json"]),
        ("GET", "/api/runs?cursor=x", json, "", 422, "invalid", ["\"x\" is not a cursor", "\"next\""]),
        ("PATCH", &run, json, "{}", 422, "invalid", ["nothing to change", "`max_parallel`"]),
        ("GET", "/api/materializations", json, "", 400, "query", ["`asset`", "/api/openapi.json"]),
        ("GET", "/api/runs/%FF", json, "", 400, "path", ["`id`", "UTF-8"]),
        ("PATCH", "/api/runs/%FF", json, "{}", 400, "path", ["`id`", "UTF-8"]),
        ("POST", "/api/runs/%FF/cancel", json, "", 400, "path", ["`id`", "UTF-8"]),
        ("POST", "/api/runs/%FF/retry", json, "", 400, "path", ["`id`", "UTF-8"]),
        ("GET", "/api/runs/%FF/attempts", json, "", 400, "path", ["`id`", "UTF-8"]),
        ("GET", "/api/assets/%FF/partitions", json, "", 400, "path", ["`asset`", "UTF-8"]),
    ] {
        let answer = world.send(request(method, path, content_type, body.to_owned())).await;
        check(&answer, status, kind, &said);
    }
    world.end().await;
}

#[tokio::test]
async fn a_method_that_is_not_taken_is_answered_with_those_that_are() {
    let world = World::start().await;
    for (method, path, allow) in [
        ("DELETE", "/api/runs", "POST,GET,HEAD"),
        ("GET", "/api/runs/plan", "POST"),
        ("POST", "/healthz", "GET,HEAD"),
    ] {
        let answer = world.ask(method, path).await;
        check(&answer, 405, "method", &[method, path, "\"allow\""]);
        assert_eq!(answer.header(header::ALLOW), allow);
    }
    world.end().await;
}

#[tokio::test]
async fn a_submission_that_makes_no_sense_says_everything_that_is_wrong_with_it() {
    let world = World::start().await;
    for (submission, said) in [
        (json!({ "assets": "rwa" }), "asset \"rwa\" is not defined (did you mean \"raw\"?)"),
        (json!({}), "assets"),
        (json!({ "job": "nightly" }), "job \"nightly\" is not defined"),
        (json!({ "assets": "raw", "partitions": "2024-02-01" }), "partition \"2024-02-01\" does not exist"),
        (json!({ "assets": "raw", "partitions": "2024-1-05" }), "did you mean \"2024-01-05\"?"),
        (json!({ "assets": "raw", "partitions": "2024-01-05...2024-01-02" }), "reversed"),
        (json!({ "assets": "raw", "config": { "factor": 2 } }), "factor"),
    ] {
        for path in ["/api/runs", "/api/runs/plan"] {
            let answer = world.ask_with("POST", path, &submission).await;
            check(&answer, 422, "invalid", &[said]);
            let errors = answer.json()["errors"].as_array().cloned().unwrap_or_default();
            assert!(errors.iter().filter_map(Value::as_str).any(|error| error.contains(said)), "{answer:?}");
        }
    }
    assert_eq!(world.get("/api/runs").await["items"], json!([]), "nothing was started");
    world.end().await;
}

#[tokio::test]
async fn a_change_that_comes_too_late_or_too_early_is_a_conflict() {
    let world = World::start().await;
    let ended = world.submit(&json!({ "assets": "raw", "partitions": "2024-01-01" })).await;
    world.until_status(&ended, "succeeded").await;
    let live = world.submit(&json!({ "assets": "held" })).await;
    check(
        &world.ask("POST", &format!("/api/runs/{ended}/cancel")).await,
        409,
        "not-live",
        &[&ended, "retried"],
    );
    let paused = world.ask_with("PATCH", &format!("/api/runs/{ended}"), &json!({ "paused": true })).await;
    check(&paused, 409, "not-live", &[&ended, "has ended"]);
    check(
        &world.ask("POST", &format!("/api/runs/{live}/retry")).await,
        409,
        "not-ended",
        &[&live, "cancel it"],
    );
    world.end().await;
}

#[tokio::test]
async fn a_run_whose_definitions_are_gone_cannot_be_retried_and_the_answer_says_why() {
    let world = World::start().await;
    let run = world.submit(&json!({ "assets": "raw", "partitions": "2024-01-05" })).await;
    world.until_status(&run, "failed").await;
    for (damage, said) in [
        ("UPDATE definitions SET json = '{\"assets\": 7}'", "invalid type"),
        ("DELETE FROM definitions", "the ledger does not have them"),
    ] {
        world.damage(damage).await;
        let refused = world.ask("POST", &format!("/api/runs/{run}/retry")).await;
        check(&refused, 409, "unreadable", &[&run, "pinned to", said, "submit what is missing"]);
    }
    world.end().await;
}

#[tokio::test]
async fn a_standby_says_that_it_does_not_lead() {
    let world = World::standby().await;
    for path in ["/api/assets", "/api/workers", "/api/violations", "/api/assets/raw/partitions"] {
        check(&world.ask("GET", path).await, 503, "not-leading", &["ask the leader"]);
    }
    let refused = world.ask_with("POST", "/api/runs", &json!({ "assets": "raw" })).await;
    check(&refused, 503, "not-leading", &["try again"]);
    // What is in the ledger anybody can tell.
    assert_eq!(world.get("/api/runs").await["items"], json!([]));
    assert_eq!(world.get("/readyz").await["role"], "standby");
    check(&world.ask("GET", "/api/leader").await, 404, "not-found", &["nobody leads"]);
    world.end().await;
}
